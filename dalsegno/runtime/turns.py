"""One process's turn at a run, from taking the thread to giving it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from dalsegno.checkpoints import Claim, RunRecord
from dalsegno.checkpoints.fencing import FENCE, Fence
from dalsegno.checkpoints.interventions import cancel, is_cancelled
from dalsegno.checkpoints.lease import Lease
from dalsegno.checkpoints.records import Status, seconds_of
from dalsegno.checkpoints.spending import keep_usage
from dalsegno.errors import (
    CheckpointError,
    DatabaseUnavailable,
    DefinitionError,
    Fenced,
    NothingToResume,
)
from dalsegno.graphs.kernel import CONTEXT
from dalsegno.graphs.views import KERNEL
from dalsegno.nodes.kinds import FLAG, Kind, check_kinds
from dalsegno.nodes.paths import shown
from dalsegno.nodes.policies import Budget
from dalsegno.nodes.policies.metering import THE_METER
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime.answering import answers
from dalsegno.runtime.belonging import has_begun
from dalsegno.runtime.calls import CallWatch, kinds_of
from dalsegno.runtime.carrying import Carried, begun_anew, carry, migrate, places_of
from dalsegno.runtime.contexts import fitting_context
from dalsegno.runtime.driving import Drive
from dalsegno.runtime.events import RunFinished, RunStarted
from dalsegno.runtime.failing import told
from dalsegno.runtime.inputs import check_thread
from dalsegno.runtime.marks import first_step
from dalsegno.runtime.new_runs import new_run
from dalsegno.runtime.pending import Pending
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.session import Session

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner


_OF_A_RESUME = {
    "accept_changes": FLAG,
    "claim": Kind(lambda given: isinstance(given, Claim), "a Claim(...)"),
}


@dataclass(frozen=True)
class Turn:
    """What a turn holds: `began` is unix seconds, `resumed_from` the checkpoint it goes on from, `was` the run before
    the turn, None where it is new."""

    drive: Drive
    session: Session
    began: float
    resumed_from: str | None
    was: RunRecord | None

    def pending(self) -> Pending:
        """What is pending on its thread, in today's names."""
        return Pending.on(self.drive.graph, self.session.thread, self.session.names)


def begin(
    runner: Runner,
    input: Any,
    thread: str | None,
    context: Any,
    abandon: bool,
    budget: Budget | None = None,
) -> Turn:
    """Take a thread for a new run."""
    check_kinds("run", {"abandon": abandon}, {"abandon": FLAG})
    budget = budget_of(runner, budget)
    context = fitting_context(runner, context)
    database = runner.ledger.database
    new = new_run(runner, input, thread, abandon)
    with _or_given_back(runner) as taken:
        with database.transaction():
            if thread is not None:
                database.lock(thread)
                if not new.is_next(runner):  # another one has come since, and may wait for an answer
                    new = new_run(runner, input, thread, abandon)
            taken.append(lease := runner.ledger.begin(**new.described))
            if new.migrated_from is not None:  # a crash in between would migrate twice, or never
                migrate(runner, lease.thread, new.migrated_from)
        return _turn(
            runner, lease, Carried(runner.graph), new.described["input"], context, None, new.first, budget
        )


def go_on(
    runner: Runner,
    thread: str,
    value: Any,
    rename: Mapping[str, str] | None,
    accept_changes: bool,
    context: Any,
    budget: Budget | None = None,
    claim: Claim | None = None,
) -> Turn:
    """Take a thread to go on with its last run."""
    check_thread(thread)
    check_kinds("resume", {"accept_changes": accept_changes, "claim": claim}, _OF_A_RESUME)
    context = fitting_context(runner, context)
    with _or_given_back(runner) as taken:
        run = _acquired(runner, thread, claim, taken)
        if not taken:
            raise NothingToResume(
                f"The last run on thread {thread!r} is {run.status}: there is nothing to go on with. Start a new "
                "run on it, or on another thread.",
                thread=thread,
            )
        (lease,) = taken
        try:
            budget = budget_of(runner, budget, run.usage)
            usage = {**_by_place(run), "executions": runner.ledger.executed(run.run_id)}
            if (
                run.status == "stopped"
            ):  # killed, it may have noted no time: what its journal tells is the least
                journalled = seconds_of(runner.ledger.executions(run.run_id))
                usage["seconds"] = max(usage.get("seconds", 0.0), journalled)
            carried, payload, mark, first = _mark(runner, run, value, rename, accept_changes)
        except BaseException:
            runner.ledger.abandon_resume(lease, run)
            raise
        return _turn(runner, lease, carried, payload, context, mark, first, budget, usage, run)


