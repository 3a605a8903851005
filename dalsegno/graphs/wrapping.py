"""The function that LangGraph is given for a node: the kernel around one call, sync or async."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp

from dalsegno.graphs.calling import ERROR, LIMIT, Config
from dalsegno.graphs.kernel import CONTEXT, Entry, NodeKernel, goes_out
from dalsegno.graphs.reaching import memory_of
from dalsegno.nodes.entering import aentered, entered
from dalsegno.nodes.execution import CURRENT, Execution, RunContext, Taken
from dalsegno.nodes.policies.metering import METER, THE_METER, WATCH
from dalsegno.nodes.subworkflow import keeping_nothing


class Inner:
    """The result of a subworkflow, with the length of the longest walk in it."""

    __slots__ = ("output", "walk")

    def __init__(self, output: Any, walk: int) -> None:
        self.output = output
        self.walk = walk


def call_node(kernel: NodeKernel, state: Any, config: Config, given: Config) -> Any:
    """Run a node: it is the current execution meanwhile, and the run hears how it went.

    `given` is the config that the user's function gets.
    """
    context: RunContext | None = config["configurable"].get(CONTEXT)
    entry = kernel.enter(state, config, context)
    if context is not None:
        _place(kernel, entry, context, given)
    token = CURRENT.set(entry.execution)
    meter = METER.set(THE_METER) if context is not None else None
    watch = WATCH.set(context.watch) if context is not None and context.watch is not None else None
    try:
        if context is not None:
            context.takes_thread(entry.execution)
            context.started(entry.execution, entry.superstep)
        parts = _answered(kernel, entry, _called(kernel, entry, given))
        if context is not None:
            context.given(parts)
        answers: Sequence[Any] = ()
        if kernel.routers and not goes_out(parts):
            after = kernel.applied(state, parts)
            answers = [router.call(view(after), config) for _, router, view in kernel.routers]
        result = kernel.leave(entry, parts, answers)
    except BaseException as error:
        if context is not None:
            context.failed(_attempt(kernel, entry), entry.superstep, error)
        raise
    finally:
        CURRENT.reset(token)
        if meter is not None:
            METER.reset(meter)
        if watch is not None:
            WATCH.reset(watch)
    if context is not None:
        _tell(context, kernel, entry, parts)
    return result


async def acall_node(kernel: NodeKernel, state: Any, config: Config, given: Config) -> Any:
    """`call_node` in an event loop; a sync function or router in it goes to a thread."""
    context: RunContext | None = config["configurable"].get(CONTEXT)
    entry = kernel.enter(state, config, context)
    if context is not None:
        _place(kernel, entry, context, given)
    token = CURRENT.set(entry.execution)
    meter = METER.set(THE_METER) if context is not None else None
    watch = WATCH.set(context.watch) if context is not None and context.watch is not None else None
    try:
        if context is not None:
            context.started(entry.execution, entry.superstep)
        parts = _answered(kernel, entry, await _acalled(kernel, entry, given))
        if context is not None:
            context.given(parts)
        answers: Sequence[Any] = ()
        if kernel.routers and not goes_out(parts):
            after = kernel.applied(state, parts)
            answers = [await router.acall(view(after), config) for _, router, view in kernel.routers]
        result = kernel.leave(entry, parts, answers)
    except BaseException as error:
        if context is not None:
            context.failed(_attempt(kernel, entry), entry.superstep, error)
        raise
    finally:
        THE_METER.give_up(CURRENT.get())
        CURRENT.reset(token)
        if meter is not None:
            METER.reset(meter)
        if watch is not None:
            WATCH.reset(watch)
    if context is not None:
        _tell(context, kernel, entry, parts)
    return result


def _called(kernel: NodeKernel, entry: Entry, given: Config) -> Any:
    try:
        return kernel.caller.call(entry.argument, given)
    except Exception as error:
        raise_refused(error)
        raise


async def _acalled(kernel: NodeKernel, entry: Entry, given: Config) -> Any:
    try:
        return await kernel.caller.acall(entry.argument, given)
    except Exception as error:
        raise_refused(error)
        raise


def raise_refused(error: Exception) -> None:
    """Raise the refusal of a model call in place of what became of it, as where the node went on without the call."""
    execution = CURRENT.get()
    refused = execution.refused if execution is not None else None
    if refused is not None and refused is not error and not isinstance(error, GraphBubbleUp):
        raise refused from error


def _place(kernel: NodeKernel, entry: Entry, context: RunContext, given: Config) -> None:
    """Note where in the run an execution is, for policies and budgets, and what a handler is to catch."""
    execution = entry.execution
    execution.handled = kernel.handled
    if ERROR in given:
        execution.caught = given[ERROR].error
        execution.task_id = execution.config = None  # what a handler wrote is kept with its superstep only
    execution.superstep = entry.superstep
    if context.account.budget is not None:
        into, outer = entry.record["into"], CURRENT.get()
        walk = into[kernel.name] if kernel.name in into else max(into.values(), default=0)
        execution.before = walk if outer is None else outer.before + 1 + walk


def _attempt(kernel: NodeKernel, entry: Entry) -> Execution:
    """The attempt that is going on: the last one, where policies made several."""
    return (CURRENT.get() or entry.execution) if kernel.caller.policed else entry.execution


def _answered(kernel: NodeKernel, entry: Entry, output: Any) -> list[Any]:
    if type(output) is dict and entry.execution.context is None and not kernel.caller.policed:
        return kernel.checked(output)
    entry.execution = _attempt(kernel, entry)
    if entry.execution.refused is not None:
        raise entry.execution.refused  # a model call that was refused, also where the node went on without it
    if type(output) is Inner:
        output, entry.inner_walk = output.output, output.walk
    return kernel.checked(output)


def _tell(context: RunContext, kernel: NodeKernel, entry: Entry, parts: Sequence[Any]) -> None:
    leaves = goes_out(parts)
    if leaves:
        entry.execution.left_to = CURRENT.get()
    taken = [] if leaves else [*map(Taken, kernel.static), *entry.taken]
    context.finished(entry.execution, entry.superstep, taken)


class _Both(RunnableLambda[Any, Any]):
    """A node that is called natively in either colour: a runnable or a subworkflow.

    A `RunnableLambda` because LangGraph looks for subgraphs in the `deps` of one; called without its
    tracing, which the graph already does for every node.
    """

    def __init__(self, kernel: NodeKernel, graph: Runnable[Any, Any] | None) -> None:
        super().__init__(lambda state: state, name=kernel.name)
        self._kernel = kernel
        self._graph = graph
        self._own = _OwnConfig(kernel)

    @property
    def deps(self) -> list[Runnable[Any, Any]]:
        return [] if self._graph is None else [self._graph]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None
        return call_node(self._kernel, input, config, self._own.of(config))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None
        return await acall_node(self._kernel, input, config, await self._own.aof(config))


def wrapped(kernel: NodeKernel, *, is_async: bool) -> Callable[..., Any] | Runnable[Any, Any]:
    """What to give to `StateGraph.add_node` for that node.

    `is_async`: the node or one of its routers is a coroutine function, so that it cannot be run by
    LangGraph's sync `invoke`.
    """
    if kernel.caller.native:
        return _Both(kernel, getattr(kernel.caller, "graph", None))
    own = _OwnConfig(kernel)

    if is_async:

        async def anode(state: Mapping[str, Any], config: RunnableConfig) -> Any:
            return await acall_node(kernel, state, config, await own.aof(config))

        return _named(anode, kernel)

    def node(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        return call_node(kernel, state, config, own.of(config))

    return _named(node, kernel)


class Written(Runnable[Any, Any]):
    """Comes behind the routers that LangGraph asks itself: only now is all there that the node's task writes."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        context: RunContext | None = config["configurable"].get(CONTEXT) if config else None
        if context is not None and config is not None:
            context.written(config)
        return input

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self.invoke(input, config, **kwargs)


class _OwnConfig:
    """How the config for a node's own function is made: for the graphs that the function runs."""

    def __init__(self, kernel: NodeKernel) -> None:
        action = kernel.caller.action if getattr(kernel.caller, "graph", None) is None else None
        self._keeps, self._lasts = memory_of(action)

    def of(self, config: RunnableConfig) -> RunnableConfig:
        return self._bare(entered(config) if self._lasts else config)

    async def aof(self, config: RunnableConfig) -> RunnableConfig:
        return self._bare(await aentered(config) if self._lasts else config)

    def _bare(self, config: RunnableConfig) -> RunnableConfig:
        """Without the bound of this graph, which a graph that a node's function runs would take for its own."""
        own: RunnableConfig = {
            **(config if self._keeps else keeping_nothing(config)),
            "recursion_limit": LIMIT,
        }
        var_child_runnable_config.set(own)  # LangGraph calls every node in a context of its own
        return own


def _named(function: Callable[..., Any], kernel: NodeKernel) -> Callable[..., Any]:
    function.__name__ = kernel.name
    function.__doc__ = getattr(kernel.caller.action, "__doc__", None)
    return function
