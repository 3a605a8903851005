"""The end of one process's turn at a run: how it went is recorded and told, and the thread is given back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.interventions import is_cancelled
from dalsegno.checkpoints.lease import Lease
from dalsegno.checkpoints.records import Status
from dalsegno.errors import CheckpointError, DatabaseUnavailable, Fenced
from dalsegno.graphs.views import KERNEL
from dalsegno.runtime.events import RunFinished
from dalsegno.runtime.failing import first_failure, told
from dalsegno.runtime.late_results import hand_over
from dalsegno.runtime.off_loop import OffLoop, off_loop
from dalsegno.runtime.pending import Pending
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.session import Session

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner
    from dalsegno.runtime.turns import Turn


@dataclass(frozen=True)
class _Ended:
    """How a turn ended, as it was recorded."""

    status: Status
    pending: Pending
    seconds: float
    error: Mapping[str, Any] | None
    waiting: tuple[Any, ...]
    supersteps: int
    usage: Mapping[str, Any]


def settle(runner: Runner, turn: Turn) -> RunResult:
    """Record how the turn ended, give the thread back, and tell."""
    with _told_in_any_case(runner, turn):
        return _result(runner, turn, _recorded(runner, turn))


async def asettle(runner: Runner, turn: Turn) -> RunResult:
    """`settle` in the running event loop, where it is told; it is recorded in a thread, to its end also where that is
    cancelled."""
    with _told_in_any_case(runner, turn):
        under_way = OffLoop(partial(_recorded, runner, turn))
        left: BaseException | None
        try:
            left = await under_way.ended()
        except GeneratorExit as dropped:
            left = dropped
        result = _result(runner, turn, under_way.result)
        if left is not None:
            raise left
        return result


@contextmanager
def _told_in_any_case(runner: Runner, turn: Turn) -> Iterator[None]:
    """Tell that the turn is over also where the database cannot say how: a listener counts turns that go on."""
    try:
        yield
    except BaseException as error:
        if not turn.session.is_told:
            status = "failed" if isinstance(error, CheckpointError) else "stopped"
            described = _described(error) if status == "failed" else None
            _tell_the_end(runner, turn, status, turn.seconds, described)
        raise


def give_back(runner: Runner, turn: Turn) -> None:
    """Give back a thread that was taken, and on which nothing was done: a run that was there is as it was."""
    put_back(runner, turn)
    _tell_put_back(runner, turn)


async def agive_back(runner: Runner, turn: Turn) -> None:
    """`give_back` in the running event loop."""
    await off_loop(partial(put_back, runner, turn))
    _tell_put_back(runner, turn)


def put_back(runner: Runner, turn: Turn) -> None:
    """`give_back` of a turn that nobody was told of."""
    session, was = turn.session, turn.was
    with or_given_back(runner, session.lease):
        if was is not None:
            runner.ledger.abandon_resume(session.lease, was)
        else:
            runner.ledger.let_go(session.lease)
        runner.sessions.remove(session)


def _tell_put_back(runner: Runner, turn: Turn) -> None:
    status = "stopped" if turn.was is None or turn.was.status == "running" else turn.was.status
    _tell_the_end(runner, turn, status, turn.seconds, None)


def _recorded(runner: Runner, turn: Turn) -> _Ended:
    with or_given_back(runner, turn.session.lease):
        ended = _settled(runner, turn)
        runner.sessions.remove(turn.session)
        return ended


def _settled(runner: Runner, turn: Turn) -> _Ended:
    drive, session = turn.drive, turn.session
    session.looking.end()
    if session.calls is not None:
        session.calls.give_up()
    if isinstance(drive.error, CheckpointError) and (
        not session.failure_of(drive.error) or _is_the_databases(runner, drive.error)
    ):
        _release(runner, session, drive.error)
    hand_over(session, runner.checkpointer)
    pending = turn.pending()
    for values in (pending.values, *pending.inside):
        session.secrets.learn(values)
    error = told(drive.error and first_failure(drive.error, session), session, pending)
    status: Status
    if drive.error is not None:
        status = "failed"
    elif drive.drained or drive.left is not None:
        status = "stopped" if pending.tasks or pending.run_id != session.run_id else "completed"
    else:
        status = "interrupted" if pending.tasks else "completed"
    seconds = turn.seconds
    supersteps = _supersteps(runner, session, pending)
    usage = session.usage()
    if status != "completed" or turn.resumed_from is not None:
        # What was done beside a failure, and given up with it, is executed again, as a handler beside a question is.
        usage["executions"] = runner.ledger.executed(session.run_id)
    with _recording(session):  # nobody asks to cancel it between the question and the record
        if status != "completed" and (
            session.looking.cancelled or is_cancelled(runner.ledger, session.run_id)
        ):
            status, error = "cancelled", None
        waiting = tuple(map(session.secrets.shown, pending.interrupts)) if status == "interrupted" else ()
        runner.ledger.finish(
            session.lease,
            status,
            error=error,
            interrupts=waiting,
            supersteps=supersteps,
            usage=usage,
        )
    return _Ended(status, pending, seconds, error, waiting, supersteps, usage)


def _result(runner: Runner, turn: Turn, ended: _Ended) -> RunResult:
    """What the caller gets, behind what the listeners are told; raises what was not the run's."""
    _tell_the_end(runner, turn, ended.status, ended.seconds, ended.error)
    if turn.drive.left is not None:
        raise turn.drive.left
    has_output = ended.status in ("completed", "interrupted")
    return RunResult(
        run_id=turn.session.run_id,
        thread=turn.session.thread,
        workflow=runner.spec.name,
        status=ended.status,
        output=ended.pending.output(runner.spec) if has_output else None,
        error=ended.error,
        interrupts=ended.waiting,
        supersteps=ended.supersteps,
        usage=ended.usage,
        resumed_from=turn.resumed_from,
    )


