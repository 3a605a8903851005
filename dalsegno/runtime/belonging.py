"""Whether a thread still stands where its last run left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple

from dalsegno.checkpoints import RunRecord
from dalsegno.errors import ThreadUnfinished, as_typed
from dalsegno.runtime.marks import is_of_run, level_of

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner


def has_begun(runner: Runner, run: RunRecord, kept: CheckpointTuple) -> bool:
    """Whether a thread's latest checkpoint is the run's, and not that of what was there before it.

    Raises
    ------
    ThreadUnfinished
        It is that of what came after it without a `Runner`: to begin the run anew would do twice what it has done.
    """
    known = is_of_run(runner.checkpointer, kept, run.run_id)
    if known is None:  # pruned: then the ledger knows
        return run.status == "interrupted" or runner.ledger.executed(run.run_id) > 0
    if not known:
        refuse_led_away(runner, run, kept)
    return known


def refuse_led_away(runner: Runner, run: RunRecord, kept: CheckpointTuple) -> None:
    """Raise where a run's thread was led elsewhere: `kept`, its latest checkpoint, is none of the run's.

    Raises
    ------
    ThreadUnfinished
        The run has a checkpoint before that one.
    """
    place: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    left = next(iter(runner.checkpointer.list(place, filter={"run_id": run.run_id}, limit=1)), None)
    if left is None:
        return
    level, at = level_of(kept), left.checkpoint["id"]
    pending = ", ".join(f"`{name}`" for name in sorted(level.pending | level.coming))
    raise ThreadUnfinished(
        f"The last run on thread {run.thread!r} is {run.status}, and the thread was led elsewhere since, without a "
        "`Runner`: an input was given to the compiled graph itself, or an older checkpoint to `update_state`. "
        f"{f'There {pending} is pending, and' if pending else 'There'} the run cannot go on. Take it up again where "
        f"it was, in a new thread (`dalsegno fork {as_typed(run.thread, f'--at {at}')}`, "
        f"`Runner.fork({run.thread!r}, {at!r})`), or give it up: new input with `abandon=True`.",
        thread=run.thread,
    )
