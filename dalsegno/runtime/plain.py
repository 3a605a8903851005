"""A LangGraph graph without a kernel of ours: its nodes are watched, so that they are journalled and have effects.

The graph is copied, never changed. `Pregel.copy` and `PregelNode.copy` keep everything else as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphInterrupt, NodeError, ParentCommand
from langgraph.pregel import Pregel
from langgraph.runtime import get_runtime

from dalsegno.graphs.kernel import CONTEXT
from dalsegno.graphs.model import START
from dalsegno.graphs.reaching import memory_of
from dalsegno.graphs.views import KERNEL
from dalsegno.nodes.entering import aentered, entered
from dalsegno.nodes.execution import CURRENT, Execution, within
from dalsegno.nodes.subworkflow import keeping_nothing, keeps, unanswerable
from dalsegno.runtime.executions import HANDLER_OF


def watched(graph: Any) -> Any:
    """A copy of a compiled graph that tells the run what its nodes do; one of ours tells already."""
    if KERNEL in graph.channels:
        return graph
    nodes = {name: node if name == START else _watched_node(name, node) for name, node in graph.nodes.items()}
    return graph.copy({"nodes": nodes})


def _watched_node(name: str, node: Any) -> Any:
    is_graph = isinstance(node.bound, Pregel)
    bound = watched(node.bound) if is_graph else node.bound
    return node.copy(
        {
            "bound": _Watched(name, bound, handled=node.error_handler_node is not None),
            "writers": [*node.writers, _Routed(is_graph=is_graph)],
            "subgraphs": [bound] if is_graph else node.subgraphs,
        }
    )


class _Watched(Runnable[Any, Any]):
    """A node's own runnable, in an execution of the run."""

    def __init__(self, name: str, bound: Runnable[Any, Any], *, handled: bool) -> None:
        self.name = self.node = name
        self._handled = handled
        self.bound = bound
        function: Any = getattr(bound, "func", None)
        if hasattr(function, "__qualname__") and not hasattr(bound, "__qualname__"):
            # LangGraph's cache tells nodes of one name by their functions.
            self.__module__, self.__qualname__ = function.__module__, function.__qualname__
        self._keeps, self._lasts = memory_of(bound)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        context, execution, superstep = _entered(input, config)
        if execution is None:
            return self.bound.invoke(input, self._own(config), **kwargs)
        execution.handled = self._handled
        token = CURRENT.set(execution)
        try:
            context.started(execution, superstep)
            output = self.bound.invoke(input, self._own(config), **kwargs)
            context.given(output)
            return output
        except ParentCommand:
            raise  # it is done when the node that takes the command is
        except BaseException as raised:
            error = self._told(raised)
            _close(context, config)
            context.failed(execution, superstep, error)
            if error is raised:
                raise
            raise error from None
        finally:
            CURRENT.reset(token)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        context, execution, superstep = _entered(input, config)
        if execution is None:
            return await self.bound.ainvoke(input, await self._aown(config), **kwargs)
        execution.handled = self._handled
        token = CURRENT.set(execution)
        try:
            context.started(execution, superstep)
            output = await self.bound.ainvoke(input, await self._aown(config), **kwargs)
            context.given(output)
            return output
        except ParentCommand:
            raise  # it is done when the node that takes the command is
        except BaseException as raised:
            error = self._told(raised)
            _close(context, config)
            context.failed(execution, superstep, error)
            if error is raised:
                raise
            raise error from None
        finally:
            CURRENT.reset(token)

    def _own(self, config: RunnableConfig | None) -> RunnableConfig | None:
        return self._bare(config, entered(config) if self._lasts and config else config)

    async def _aown(self, config: RunnableConfig | None) -> RunnableConfig | None:
        return self._bare(config, await aentered(config) if self._lasts and config else config)

    def _bare(self, given: RunnableConfig | None, own: RunnableConfig | None) -> RunnableConfig | None:
        if not self._keeps and own:
            own = keeping_nothing(own)
        if own is not given:
            var_child_runnable_config.set(own)  # LangGraph calls every node in a context of its own
        return own

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, GraphInterrupt) and getattr(self.bound, "checkpointer", None) is False:
            return unanswerable(error, self.node)
        return error


class _Routed(Runnable[Any, Any]):
    """Comes after a node's routers: only then is it done, for LangGraph runs it again when a router raises.

    So are those inside of it that have left their graph by a `Command` to this one: nothing else commits them.
    """

    def __init__(self, *, is_graph: bool) -> None:
        self._is_graph = is_graph

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        context = config["configurable"].get(CONTEXT) if config else None
        if context is not None and config is not None:
            task = _task(config)
            ended = context.open.pop(task, None)
            if ended is not None:
                for execution, superstep in _inside(context, task) if self._is_graph else ():
                    execution.left_to = ended[0]
                    context.finished(execution, superstep, ())
                if ended[0].task_id is not None:
                    ended[0].config = config
                context.finished(*ended, ())
        return input

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        # Here and at once: while it waited for a thread, a sibling that fails would cancel what is done.
        return self.invoke(input, config, **kwargs)


def _entered(input: Any, config: Any) -> tuple[Any, Execution | None, int]:
    context = config["configurable"].get(CONTEXT) if config else None
    if context is None:
        return None, None, 0
    place, info = config["metadata"], get_runtime().execution_info
    outer = CURRENT.get()
    handled = next((v for v in config["configurable"].values() if isinstance(v, NodeError)), None)
    # By the task's own name: a renamed node that was pending keeps the one that its idempotency key was made of.
    name = place["langgraph_node"] if handled is None else f"{HANDLER_OF}{handled.node}"
    path = (name,) if outer is None else within(outer, name)
    step = place["langgraph_step"]
    way = place["langgraph_path"]
    index = way[1] if len(way) > 1 and isinstance(way[1], int) else None
    execution = Execution(
        context.run_id, path, f"step {step}", index, context=context, argument=input, around=outer
    )
    if info is not None:
        execution.attempt, execution.task_id = info.node_attempt, info.task_id
        # By which what it wrote is committed where its task's commit failed:
        execution.checkpoint_id = info.checkpoint_id
    if handled is not None:  # what a handler wrote is kept with its superstep only
        execution.caught, execution.task_id = handled.error, None
    if not keeps(config):
        execution.left_to = outer
    superstep = step - context.first_step if outer is None else step
    context.open[_task(config)] = (execution, superstep)
    return context, execution, superstep


def _inside(context: Any, task: str) -> list[tuple[Execution, int]]:
    """What was under way in the graph of a task when that was left, and is not any more."""
    under_way = list(context.open)  # other threads change it meanwhile
    return [context.open.pop(inner) for inner in under_way if inner.startswith(f"{task}|")]


def _close(context: Any, config: Any) -> None:
    """Its execution is not under way any more, and was not done."""
    context.open.pop(_task(config), None)


def _task(config: Mapping[str, Any]) -> str:
    """What names a task among those under way."""
    return str(config["metadata"]["langgraph_checkpoint_ns"])
