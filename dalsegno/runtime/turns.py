"""One process's turn at a run, from taking the thread to giving it back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from dalsegno.checkpoints import Claim, RunRecord
from dalsegno.checkpoints.fencing import FENCE, Fence
from dalsegno.checkpoints.interventions import cancel, found_at, is_cancelled
from dalsegno.checkpoints.lease import Lease
from dalsegno.checkpoints.records import seconds_of
from dalsegno.checkpoints.spending import keep_usage, note_of
from dalsegno.checkpoints.succession import ahead
from dalsegno.errors import (
    DefinitionError,
    NothingToResume,
)
from dalsegno.graphs.kernel import CONTEXT
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
from dalsegno.runtime.events import RunStarted
from dalsegno.runtime.inputs import check_thread
from dalsegno.runtime.late_results import hand_over_before_the_next
from dalsegno.runtime.marks import first_step
from dalsegno.runtime.new_runs import new_run
from dalsegno.runtime.off_loop import OffLoop, off_loop
from dalsegno.runtime.own_loop import on_own_loop
from dalsegno.runtime.pending import Pending
from dalsegno.runtime.session import Session
from dalsegno.runtime.settling import asettle, or_given_back, put_back, settle

if TYPE_CHECKING:
    from dalsegno.runtime.result import RunResult
    from dalsegno.runtime.runner import Runner


_OF_A_RESUME = {
    "accept_changes": FLAG,
    "claim": Kind(lambda given: isinstance(given, Claim), "a Claim(...)"),
}


@dataclass(frozen=True)
class Mark:
    """Where a turn begins: the graph, what to give to it, and the checkpoint it goes on from. `first_step` is
    LangGraph's step number before the run's first superstep, `later_than` the checkpoint that its own have to wait for.
    """

    carried: Carried
    payload: Any
    resumed_from: str | None
    first_step: int
    later_than: str | None


@dataclass(frozen=True)
class Turn:
    """What a turn holds: `began` is unix seconds, `was` the run before the turn, None where it is new."""

    drive: Drive
    session: Session
    began: float
    mark: Mark
    was: RunRecord | None
    since: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it goes on, also where the clock of `began` was set meanwhile."""
        return time.monotonic() - self.since

    @property
    def resumed_from(self) -> str | None:
        """The checkpoint it goes on from."""
        return self.mark.resumed_from

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
    """Take a thread for a new run, and tell nobody yet."""
    check_kinds("run", {"abandon": abandon}, {"abandon": FLAG})
    budget = budget_of(runner, budget)
    context = fitting_context(runner, context)
    database = runner.ledger.database
    new = new_run(runner, input, thread, abandon)
    with or_given_back(runner) as taken:
        with database.transaction():
            if thread is not None:
                database.lock(thread)
                if not new.is_next(runner):  # another one has come since, and may wait for an answer
                    new = new_run(runner, input, thread, abandon)
            taken.append(lease := runner.ledger.begin(**new.described))
            if new.migrated_from is not None:  # a crash in between would migrate twice, or never
                migrate(runner, lease.thread, new.migrated_from)
        mark = Mark(Carried(runner.graph), new.described["input"], None, new.first, new.ahead)
        return _turn(runner, lease, mark, context, budget)


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
    """Take a thread to go on with its last run, and tell nobody yet."""
    check_thread(thread)
    check_kinds("resume", {"accept_changes": accept_changes, "claim": claim}, _OF_A_RESUME)
    context = fitting_context(runner, context)
    with or_given_back(runner) as taken:
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
            if run.is_untold:  # killed, it may have noted no time: its journal tells the least
                journalled = seconds_of(runner.ledger.executions(run.run_id))
                usage["seconds"] = max(usage.get("seconds", 0.0), journalled)
            mark = _mark(runner, run, value, rename, accept_changes)
            if claim is None and runner.target not in (None, run.target):
                # It has moved, or Python began the run. A worker has the one that was submitted, at its own place.
                found_at(runner.ledger, run.run_id, runner.target)
        except BaseException:
            runner.ledger.abandon_resume(lease, run)
            raise
        return _turn(runner, lease, mark, context, budget, usage, run)


def driven(runner: Runner, turn: Turn) -> RunResult:
    """Do what a thread was taken for, in this thread, and give it back."""
    told(runner, turn)
    try:
        if runner.needs_loop:
            on_own_loop(turn.drive.arun())
        else:
            turn.drive.run()
    except BaseException as error:
        turn.drive.left = error
    return settle(runner, turn)