def _tell_the_end(
    runner: Runner, turn: Turn, status: str, seconds: float, error: Mapping[str, Any] | None
) -> None:
    session = turn.session
    session.tell(
        RunFinished(
            run_id=session.run_id,
            thread=session.thread,
            at=session.clock(),
            workflow=runner.spec.name,
            status=status,
            seconds=seconds,
            error=dict(error) if error else None,
        )
    )


def _is_the_databases(runner: Runner, error: CheckpointError) -> bool:
    """Whether what was raised in a node says that the run's database is away: found by an effect, a breaker or a limit
    of the node, and no failure of the node's own."""
    return isinstance(error, DatabaseUnavailable) and error.path == runner.ledger.database.path


def _release(runner: Runner, session: Session, error: CheckpointError) -> None:
    """The database itself failed: give the thread back if it can still be written, and raise."""
    try:
        with _recording(session):
            runner.ledger.finish(session.lease, "failed", error=_described(error))
    except (CheckpointError, Fenced):  # of a database that was replaced, nobody holds the thread
        error.add_note("The ledger could not be written either; the run shows as stopped and can be resumed.")
    raise error


def _described(error: BaseException) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "message": str(error),
        "node": None,
        "attempt": None,
        "traceback": None,
    }


@contextmanager
def or_given_back(runner: Runner, *taken: Lease) -> Iterator[list[Lease]]:
    """Where a listener raises, or Ctrl-C comes, what was taken is nobody's: its run is stopped, and can be resumed."""
    leases = list(taken)
    try:
        yield leases
    except BaseException:
        for lease in leases:
            runner.ledger.let_go(lease)
        for session in [session for session in list(runner.sessions) if session.lease in leases]:
            with suppress(ValueError):
                runner.sessions.remove(session)  # alone: in other threads others come and go
        raise


@contextmanager
def _recording(session: Session) -> Iterator[None]:
    """In one commit: how a turn ended, and what was executed in it without being kept."""
    database = session.ledger.database
    try:
        with database.transaction():
            database.lock(session.thread)
            session.end()
            yield
    except BaseException:
        database.forget(session.lease.token)  # another process says it, or a resume finds it out
        raise


def _supersteps(runner: Runner, session: Session, pending: Pending) -> int:
    record = pending.values.get(KERNEL)
    if record:
        return int(record["walk"]) if record["run"] == session.run_id else 0
    if runner.is_ours or pending.run_id not in (None, session.run_id):  # None: it was set by hand since
        return 0
    return max(pending.step - session.first_step, 0)
