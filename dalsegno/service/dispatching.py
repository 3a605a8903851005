"""The runs in progress: which are taken from the database, driven, and asked to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING

from dalsegno.checkpoints.interventions import cancel, is_cancelled
from dalsegno.checkpoints.lease import this_process
from dalsegno.errors import (
    CheckpointError,
    DalsegnoError,
    DatabaseInvalid,
    DatabaseUnavailable,
    IncompatibleGraph,
    ThreadBusy,
)
from dalsegno.nodes.policies import Budget
from dalsegno.runtime import queueing
from dalsegno.runtime.answering import deadline
from dalsegno.service.deciding import Cancel, GiveUp, Go, Look, Step, next_step

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger
    from dalsegno.checkpoints.requests import Request, Requests
    from dalsegno.runtime import Runner
    from dalsegno.runtime.result import RunResult
    from dalsegno.runtime.turns import Turn
    from dalsegno.service.settings import Settings

log = logging.getLogger("dalsegno.service")

_SLICE = 0.2
"""Seconds between two times that runs are asked to stop: one may have begun in between."""
_SUSPECT = 2
"""Deaths in a row after which a run may be what its process dies of: such runs go on one at a time, so that the one
that is does not take the others with it until all are given up."""
_OF_CODE = frozenset({"IncompatibleGraph", "InputInvalid", "TypeNotAllowed"})
"""Problems of a run with one process's code; before it was taken, so that nothing was executed."""
_OTHERS = 12
"""How many times `Settings.recheck` between two looks for those of other processes: it is one at all requests."""


class _NoThread(Exception):
    """This process gets no more threads now."""


