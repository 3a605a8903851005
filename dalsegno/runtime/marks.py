"""Where a run stands: read from its checkpoint as it is stored, without asking the graph, which may have changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

from dalsegno.checkpoints import Checkpointer, Ledger, RunRecord
from dalsegno.graphs.beginning import BEGINS
from dalsegno.graphs.kernel import merge_records
from dalsegno.graphs.model import START
from dalsegno.graphs.views import KERNEL
from dalsegno.nodes.paths import around, coded
from dalsegno.runtime.standing import Level

_TO = "branch:to:"
_JOIN = "join:"
_SENDS = "__pregel_tasks"
INTERRUPT, RESUME, ERROR_SOURCE = "__interrupt__", "__resume__", "__error_source_node__"
ASIDE = ("__error__", INTERRUPT, RESUME, "__scheduled__", ERROR_SOURCE)
"""Channels of writes by which a task is not finished."""


def levels_of(
    checkpointer: Checkpointer, thread: str, shape: Mapping[str, Any] | None = None, *, nested: bool = True
) -> tuple[Level, ...]:
    """The outermost level of a thread's latest checkpoint, and with `nested` those of subworkflows in flight.

    `shape` is that of the run which the checkpoint is of, if any: what nodes of other graphs left is none of it.
    """
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    outermost = checkpointer.get_tuple(config)
    if outermost is None:
        return ()
    levels = [level_of(outermost).in_graph(shape)]
    if not nested:
        return tuple(levels)
    mark = outermost.checkpoint["id"]
    seen = {""}
    # What was stored since belongs to the superstep that is under way; ids rise with time.
    for kept in checkpointer.list({"configurable": {"thread_id": thread}}):
        namespace = kept.config["configurable"]["checkpoint_ns"]
        if kept.checkpoint["id"] <= mark and not namespace:
            break
        if namespace not in seen:
            seen.add(namespace)
            level = level_of(kept).in_graph(shape)
            if level.pending or level.coming:
                levels.append(level)
    return tuple(levels)


def is_of_run(checkpointer: Checkpointer, kept: CheckpointTuple, run_id: str) -> bool | None:
    """Whether a checkpoint is a run's: it says so, or it was made without a `Runner`, by `update_state` say, behind one
    that does. None where what it was made behind is gone."""
    while kept.metadata.get("run_id") is None and kept.metadata.get("source") != "input":
        if kept.parent_config is None:
            return False
        before = next(iter(checkpointer.list(kept.parent_config, limit=1)), None)
        if before is None:
            return None
        kept = before
    return bool(kept.metadata.get("run_id") == run_id)


def first_step(checkpointer: Checkpointer, run: RunRecord) -> int:
    """LangGraph's step number before the first superstep of a run without our kernel.

    Its input's checkpoint says so; where that was pruned its journal does, and a fork has the input of the turn
    that it was forked in.
    """
    config: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    own = {"run_id": run.run_id, "source": "input"}
    for kept in checkpointer.list(config, filter=own, limit=1):
        return int(kept.metadata["step"]) + 1
    for done in Ledger(checkpointer.database, checkpointer.serde).executions(run.run_id):
        if not around(done.place) and (step := re.fullmatch("step (\\d+)", str(done.occurrence))):
            return int(step[1]) - done.superstep
    for kept in checkpointer.list(config, filter={"source": "input"}, limit=1):
        return int(kept.metadata["step"]) + 1
    return 0


def level_of(kept: CheckpointTuple) -> Level:
    """One level, from its checkpoint and the writes that wait to be applied to it."""
    values = kept.checkpoint["channel_values"]
    namespace = kept.config["configurable"].get("checkpoint_ns") or ""
    joins: dict[str, frozenset[str]] = {}
    pending: set[str] = set()
    for channel, value in values.items():
        if channel.startswith(_JOIN):
            joins[channel] = _seen(value)
    pending |= {name.removeprefix(_TO) for name in values if name.startswith(_TO)}
    pending |= {send.node for send in values.get(_SENDS) or ()}
    pending |= {c.rpartition(":")[2] for c, seen in joins.items() if _is_complete(c, seen)}
    record: Any = values.get(KERNEL)
    used = record["used"] if record else 0
    coming: set[str] = set()
    written: set[str] = set()
    if START in values:
        pending.add(START)
        written |= _keys_of(values[START])
    finished = asked = False
    for _, channel, value in kept.pending_writes or ():
        if channel in ASIDE:
            asked |= channel == INTERRUPT
            continue
        finished = True
        if channel.startswith((_TO, _JOIN)) and value == BEGINS:
            joins.pop(channel, None)
            pending.discard(channel.removeprefix(_TO))
        elif channel.startswith(_TO):
            coming.add(channel.removeprefix(_TO))
        elif channel == _SENDS:
            coming.add(value.node)
        elif channel.startswith(_JOIN):
            joins[channel] = joins.get(channel, frozenset()) | {value}
        elif channel == KERNEL:
            record = merge_records(record, value)
        elif not channel.startswith("__"):
            written.add(channel)
    return Level(
        path="".join(
            f"{coded(part.split(':')[0])}/" for part in namespace.split("|") if part and not part.isdigit()
        ),
        pending=frozenset(pending),
        finished=finished,
        asked=asked,
        coming=frozenset(coming),
        joins=joins,
        loops=dict(record["loops"]) if record else {},
        used=used,
        keys=frozenset(k for k in values if not k.startswith((_TO, _JOIN, "__"))),
        written=frozenset(written),
    )


def _keys_of(input: Any) -> set[str]:
    """The state keys in a run's input, which may be an object of the state's class."""
    return {str(key) for key in (input if isinstance(input, Mapping) else getattr(input, "__dict__", ()))}


def _seen(value: Any) -> frozenset[str]:
    """What a join has seen; that of a deferred node also keeps whether the rest is finished."""
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[1], bool):
        value = value[0]
    return frozenset(map(str, value)) if isinstance(value, set | frozenset | list | tuple) else frozenset()


def _is_complete(channel: str, seen: frozenset[str]) -> bool:
    return sorted("+".join(seen)) == sorted(channel.removeprefix(_JOIN).rpartition(":")[0])
