"""Signs of life of the runs of a worker, from a thread of their own: a node that blocks must not look dead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

EVERY = 0.25
"""Seconds between two beats. Temporal's client sends of them what its throttle lets through, and hands back there
whether the run was cancelled."""


@dataclass(eq=False)
class Pulse:
    """What beats for one run: `beat` gives a sign of life, and a reason to stop once there is one."""

    beat: Callable[[], str | None]
    stop: Callable[[str], None]
    told: bool = False


class Beats:
    """One thread that beats for all runs of a worker, while there are any."""

    def __init__(self) -> None:
        self._pulses: set[Pulse] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def of(self, beat: Callable[[], str | None], stop: Callable[[str], None]) -> Iterator[None]:
        """Beat while what is inside goes on; `stop` is called once, with what `beat` gave as a reason."""
        pulse = Pulse(beat, stop)
        with self._lock:
            self._pulses.add(pulse)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dalsegno-beats", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._pulses.discard(pulse)

    def close(self) -> None:
        """End the thread."""
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._wake.wait(EVERY):
            with self._lock:
                pulses = list(self._pulses)
            for pulse in pulses:
                self._beat(pulse)

    @staticmethod
    def _beat(pulse: Pulse) -> None:
        # The engine may be away; the next beat tells it, or the run is somebody else's by then.
        with contextlib.suppress(Exception):
            reason = pulse.beat()
            if reason is not None and not pulse.told:
                pulse.stop(reason)
                pulse.told = True