async def adriven(runner: Runner, begun: Callable[[], Turn]) -> RunResult:
    """Take a thread, do what it was taken for in the running event loop, and give it back."""
    turn = told(runner, await _abegun(runner, begun))
    try:
        await turn.drive.arun()
    except BaseException as error:
        turn.drive.left = error
        if isinstance(error, GeneratorExit):  # it was dropped with its loop, and cannot wait
            return settle(runner, turn)
    return await asettle(runner, turn)


async def _abegun(runner: Runner, begun: Callable[[], Turn]) -> Turn:
    """Take a thread in the running event loop, which goes on meanwhile. Where that is cancelled, the thread is given
    back."""
    under_way = OffLoop(begun)
    try:
        cancelled = await under_way.ended()
    except GeneratorExit:
        put_back(runner, under_way.result)
        raise
    if cancelled is not None:
        await off_loop(partial(put_back, runner, under_way.result))
        raise cancelled
    return under_way.result


def told(runner: Runner, turn: Turn) -> Turn:
    """Tell the listeners that a turn begins; it is what they are told of a thread that is taken for good."""
    session = turn.session
    with or_given_back(runner, session.lease):
        session.tell(
            RunStarted(
                run_id=session.run_id,
                thread=session.thread,
                at=turn.began,
                workflow=runner.spec.name,
                resumed=turn.resumed_from is not None,
                changes=turn.mark.carried.changes,
            )
        )
    return turn


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
) -> Mark:
    later_than = ahead(runner.ledger.database, run.thread)
    config: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    kept = runner.checkpointer.get_tuple(config)
    if kept is None or not has_begun(runner, run, kept):
        # Killed before its first checkpoint: its input is in the ledger.
        if value is not None:
            answers((), value)
        first = kept.metadata["step"] + 2 if kept is not None else 0
        return Mark(Carried(runner.graph), begun_anew(runner, run), None, first, later_than)
    carried = carry(runner, run, rename, accept_changes)
    pending = Pending.on(carried.graph, run.thread, carried.names)
    first = 0 if runner.is_ours else first_step(runner.checkpointer, run)
    if value is None:
        return Mark(carried, None, pending.checkpoint_id, first, later_than)
    secrets = pending.secrets(runner.schemas, runner.ledger.get(run.run_id).input)
    given = answers(pending.interrupts, value, secrets)
    return Mark(carried, Command(resume=given), pending.checkpoint_id, first, later_than)


def _turn(
    runner: Runner,
    lease: Lease,
    mark: Mark,
    context: Any,
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
        names=mark.carried.names,
        executed=mark.carried.executed,
        first_step=mark.first_step,
        budget=budget,
        spent=spent,
        secrets=Secrets(runner.schemas),
        kinds=kinds_of(runner.spec) if runner.listeners else None,
        hand_over=partial(hand_over_before_the_next, runner.checkpointer),
    )
    if session.secrets:
        session.secrets.learn(runner.ledger.get(lease.run_id).input)
        session.secrets.learn(context)
        if was is not None:
            _learn_kept(runner, lease.thread, session.secrets)
    if budget is not None and budget.to_dict():
        keep_usage(
            runner.ledger, lease, note_of(runner.ledger, lease, session.usage())
        )  # a crash does not forget the budget
        if budget.seconds is not None:  # nor the time of a node that has committed nothing yet
            lease.note = session.noted
    config: dict[str, Any] = {
        "configurable": {
            "thread_id": lease.thread,
            "run_id": lease.run_id,
            CONTEXT: session,
            FENCE: Fence(runner.ledger.database, lease.thread, lease.token),
        }
    }
    session.calls = watch = CallWatch(session) if session.is_heard else None
    if runner.is_ours:  # a workflow's own nodes bring the meter, and the watch
        session.watch = watch
    else:
        config["callbacks"] = [THE_METER, watch] if watch is not None else [THE_METER]
    runner.sessions.append(session)
    drive = Drive(
        mark.carried.graph,
        mark.payload,
        config,
        context,
        session.control,
        session.is_cancelled,
        mark.later_than,
    )
    return Turn(drive, session, session.clock(), mark, was)


def _learn_kept(runner: Runner, thread: str, secrets: Secrets) -> None:
    """Learn the secrets in what is kept and not yet in the state: a reducer may raise at them before any node runs."""
    for kept in runner.checkpointer.list({"configurable": {"thread_id": thread}}):
        secrets.learn(kept.checkpoint["channel_values"])
        for _, key, value in kept.pending_writes or ():
            secrets.learn({key: value})
        if not kept.config["configurable"]["checkpoint_ns"]:
            return  # those of subworkflows that are under way are newer


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
