"""A join, and a node that waits for all others, wait anew in each run of a thread, and loops are counted anew.

LangGraph keeps on the thread which sources of a join have come, and that a deferred node is due. Where a run is given
up, or ends with a join half filled, the next one would find that: a join would run before its sources, and a deferred
node to which nothing leads. A graph inside that remembers (``checkpointer=True``) begins several times in one run, and
would find what it counted the time before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels import (
    BaseChannel,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
)
from langgraph.graph.state import CompiledStateGraph

from dalsegno.graphs.model import START
from dalsegno.graphs.views import KERNEL

BEGINS = "dalsegno:begins"
"""What START writes to whatever waits. No node is called so: a name has no `:` in it."""


class _Anew(BaseChannel[Any, Any, Any]):
    """A channel that is empty again where START has written to it."""

    __slots__ = ()

    def update(self, values: Sequence[Any]) -> bool:
        rest = [value for value in values if value != BEGINS]
        if len(rest) == len(values):
            return super().update(values)  # type: ignore[safe-super]  # each of those below is some other channel too
        fresh = self._fresh()
        was_left = self.checkpoint() != fresh.checkpoint()
        for part in ("seen", "value", "finished"):
            if hasattr(self, part):
                setattr(self, part, getattr(fresh, part))
        return super().update(rest) or was_left  # type: ignore[safe-super]

    def _fresh(self) -> BaseChannel[Any, Any, Any]:
        return type(self)(self.typ)


def _is_pair(kept: Any) -> bool:
    """Whether it is what LangGraph keeps of a way to a deferred node: beside what came, whether the rest is done."""
    return isinstance(kept, tuple | list) and len(kept) == 2 and isinstance(kept[1], bool)


class _Join(_Anew, NamedBarrierValue[Any]):
    __slots__ = ()

    def from_checkpoint(self, checkpoint: Any) -> Self:
        return super().from_checkpoint(set(checkpoint[0]) if _is_pair(checkpoint) else checkpoint)

    def _fresh(self) -> BaseChannel[Any, Any, Any]:
        return type(self)(self.typ, self.names)


class _DeferredJoin(_Anew, NamedBarrierValueAfterFinish[Any]):
    __slots__ = ()

    def from_checkpoint(self, checkpoint: Any) -> Self:
        if isinstance(checkpoint, set):  # from before its node was deferred
            checkpoint = checkpoint, checkpoint == self.names
        return super().from_checkpoint(checkpoint)

    def _fresh(self) -> BaseChannel[Any, Any, Any]:
        return type(self)(self.typ, self.names)


class _Due(_Anew, LastValueAfterFinish[Any]):
    __slots__ = ()

    def from_checkpoint(self, checkpoint: Any) -> Self:
        # Nothing stands for a node that was pending before it was deferred.
        return super().from_checkpoint((None, True) if checkpoint is None else checkpoint)


class _Begins(Runnable[Any, Any]):
    """Comes behind what START writes."""

    def __init__(self, waiting: Sequence[str]) -> None:
        self._writes: list[tuple[str, Any]] = [(channel, BEGINS) for channel in waiting]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None
        writes = [*self._writes, (KERNEL, {})] if _remembers(config) else self._writes
        if writes:
            config["configurable"]["__pregel_send"](writes)  # langgraph._internal._constants.CONFIG_KEY_SEND
        return input

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self.invoke(input, config, **kwargs)


def _remembers(config: RunnableConfig) -> bool:
    """Whether the graph of a task remembers its earlier times: its checkpoints are of no task around it."""
    level = str(config["configurable"].get("checkpoint_ns", "")).rpartition("|")[0]
    return bool(level) and ":" not in level.rpartition("|")[2]


def wait_anew(graph: CompiledStateGraph[Any, Any, Any, Any]) -> None:
    """Have a graph, just compiled, forget what waits and what was counted in the run before when one begins."""
    waiting: dict[str, BaseChannel[Any, Any, Any]] = {}
    for name, channel in graph.channels.items():
        if name in graph.builder.channels:  # a key of the state, which its user has made what it is
            continue
        if isinstance(channel, NamedBarrierValue):
            waiting[name] = _Join(channel.typ, channel.names)
        elif isinstance(channel, NamedBarrierValueAfterFinish):
            waiting[name] = _DeferredJoin(channel.typ, channel.names)
        elif isinstance(channel, LastValueAfterFinish):
            waiting[name] = _Due(channel.typ)
    for name, channel in waiting.items():
        channel.key = name
    graph.channels.update(waiting)
    graph.nodes[START].writers.append(_Begins(list(waiting)))
