"""Time travel into a new thread: the history up to a checkpoint, and a new run that goes on from there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.base.id import uuid6
from langgraph.types import Overwrite

from dalsegno.checkpoints import RunRecord, maintenance
from dalsegno.checkpoints.records import Status
from dalsegno.checkpoints.succession import come_after
from dalsegno.errors import InputInvalid, ThreadUnfinished, UnknownThread, as_typed, did_you_mean
from dalsegno.graphs.views import KERNEL
from dalsegno.nodes.kinds import MAPPING, TEXT, check_kinds
from dalsegno.runtime.inputs import check_thread, fitting
from dalsegno.runtime.marks import level_of
from dalsegno.runtime.migrating import version_at
from dalsegno.runtime.result import RunResult
from dalsegno.runtime.settling import or_given_back

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner


def fork(
    runner: Runner, thread: str, at: str, into: str | None, values: Mapping[str, Any] | None
) -> RunResult:
    """Make the new thread and its run, in one commit; see `Runner.fork`."""
    saver, ledger = runner.checkpointer, runner.ledger
    check_thread(thread)
    check_kinds(
        "fork", {"at": at, "into": into, "values": values}, {"at": TEXT, "into": TEXT, "values": MAPPING}
    )
    if into == "":
        raise InputInvalid(
            "The new thread's name is empty. Give it one, or none.", key="into", expected="a name"
        )
    target = into if into is not None else f"{thread}-{uuid.uuid4().hex[:6]}"
    mark = _mark(runner, thread, at)
    at = mark.checkpoint["id"]
    come_after(at, thread)
    run = _run_of(runner, thread, mark)
    plain = {key: v.value if isinstance(v, Overwrite) else v for key, v in (values or {}).items()}
    present = mark.checkpoint["channel_values"]
    state = fitting(plain, runner.state_schema, present=present, of="state") if plain else {}
    version = version_at(saver, mark, run.version)  # of a long thread that takes a while: nobody waits for it
    run_id = uuid.uuid4().hex
    with or_given_back(runner) as taken, ledger.database.transaction():
        ledger.database.lock(target)
        if ledger.latest(target, plain=True) is not None or saver.get_tuple(_place(target)) is not None:
            raise ThreadUnfinished(
                f"There is a thread {target!r} already: fork into a new one, or "
                f"`dalsegno delete {as_typed(target)}` first.",
                thread=target,
            )
        lease = ledger.begin(
            run_id=run_id,
            thread=target,
            workflow=run.workflow,
            input=run.input,
            version=version,
            fingerprint=run.fingerprint,
            target=runner.target or run.target,
            certificate=run.certificate,
            shape=run.shape,
            code=run.code,
        )
        taken.append(lease)
        maintenance.fork(ledger.database, thread, at, target)
        _stand(runner, mark, target, run_id, state)
        level = level_of(mark).in_graph(run.shape)
        status: Status = "stopped" if level.pending else "completed"
        record = _counters(mark)
        used = int(record["walk"]) if record else 0
        ledger.finish(lease, status, supersteps=used)
    return RunResult(
        run_id=run_id,
        thread=target,
        workflow=run.workflow,
        status=status,
        supersteps=used,
        resumed_from=at,
    )


def _mark(runner: Runner, thread: str, at: str) -> CheckpointTuple:
    """The checkpoint of that id, or of the one id that begins so."""
    if not at:
        raise InputInvalid(
            f"No checkpoint is named to fork at. `dalsegno history {as_typed(thread)}` lists them.",
            key="at",
            expected="a checkpoint's id",
        )
    found = runner.checkpointer.get_tuple(_place(thread, at))
    if found is not None:
        return found
    known = [kept.checkpoint["id"] for kept in runner.checkpointer.list(_place(thread), limit=1000)]
    meant = [id for id in known if id.startswith(at)]
    if len(meant) == 1 and (found := runner.checkpointer.get_tuple(_place(thread, meant[0]))) is not None:
        return found
    if len(meant) > 1:
        raise InputInvalid(
            f"{len(meant)} checkpoints of thread {thread!r} begin with `{at}`: {', '.join(meant[:4])}"
            f"{', …' if len(meant) > 4 else ''}. Give more of the id.",
            key="at",
            expected="a checkpoint's id",
        )
    if not known:
        raise UnknownThread(
            f"There is no checkpoint of thread {thread!r} in `{runner.checkpointer.database.path}`.",
            thread=thread,
        )
    raise InputInvalid(
        f"Thread {thread!r} has no checkpoint `{at}`{did_you_mean(at, known) or '.'} "
        f"`dalsegno history {as_typed(thread)}` lists them.",
        key="at",
        expected="a checkpoint's id",
    )


def _run_of(runner: Runner, thread: str, mark: CheckpointTuple) -> RunRecord:
    """The run that a checkpoint belongs to."""
    run_id: Any = mark.metadata.get("run_id")
    known = {run.run_id: run for run in runner.ledger.runs(thread=thread)}
    run = known.get(run_id) or runner.ledger.latest(thread)
    if run is None:
        raise UnknownThread(f"No run of thread {thread!r} is in the ledger.", thread=thread)
    return runner.ledger.get(run.run_id)


def _counters(mark: CheckpointTuple) -> Any:
    """What the run of a checkpoint has counted; at its input there still is what the run before it had. One that was
    made by hand names no run, and holds what the one before it did."""
    record: Any = mark.checkpoint["channel_values"].get(KERNEL)
    by_hand = mark.metadata.get("run_id") is None and mark.metadata.get("source") != "input"
    return record if record and (by_hand or record["run"] == mark.metadata.get("run_id")) else None


def _stand(runner: Runner, mark: CheckpointTuple, target: str, run_id: str, state: Mapping[str, Any]) -> None:
    """One checkpoint more, beside the mark: the same as the new run's, its counters and the changed state in it.

    Beside and not behind it, for what the mark's superstep wrote is none of the new run's, and a `DeltaChannel`
    would be rebuilt from it.
    """
    checkpoint: Any = dict(mark.checkpoint)
    values = {**mark.checkpoint["channel_values"], **state}
    record = _counters(mark)
    if record:
        values[KERNEL] = {**record, "run": run_id}
    versions = dict(mark.checkpoint["channel_versions"])
    latest: Any = max(versions.values(), default=None)
    following: Any = runner.checkpointer.get_next_version(latest, None)
    changed = [*state, *([KERNEL] if record else [])]
    versions.update(dict.fromkeys(changed, following))
    checkpoint.update(
        id=str(uuid6(clock_seq=-2)),
        ts=datetime.now(UTC).isoformat(),
        channel_values=values,
        channel_versions=versions,
    )
    metadata: Any = {**mark.metadata, "source": "fork", "run_id": run_id}
    parent = mark.parent_config["configurable"]["checkpoint_id"] if mark.parent_config else None
    before = runner.checkpointer.get_tuple(_place(target, parent)) if parent else None
    known = before.checkpoint["channel_versions"] if before else {}
    new = {channel: version for channel, version in versions.items() if known.get(channel) != version}
    runner.checkpointer.put(_place(target, parent), checkpoint, metadata, new)


def _place(thread: str, checkpoint: str | None = None) -> Any:
    place = {"thread_id": thread, "checkpoint_ns": ""}
    return {"configurable": {**place, "checkpoint_id": checkpoint} if checkpoint else place}
