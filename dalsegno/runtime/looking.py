"""Whether a run was cancelled meanwhile: asked of the database now and then."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from dalsegno.checkpoints.interventions import is_cancelled, is_seen_cancelled
from dalsegno.errors import CheckpointError
from dalsegno.runtime.off_loop import OffLoop
from dalsegno.runtime.own_loop import loop_is_running

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from dalsegno.checkpoints import Ledger

LOOK = 0.02
"""Seconds between two looks, when a node begins or ends: a look is a read."""


class Looking:
    """Looks whether a run was cancelled; where it was, it stops after its superstep."""

    def __init__(self, ledger: Ledger, run_id: str, control: RunControl) -> None:
        self.cancelled = False
        self._ledger = ledger
        self._run_id = run_id
        self._control = control
        self._looked = time.monotonic()
        self._lock = threading.Lock()
        self._is_over = False

    def look(self) -> None:
        """Look if it is time to. In an event loop nobody waits for that: where a server is to be asked it is seen when
        that has answered, and where others have the connection at the next look."""
        if not self._is_time():
            return
        if not loop_is_running():
            self._see()
        elif self._ledger.database.is_shared:
            OffLoop(self._see)
        else:
            with suppress(CheckpointError):
                self._found(is_seen_cancelled(self._ledger, self._run_id))

    def seen(self) -> bool:
        """Look if it is time to, and wait for the answer: whether it was cancelled."""
        if self._is_time():
            self._see()
        return self.cancelled

    def end(self) -> None:
        """Ask the database nothing more: it may be closed."""
        with self._lock:
            self._is_over = True

    def _is_time(self) -> bool:
        now = time.monotonic()
        if self.cancelled or self._is_over or now - self._looked < LOOK or self._lock.locked():
            return False
        self._looked = now
        return True

    def _see(self) -> None:
        with self._lock:
            if self._is_over:
                return
            try:
                found = is_cancelled(self._ledger, self._run_id)
            except CheckpointError:
                return  # the next write will say what is wrong with the database
            self._found(found)

    def _found(self, is_cancelled: bool | None) -> None:
        if is_cancelled:
            self.cancelled = True
            self._control.request_drain("cancelled")