class Dispatcher:
    """Takes what is due, each run in a thread of its own, and never more than `Settings.runs` at once.

    A run is taken in one transaction with the question whether it is still to be taken, under the thread's lease: of
    two processes on one database exactly one has it.

    Parameters
    ----------
    runners
        By the names of their workflows; all on one database.
    ledger, requests
        Of that database.
    settings
        The limits.
    clock
        Unix seconds.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        ledger: Ledger,
        requests: Requests,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._runners = runners
        self._ledger = ledger
        self._requests = requests
        self._settings = settings
        self._clock = clock
        self._active: set[str] = set()
        self._suspects: set[str] = set()
        self._refused: set[tuple[str, int]] = set()
        self._asked = 0.0
        self._changed = threading.Condition()
        self._poked = threading.Event()
        self._beaten = 0.0
        self.is_draining = False
        """Whether nothing more is taken."""
        self._thread = threading.Thread(target=self._loop, name="dalsegno-dispatcher", daemon=True)

    @property
    def active(self) -> int:
        """How many runs are in progress here."""
        return len(self._active)

    @property
    def is_alive(self) -> bool:
        """Whether runs are taken."""
        return self._thread.is_alive() and not self.is_draining

    def start(self) -> None:
        """Begin to take what is due; first of all runs whose process died."""
        self._requests.wake(self._clock())
        self._thread.start()

    def poke(self) -> None:
        """Look at the database now: something was asked for."""
        self._poked.set()

    def drain(self, seconds: float) -> int:
        """Take nothing more, have every run stop after its superstep, and wait so long; gives how many have not."""
        until = time.monotonic() + seconds
        self.is_draining = True
        self._poked.set()
        while (self._thread.is_alive() or self._active) and (left := until - time.monotonic()) > 0:
            for runner in self._runners.values():
                runner.drain("the service stops")
            if self._thread.is_alive():  # it may wait for the database, and the runs need not wait for it
                self._thread.join(min(left, _SLICE))
                continue
            with self._changed:
                self._changed.wait(min(left, _SLICE))
        return len(self._active)

    # --- taking ---

    def _loop(self) -> None:
        is_told = False
        while not self.is_draining:
            self._poked.clear()
            pause = self._settings.poll
            try:
                pause = self._round()
                is_told = False
            except Exception as error:  # the database will be back, or `/ready` says that it is not
                if not is_told:
                    log.warning("What is due cannot be looked at, and is tried again: %s", error)
                is_told = True
            if not self.is_draining:
                self._poked.wait(pause)

    def _round(self) -> float:
        """Take what is due as far as there is room; gives the seconds until it is worth looking again."""
        now, poll = self._clock(), self._settings.poll
        if self._active and now >= self._beaten + self._settings.recheck / 2:
            self._beaten = now
            self._requests.beat(list(self._active), now + self._settings.recheck)
        if now >= self._asked + _OTHERS * self._settings.recheck:
            self._asked = now
            self._try_those_of_others(now)
        room = self._settings.runs - len(self._active)
        if room <= 0:
            return poll
        due = self._requests.due(list(self._runners), now, room + self._settings.runs)
        for request in due:
            if self.is_draining or len(self._active) >= self._settings.runs:
                return poll
            self._take(request, now)
        at = self._requests.next_due(list(self._runners))
        return poll if at is None else min(max(at - self._clock(), 0.02), poll)

    def _try_those_of_others(self, now: float) -> None:
        """Have runs looked at that processes with other code (a version before or after this one) could not go on with,
        until each was tried here."""
        active = set(self._active)  # from before the look: what is being refused now is not recorded yet
        refused = self._requests.refused()
        gone = self._refused - {(run_id, stamp) for run_id, stamp, _ in refused}
        self._refused -= {one for one in gone if one[0] not in active}
        for run_id, stamp, problem in refused:
            if problem in _OF_CODE and (run_id, stamp) not in self._refused:
                self._requests.look_again(run_id, now)

    def _take(self, request: Request, now: float) -> None:
        later = now + self._settings.recheck
        if request.run_id in self._active:
            return
        runner = self._runners[request.workflow]
        turn: Turn | None = None
        taken: Turn | None = None
        handed: SimpleQueue[Turn | None] = SimpleQueue()
        is_suspect = False
        try:
            with self._ledger.database.transaction():
                self._ledger.database.lock(request.thread)
                fresh = self._requests.of(request.run_id)
                if fresh is None or fresh.due is None or fresh.due > now:
                    return
                request = fresh
                step = self._step(runner, request, now)
                is_suspect = isinstance(step, Go) and request.deaths + step.died >= _SUSPECT
                if is_suspect and self._suspects:
                    self._requests.look_again(request.run_id, later)
                    return
                turn = self._done(runner, request, step, later)
                if turn is not None:
                    self._start(runner, request, handed)
            taken = turn
        except ThreadBusy:
            self._requests.look_again(request.run_id, later)
            return
        except (DatabaseUnavailable, _NoThread):
            raise
        except Exception as error:  # a changed graph, or code of the user's that reads an old state
            self._refuse(request, error, self._requests.refuse)
            return
        finally:
            if taken is not None:
                self._active.add(request.run_id)
                if is_suspect:
                    self._suspects.add(request.run_id)
            handed.put(taken)
            if turn is not None and taken is None:
                queueing.drop(runner, turn)

    def _start(self, runner: Runner, request: Request, handed: SimpleQueue[Turn | None]) -> None:
        """The thread of a run; before its turn is taken for good, for there may be no more threads."""
        thread = threading.Thread(
            target=self._drive,
            args=(runner, handed, request),
            name=f"dalsegno-run-{request.run_id[:8]}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise _NoThread(
                f"{error}. Give the service fewer runs at once (--runs), or more threads."
            ) from error

    def _step(self, runner: Runner, request: Request, now: float) -> Step:
        return next_step(
            request,
            self._ledger.latest(request.thread, plain=True),
            now,
            recheck=self._settings.recheck,
            deaths=self._settings.deaths,
            is_cancelled=lambda: is_cancelled(self._ledger, request.run_id),
            waiting=lambda: runner.pending(request.thread).interrupts,
        )

    def _done(self, runner: Runner, request: Request, step: Step, later: float) -> Turn | None:
        match step:
            case Go():
                self._requests.go_on(request.run_id, later, died=step.died)
                return queueing.take(
                    runner,
                    request.thread,
                    step.value,
                    accept_changes=step.accept_changes,
                    budget=Budget(**step.budget) if step.budget else None,
                    context=request.context,
                )
            case Cancel():
                cancel(self._ledger, request.thread, by=f"process {this_process().pid}")
                self._requests.settle(request, None)
            case GiveUp():
                self._requests.refuse(
                    request,
                    {
                        "type": "ProcessDied",
                        "message": f"Its process died {request.deaths + 1} times in a row while it ran; it is not "
                        "resumed by itself any more. Mend the cause, then resume it.",
                    },
                )
            case Look(at):
                if at is None:
                    self._requests.settle(request, None)
                else:
                    self._requests.look_again(request.run_id, at)
        return None

    # --- driving ---

    def _drive(self, runner: Runner, handed: SimpleQueue[Turn | None], request: Request) -> None:
        turn = handed.get()
        if turn is None:  # its taking was not committed
            return
        try:
            result = queueing.drive(runner, turn)
            self._requests.settle(request, self._due(request, turn, result))
        except (ThreadBusy, CheckpointError) as error:
            log.warning("Run %s is looked at again: %s", request.run_id, error)
        except BaseException as error:  # a node that ends the program, for example
            words = turn.session.secrets.text(str(error))
            self._refuse(request, error, self._requests.give_up, words)
        finally:
            with self._changed:
                self._active.discard(request.run_id)
                self._suspects.discard(request.run_id)
                self._changed.notify_all()
            self._poked.set()

    def _due(self, request: Request, turn: Turn, result: RunResult) -> float | None:
        """When to look at a run again, whose turn was gone through."""
        now = self._clock()
        if result.status == "stopped":
            return now
        is_answered = bool((request.wanted or {}).get("answers"))
        tried = {} if is_answered else {"asked_again": min(turn.began, now)}  # a clock may have been set back
        return deadline(result.interrupts, **tried) if result.status == "interrupted" else None

    def _refuse(
        self,
        request: Request,
        error: BaseException,
        record: Callable[[Request, Mapping[str, str]], None],
        words: str = "",
    ) -> None:
        # What the user's own code says may hold anything, also a secret; where the database is, is for the log.
        said = words or (str(error) if isinstance(error, DalsegnoError) else "Resume it by hand to see why.")
        log.warning("Run %s cannot be gone on with: %s: %s", request.run_id, type(error).__name__, said)
        if isinstance(error, DatabaseInvalid):
            said = "The database is not as it was written, and the log of the service says where."
        if isinstance(error, IncompatibleGraph) and error.difference.options == "--accept-changes":
            said += f' Over HTTP: `POST /v1/runs/{request.run_id}/resume` with `{{"accept_changes": true}}`.'
        problem = {"type": type(error).__name__, "message": said}
        self._refused.add((request.run_id, request.stamp))
        with contextlib.suppress(DalsegnoError):
            record(request, problem)
