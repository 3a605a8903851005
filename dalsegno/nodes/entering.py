"""Whether a graph that a node runs goes on from where it was, or is entered with what the node gives it.

LangGraph tells all graphs in a superstep that is resumed to go on from their latest checkpoint. One that is compiled
with ``checkpointer=True`` has that of an earlier time, where the superstep was left before it began: it would do
nothing, and the run would go on without it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

_RESUMING = "__pregel_resuming"
_SAVER = "__pregel_checkpointer"


def entered(config: Any) -> Any:
    """The config for such a graph: told to go on only if it was begun in this execution of its node."""
    given = config.get("configurable", {})
    if not given.get(_RESUMING) or not given.get(_SAVER):
        return config
    looks = _was_begun(given)
    place = next(looks)
    try:
        while True:
            place = looks.send(given[_SAVER].get_tuple(place))
    except StopIteration as answer:
        return config if answer.value else _anew(config)


async def aentered(config: Any) -> Any:
    """`entered` in an event loop."""
    given = config.get("configurable", {})
    if not given.get(_RESUMING) or not given.get(_SAVER):
        return config
    looks = _was_begun(given)
    place = next(looks)
    try:
        while True:
            place = looks.send(await given[_SAVER].aget_tuple(place))
    except StopIteration as answer:
        return config if answer.value else _anew(config)


def _was_begun(given: Any) -> Generator[Any, Any, bool]:
    """Asks for the latest checkpoint of each place where a graph of the node's keeps its own, and gives the answer."""
    task = given["checkpoint_ns"]
    level = task.rpartition("|")[0]
    lasting = "|".join(part.partition(":")[0] for part in task.split("|"))
    if (yield _place(given, task)) is not None:
        return True  # one that keeps its own for this task alone
    kept = yield _place(given, lasting)
    if kept is None:
        return False
    around = kept.metadata.get("parents", {}).get(level)
    # Where the state around it was set by hand, what waits in it goes on all the same.
    waits = bool(kept.pending_writes) and kept.metadata.get("run_id") == given.get("run_id")
    return waits or bool(around == given.get("checkpoint_map", {}).get(level))


def _place(given: Any, namespace: str) -> Any:
    return {"configurable": {"thread_id": given["thread_id"], "checkpoint_ns": namespace}}


def _anew(config: Any) -> Any:
    own = {key: value for key, value in config["configurable"].items() if key != _RESUMING}
    return {**config, "configurable": own}