def _acquired(runner: Runner, thread: str, claim: Claim | None, taken: list[Lease]) -> RunRecord:
    """The last run of a thread as it was; the thread is taken where that is not over."""
    database = runner.ledger.database
    with database.transaction():
        database.lock(
            thread
        )  # or of two who find it unfinished the second goes on with what the first has ended
        run = runner.ledger.last(thread, plain=True)
        # Where its process died before it noticed:
        if run.status == "stopped" and is_cancelled(runner.ledger, run.run_id):
            cancel(runner.ledger, thread, by="its resume")
            run = runner.ledger.get(run.run_id, plain=True)
        if run.status not in ("completed", "cancelled"):
            taken.append(runner.ledger.acquire(thread, run.run_id, claim=claim))
        return run


def _mark(
    runner: Runner, run: RunRecord, value: Any, rename: Mapping[str, str] | None, accept_changes: bool
) -> tuple[Carried, Any, str | None, int]:
    """The graph to go on in, what to give to it, the checkpoint it goes on from, and the step it began with."""
    config: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    kept = runner.checkpointer.get_tuple(config)
    if kept is None or not has_begun(runner, run, kept):
        # Killed before its first checkpoint: its input is in the ledger.
        if value is not None:
            answers((), value)
        first = kept.metadata["step"] + 2 if kept is not None else 0
        return Carried(runner.graph), begun_anew(runner, run), None, first
    carried = carry(runner, run, rename, accept_changes)
    pending = Pending.on(carried.graph, run.thread, carried.names)
    first = 0 if runner.is_ours else first_step(runner.checkpointer, run)
    if value is None:
        return carried, None, pending.checkpoint_id, first
    secrets = pending.secrets(runner.schemas, runner.ledger.get(run.run_id).input)
    given = answers(pending.interrupts, value, secrets)
    return carried, Command(resume=given), pending.checkpoint_id, first


def _turn(
    runner: Runner,
    lease: Lease,
    carried: Carried,
    payload: Any,
    context: Any,
    resumed_from: str | None,
    first_step: int,
    budget: Budget | None,
    spent: Mapping[str, Any] | None = None,
    was: RunRecord | None = None,
) -> Turn:
    session = Session(
        lease.run_id,
        lease.thread,
        runner.ledger,
        runner.listeners,
        lease=lease,
        names=carried.names,
        executed=carried.executed,
        first_step=first_step,
        budget=budget,
        spent=spent,
        secrets=Secrets(runner.schemas),
        kinds=kinds_of(runner.spec) if runner.listeners else None,
    )
    if session.secrets:
        session.secrets.learn(runner.ledger.get(lease.run_id).input)
        session.secrets.learn(context)
    if budget is not None and budget.limits():
        keep_usage(runner.ledger, lease, session.usage())  # a crash does not forget the budget
    config: dict[str, Any] = {
        "configurable": {
            "thread_id": lease.thread,
            "run_id": lease.run_id,
            CONTEXT: session,
            FENCE: Fence(runner.ledger.database, lease.thread, lease.token),
        }
    }
    watch = CallWatch(session) if session.is_heard else None
    if runner.is_ours:  # a workflow's own nodes bring the meter, and the watch
        session.watch = watch
    else:
        config["callbacks"] = [THE_METER, watch] if watch is not None else [THE_METER]
    runner.sessions.append(session)
    now = session.clock()
    session.tell(
        RunStarted(
            run_id=lease.run_id,
            thread=lease.thread,
            at=now,
            workflow=runner.spec.name,
            resumed=resumed_from is not None,
            changes=carried.changes,
        )
    )
    drive = Drive(carried.graph, payload, config, context, session.control, session.is_cancelled)
    return Turn(drive, session, now, resumed_from, was)


def settle(runner: Runner, turn: Turn) -> RunResult:
    """Record how the turn ended, give the thread back, and tell."""
    with _or_given_back(runner, turn.session.lease):
        return _settled(runner, turn)


