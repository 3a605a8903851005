"""A new run on a thread, before the thread is taken for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple

from dalsegno.checkpoints.succession import ahead
from dalsegno.errors import InputInvalid, ThreadUnfinished, as_typed
from dalsegno.graphs.model import END, START
from dalsegno.runtime.belonging import has_begun
from dalsegno.runtime.code_changes import kept_code
from dalsegno.runtime.inputs import check_thread, fitting
from dalsegno.runtime.marks import levels_of
from dalsegno.runtime.migrating import migrated, steps_from
from dalsegno.runtime.standing import join_of

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.runtime.pending import Pending
    from dalsegno.runtime.runner import Runner


@dataclass(frozen=True, slots=True)
class NewRun:
    """What the ledger is told of a new run; the version to migrate its thread from, if any; and its first step.

    `after` is the run that was the thread's last one when this was made, and its status. `ahead` is the checkpoint that
    those of the run have to wait for, if any.
    """

    described: Mapping[str, Any]
    migrated_from: str | None
    first: int
    after: tuple[str, str] | None
    ahead: str | None

    def is_next(self, runner: Runner) -> bool:
        """Whether no other run has come to its thread, or gone on there, since it was made."""
        return _last(runner, self.described["thread"]) == self.after


def new_run(runner: Runner, input: Any, thread: str | None, abandon: bool) -> NewRun:
    """A new run with an input that fits.

    Raises
    ------
    InputInvalid
        It does not.
    CheckpointError
        This machine's clock is behind the thread's.
    ThreadUnfinished
        The thread's last run has pending work, which is not to be given up.
    """
    known = thread is not None
    if known:
        check_thread(thread)
    if thread == "":
        raise InputInvalid(
            "The thread's name is empty. Give it one, or none.", key="thread", expected="a name"
        )
    mark = ahead(runner.ledger.database, thread) if thread is not None else None
    thread = thread if thread is not None else uuid.uuid4().hex[:12]
    pending = runner.pending(thread)
    latest = runner.ledger.latest(thread, plain=True) if known else None
    waiting = pending.tasks or (_gone(runner, thread, latest) if known else ())
    steps = steps_from(latest.version, runner.migrations) if latest else ()
    present = _migrated_keys(runner, thread, steps) if steps else pending.values
    value = fitting(input, runner.input_schema, present=present)
    if latest is not None and latest.status not in ("running", "completed", "cancelled"):
        if not abandon and (waiting or pending.run_id != latest.run_id):
            kept = _latest_checkpoint(runner, latest.thread)
            has_its_input = kept is not None and has_begun(runner, latest, kept)
            if waiting or not has_its_input:  # a state that was set by hand may be the run's end
                raise _unfinished(thread, latest.status, waiting)
    elif latest is not None and pending.tasks and pending.run_id is None and not abandon:
        raise _set_by_hand(thread, latest.status, pending)
    elif latest is None and waiting and not abandon:
        raise ThreadUnfinished(
            f"Thread {thread!r} has {_named(waiting)} pending; new input would drop that work. "
            f"{runner.ledger.unknown(thread)} Or give it up with `abandon=True`.",
            thread=thread,
        )
    certificate = runner.report.certificate
    return NewRun(
        described={
            "run_id": uuid.uuid4().hex,
            "thread": thread,
            "workflow": runner.spec.name,
            "input": value,
            "version": runner.spec.version,
            "fingerprint": runner.spec.fingerprint(),
            "target": runner.target,
            "certificate": certificate.to_dict() if certificate else None,
            "shape": runner.spec.shape(),
            "code": kept_code(runner.spec),
        },
        migrated_from=latest.version if steps and latest is not None else None,
        first=pending.step + 2 if pending.checkpoint_id is not None else 0,
        after=(latest.run_id, latest.status) if latest is not None else None,
        ahead=mark,
    )


def _last(runner: Runner, thread: str) -> tuple[str, str] | None:
    latest = runner.ledger.latest(thread, plain=True)
    return (latest.run_id, latest.status) if latest is not None else None


def _migrated_keys(runner: Runner, thread: str, steps: Any) -> Mapping[str, Any]:
    kept = _latest_checkpoint(runner, thread)
    if kept is None:
        return {}
    return migrated(kept, steps, runner.graph, runner.ledger.latest(thread, plain=True))


def _latest_checkpoint(runner: Runner, thread: str) -> CheckpointTuple | None:
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    return runner.checkpointer.get_tuple(config)


def _gone(runner: Runner, thread: str, latest: RunRecord | None) -> tuple[str, ...]:
    """The pending nodes that this graph does not have, or does not lead to by the join that they are pending by: it was
    changed, or the thread is another workflow's."""
    shape = latest.shape if latest is not None else None
    names: set[str] = set()
    for level in levels_of(runner.checkpointer, thread, shape, nested=False):
        names |= (level.pending | level.coming) - runner.graph.nodes.keys()
        joins = {join_of(name, shape)[1] for name in level.joins if name not in runner.graph.channels}
        names |= level.pending & joins
    return tuple(sorted(names - {START, END}))


def _unfinished(thread: str, status: str, waiting: Sequence[str]) -> ThreadUnfinished:
    return ThreadUnfinished(
        f"Thread {thread!r} has a run that is {status}, with {_named(waiting)} pending; new input would drop that "
        f"work. Go on with it (`dalsegno resume {as_typed(thread)}`, `Runner.resume({thread!r})`), or give it up with "
        "`abandon=True`.",
        thread=thread,
    )


def _set_by_hand(thread: str, status: str, pending: Pending) -> ThreadUnfinished:
    at = pending.checkpoint_id
    return ThreadUnfinished(
        f"The last run on thread {thread!r} is {status}, and its state was set by hand since, with "
        f"{_named(pending.tasks)} pending; new input would drop that work. Go on from there in a new thread "
        f"(`dalsegno fork {as_typed(thread, f'--at {at}')}`, `Runner.fork({thread!r}, {at!r})`), or give it up with "
        "`abandon=True`.",
        thread=thread,
    )


def _named(waiting: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in waiting) or "its input"
