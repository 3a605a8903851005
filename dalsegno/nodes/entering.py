"""Whether a graph that a node runs goes on from where it was, or is entered with what the node gives it.

LangGraph tells all graphs in a superstep that is resumed to go on from their latest checkpoint. One that is compiled
with ``checkpointer=True`` has that of an earlier time, where the superstep was left before it began: it would do
nothing, and the run would go on without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

_RESUMING = "__pregel_resuming"
_SAVER = "__pregel_checkpointer"


def entered(config: Any) -> Any:
    """The config for such a graph: told to go on only if it was begun in this execution of its node."""
    given = config.get("configurable", {})
    if not _is_asked(given):
        return config
    own, lasting = _places(given)
    saver = given[_SAVER]
    begun = saver.get_tuple(own) is not None or _goes_on(given, saver.get_tuple(lasting))
    return config if begun else _anew(config)


async def aentered(config: Any) -> Any:
    """`entered` in an event loop."""
    given = config.get("configurable", {})
    if not _is_asked(given):
        return config
    own, lasting = _places(given)
    saver = given[_SAVER]
    begun = await saver.aget_tuple(own) is not None or _goes_on(given, await saver.aget_tuple(lasting))
    return config if begun else _anew(config)


def _is_asked(given: Mapping[str, Any]) -> bool:
    return bool(given.get(_RESUMING) and given.get(_SAVER))


def _places(given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Where a graph of the node's keeps its own for this task alone, and where one that is to last does."""
    task = given["checkpoint_ns"]
    lasting = "|".join(part.partition(":")[0] for part in task.split("|"))
    return _place(given, task), _place(given, lasting)


def _place(given: Mapping[str, Any], namespace: str) -> Any:
    return {"configurable": {"thread_id": given["thread_id"], "checkpoint_ns": namespace}}


def _goes_on(given: Mapping[str, Any], lasting: CheckpointTuple | None) -> bool:
    """Whether what is kept there was begun in this execution of the node."""
    if lasting is None:
        return False
    level = given["checkpoint_ns"].rpartition("|")[0]
    around = lasting.metadata.get("parents", {}).get(level)
    # Where the state around it was set by hand, what waits in it goes on all the same.
    waits = bool(lasting.pending_writes) and lasting.metadata.get("run_id") == given.get("run_id")
    return waits or around == given.get("checkpoint_map", {}).get(level)


def _anew(config: Any) -> Any:
    own = {key: value for key, value in config["configurable"].items() if key != _RESUMING}
    return {**config, "configurable": own}
