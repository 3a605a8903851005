"""Signs of life of the runs of a worker, from a thread of their own: a node that blocks must not look dead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dalsegno.nodes.policies.workers import SLICE

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
        self._stopping: set[threading.Thread] = set()

    @contextlib.contextmanager
    def of(self, beat: Callable[[], str | None], stop: Callable[[str], None]) -> Iterator[None]:
        """Beat while what is inside goes on; `stop` is called once, with what `beat` gave as a reason.

        It has a thread of its own, and may take its time: the other runs' beats do not wait for it.
        """
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
        """End the thread, and wait for every `stop` that is under way."""
        self._wake.set()
        with self._lock:
            beating = self._thread
        if beating is not None:
            _join(beating)
        with self._lock:
            stopping = list(self._stopping)
        for thread in stopping:
            _join(thread)

    def _run(self) -> None:
        while not self._wake.wait(EVERY):
            with self._lock:
                pulses = list(self._pulses)
            for pulse in pulses:
                self._beat(pulse)

    def _beat(self, pulse: Pulse) -> None:
        # The engine may be away; the next beat tells it, or the run is somebody else's by then.
        with contextlib.suppress(Exception):
            reason = pulse.beat()
            if reason is None or pulse.told:
                return
            pulse.told = True
            thread = threading.Thread(
                target=self._stop, args=(pulse, reason), name="dalsegno-stop", daemon=True
            )
            with self._lock:
                self._stopping.add(thread)
            thread.start()

    def _stop(self, pulse: Pulse, reason: str) -> None:
        try:
            pulse.stop(reason)
        finally:
            with self._lock:
                self._stopping.discard(threading.current_thread())


def _join(thread: threading.Thread) -> None:
    while thread.is_alive():  # a signal that comes meanwhile is seen between two slices
        thread.join(SLICE)
