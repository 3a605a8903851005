"""Runs that begin later: recorded now, begun by whoever resumes their thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import queueing
from dalsegno.nodes.policies import Budget
from dalsegno.runtime import turns
from dalsegno.runtime.carrying import migrate
from dalsegno.runtime.contexts import fitting_context
from dalsegno.runtime.new_runs import new_run

if TYPE_CHECKING:
    from dalsegno.runtime.result import RunResult
    from dalsegno.runtime.runner import Runner


def enqueue(
    runner: Runner,
    input: Any,
    thread: str | None = None,
    *,
    context: Any = None,
    budget: Budget | None = None,
    abandon: bool = False,
) -> str:
    """Record a run without running it, and give its id; arguments and errors are those of `Runner.run`.

    It is on disk when this returns, with the status ``queued``. `Runner.resume` begins it, and is given the context
    again: that is looked at, and not kept.
    """
    given = turns.budget_of(runner, budget)
    fitting_context(runner, context)
    with runner.ledger.database.transaction():
        if thread is not None:  # or of two who begin it each finds it free, and one's run is nobody's
            runner.ledger.database.lock(thread)
        new = new_run(runner, input, thread, abandon)
        usage = {"budget": kept} if given is not None and (kept := given.to_dict()) else {}
        queueing.enqueue(runner.ledger, usage=usage, **new.described)
        if new.migrated_from is not None:
            migrate(runner, new.described["thread"], new.migrated_from)
    return str(new.described["run_id"])


def take(
    runner: Runner,
    thread: str,
    value: Any = None,
    *,
    accept_changes: bool = False,
    budget: Budget | None = None,
    context: Any = None,
) -> turns.Turn:
    """Take a thread to go on with its last run, and not yet do so; arguments and errors as of `Runner.resume`.

    Inside a transaction of the runner's database nobody comes between what was seen of the run before and this.
    """
    return turns.go_on(runner, thread, value, None, accept_changes, context, budget)


def drop(runner: Runner, turn: turns.Turn) -> None:
    """Let go of a turn whose taking was not committed: nobody was told of it, and its thread is as it was."""
    runner.sessions.remove(turn.session)
    runner.ledger.let_go(turn.session.lease)
    runner.ledger.database.forget(turn.session.lease.token)


def drive(runner: Runner, turn: turns.Turn) -> RunResult:
    """Go on with a run whose thread was taken, in this thread, until it ends or pauses."""
    return turns.driven(runner, turn)