def give_back(runner: Runner, turn: Turn) -> None:
    """Give back a thread that was taken, and on which nothing was done: a run that was there is as it was."""
    session, was = turn.session, turn.was
    if was is not None:
        runner.ledger.abandon_resume(session.lease, was)
    else:
        runner.ledger.let_go(session.lease)
    runner.sessions.remove(session)
    status = "stopped" if was is None or was.status == "running" else was.status
    _tell_the_end(runner, turn, status, session.clock() - turn.began, None)


def _settled(runner: Runner, turn: Turn) -> RunResult:
    drive, session = turn.drive, turn.session
    runner.sessions.remove(session)
    if isinstance(drive.error, CheckpointError) and (
        not session.failure_of(drive.error) or _is_the_databases(runner, drive.error)
    ):
        _release(runner, session, drive.error)
    pending = turn.pending()
    for values in (pending.values, *pending.inside):
        session.secrets.learn(values)
    error = told(drive.error, session, pending)
    status: Status
    if drive.error is not None:
        status = "failed"
    elif drive.drained or drive.left is not None:
        status = "stopped" if pending.tasks or pending.run_id != session.run_id else "completed"
    else:
        status = "interrupted" if pending.tasks else "completed"
    seconds = session.clock() - turn.began
    supersteps = _supersteps(runner, session, pending)
    usage = session.usage()
    if status != "completed" or turn.resumed_from is not None:
        # What was done beside a failure, and given up with it, is executed again, as a handler beside a question is.
        usage["executions"] = runner.ledger.executed(session.run_id)
    with _recording(session):  # nobody asks to cancel it between the question and the record
        if status != "completed" and (session.cancelled or is_cancelled(runner.ledger, session.run_id)):
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
    _tell_the_end(runner, turn, status, seconds, error)
    if drive.left is not None:
        raise drive.left
    return RunResult(
        run_id=session.run_id,
        thread=session.thread,
        workflow=runner.spec.name,
        status=status,
        output=pending.output(runner.spec) if status in ("completed", "interrupted") else None,
        error=error,
        interrupts=waiting,
        supersteps=supersteps,
        usage=usage,
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


def _by_place(run: RunRecord) -> dict[str, Any]:
    """What a run has used, by the places of the nodes that the ledger tells by their paths."""
    usage = dict(run.usage)
    places = {shown(place): place for place in sorted(places_of(run.shape))} if run.shape else {}
    for what in {"by_node", "policies"} & usage.keys():
        usage[what] = {places.get(path, path): spent for path, spent in usage[what].items()}
    return usage


def budget_of(runner: Runner, given: Any, usage: Mapping[str, Any] | None = None) -> Budget | None:
    """What a run may spend: as it is given now, else as it was when the run began, else the workflow's."""
    if given is not None and not isinstance(given, Budget):
        raise DefinitionError(f"budget={given!r}: a Budget(...) is needed.")
    before = (usage or {}).get("budget")
    budget = Budget(**before).over(runner.spec.budget) if before else runner.spec.budget
    return given.over(budget) if given is not None else budget


def _is_the_databases(runner: Runner, error: CheckpointError) -> bool:
    """Whether what was raised in a node says that the run's database is away: found by an effect, a breaker or a limit
    of the node, and no failure of the node's own."""
    return isinstance(error, DatabaseUnavailable) and error.path == runner.ledger.database.path


def _release(runner: Runner, session: Session, error: CheckpointError) -> None:
    """The database itself failed: give the thread back if it can still be written, and raise."""
    described = {
        "type": type(error).__name__,
        "message": str(error),
        "node": None,
        "attempt": None,
        "traceback": None,
    }
    try:
        with _recording(session):
            runner.ledger.finish(session.lease, "failed", error=described)
    except (CheckpointError, Fenced):  # of a database that was replaced, nobody holds the thread
        error.add_note("The ledger could not be written either; the run shows as stopped and can be resumed.")
    raise error


@contextmanager
def _or_given_back(runner: Runner, *taken: Lease) -> Iterator[list[Lease]]:
    """Where a listener raises, or Ctrl-C comes, what was taken is nobody's: its run is stopped, and can be resumed."""
    leases = list(taken)
    try:
        yield leases
    except BaseException:
        for lease in leases:
            runner.ledger.let_go(lease)
        runner.sessions[:] = [session for session in runner.sessions if session.lease not in leases]
        raise


@contextmanager
def _recording(session: Session) -> Iterator[None]:
    """In one commit: how a turn ended, and what was executed in it without being kept."""
    database = session.ledger.database
    try:
        with database.transaction():
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
