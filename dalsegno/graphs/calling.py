"""How a user's function is called: with what LangGraph would inject, sync or async.

LangGraph injects by parameter name into the function it is given. It is given our wrapper, so the
same rule is applied here to the user's function.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.runtime import get_runtime

from dalsegno.errors import DefinitionError, UnknownStateKey
from dalsegno.nodes.looping import has_no_sync_way

_INJECTED = {
    "config": ("RunnableConfig",),
    "writer": ("StreamWriter", "Callable"),
    "store": ("BaseStore",),
    "previous": None,
    "runtime": None,
    "error": ("NodeError",),
}
"""Parameter names that are injected, and the type names they are annotated with (None: any)."""

ERROR = "__dalsegno_error__"
"""Where a handler's wrapper puts the `NodeError` that LangGraph gave it."""

LIMIT = int(os.environ.get("LANGGRAPH_DEFAULT_RECURSION_LIMIT", "10007"))
"""The supersteps of a graph that says nothing of them, as LangGraph has it."""

Config = Any
"""LangGraph's `RunnableConfig`; a plain mapping here, because a handler's carries the error too."""


class Caller:
    """A node's action or a router, ready to be called.

    `call` and `acall` take the argument and LangGraph's config. `is_async` says that only `acall`
    works; `goes_on` that a thread may be left behind when the call is cancelled; `native` that the
    action brings its own sync and async way (most runnables, a subworkflow);
    `policed` that several attempts may lie between a call and its answer.
    """

    native = False
    is_async = False
    policed = False

    def __init__(self, action: Any, *, name: str) -> None:
        self.action = action
        self.name = name
        if inspect.isgeneratorfunction(action) or inspect.isasyncgenfunction(action):
            action = RunnableLambda(_whole(action, name), name=name)
        if isinstance(action, Runnable):
            self.native = has_async_way(action)
            self.is_async = has_no_sync_way(action)
            self.call: Callable[[Any, Config], Any] = (
                self._refuse_sync
                if self.is_async
                else lambda argument, config: action.invoke(argument, config)
            )
            self.acall: Callable[[Any, Config], Any] = lambda argument, config: action.ainvoke(
                argument, config
            )
        elif callable(action):
            wanted = _wanted(action)
            if _is_coroutine_function(action):
                self.is_async = True
                self.call = self._refuse_sync
                self.acall = _without_config(action) if wanted is None else _injecting(action, wanted)
            else:
                self.call = _without_config(action) if wanted is None else _injecting(action, wanted)
                self.acall = self._in_thread
        else:
            raise DefinitionError(
                f"`{name}` is {action!r}, which cannot be called. A node or router is a function, a "
                "LangChain runnable, a LangGraph graph or a Workflow."
            )

    @property
    def goes_on(self) -> bool:
        if isinstance(self.action, Runnable):  # of a sequence one step may be a coroutine, and another none
            return not (self.is_async and self.native)
        return not self.is_async

    @property
    def needs_thread(self) -> bool:
        """Whether it has to be called in a thread of its own, with `alone`, to be left when its time is over."""
        return self.goes_on and not self.native

    def alone(self, argument: Any, config: Config) -> Any:
        """Call it in a thread that has no event loop, and may be left behind."""
        if self.is_async:
            return asyncio.run(self.acall(argument, config))
        return self.call(argument, config)

    async def _in_thread(self, argument: Any, config: Config) -> Any:
        return await run_in_executor(None, self.call, argument, config)

    def _refuse_sync(self, argument: Any, config: Config) -> Any:
        raise TypeError(
            f"`{self.name}` is a coroutine function, or can only be cancelled in an event loop: use `ainvoke` or "
            "`astream`, or give the workflow to a Runner, whose `run` drives async nodes on a loop of its own."
        )


def _whole(action: Any, name: str) -> Any:
    """A generator that fails where LangChain would keep what it yields last, and drop what came before."""

    def added(total: Any, chunk: Any) -> Any:
        try:
            return chunk if total is None else total + chunk
        except TypeError:
            raise UnknownStateKey(
                f"`{name}` yields {total!r} and then {chunk!r}: only the last would be kept. Return one of everything, "
                "or make several nodes.",
                node=name,
                key="",
            ) from None

    def whole(*args: Any, **kwargs: Any) -> Any:
        total = None
        for chunk in action(*args, **kwargs):
            total = added(total, chunk)
            yield chunk

    async def awhole(*args: Any, **kwargs: Any) -> Any:
        total = None
        async for chunk in action(*args, **kwargs):
            total = added(total, chunk)
            yield chunk

    return functools.wraps(action)(awhole if inspect.isasyncgenfunction(action) else whole)


def has_async_way(runnable: Any) -> bool:
    """Whether a runnable can be cancelled in an event loop; False where it would only go on in a thread there."""
    steps = getattr(runnable, "steps", None)
    if isinstance(steps, list):
        return all(map(has_async_way, steps))
    if isinstance(runnable, RunnableBindingBase):
        return has_async_way(runnable.bound)
    if isinstance(runnable, RunnableLambda):
        return getattr(runnable, "afunc", None) is not None
    if isinstance(runnable, BaseTool):
        own = getattr(runnable, "coroutine", None) is not None
        return own or type(runnable)._arun not in (BaseTool._arun, StructuredTool._arun, Tool._arun)
    if isinstance(runnable, BaseChatModel):
        own = type(runnable)._agenerate is not BaseChatModel._agenerate
        return own or type(runnable)._astream is not BaseChatModel._astream
    return type(runnable).ainvoke is not Runnable.ainvoke


def _is_coroutine_function(action: Any) -> bool:
    while isinstance(action, functools.partial):
        action = action.func
    method = getattr(action, "__call__", None)  # noqa: B004 - of an object, to see if it is a coroutine
    return inspect.iscoroutinefunction(action) or inspect.iscoroutinefunction(method)


def _wanted(action: Any) -> tuple[str, ...] | None:
    """The names of parameters to inject; None where there are none."""
    try:
        parameters = inspect.signature(action).parameters
    except (TypeError, ValueError):
        return None
    wanted = []
    for place, (name, parameter) in enumerate(parameters.items()):
        if place == 0 or name not in _INJECTED:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        types = _INJECTED[name]
        annotation = parameter.annotation
        if types is None or annotation is parameter.empty or any(t in str(annotation) for t in types):
            wanted.append(name)
    return tuple(wanted) or None


def _without_config(action: Callable[..., Any]) -> Callable[[Any, Config], Any]:
    return lambda argument, config: action(argument)


def _injecting(action: Callable[..., Any], wanted: tuple[str, ...]) -> Callable[[Any, Config], Any]:
    def call(argument: Any, config: Config) -> Any:
        return action(argument, **{name: _inject(name, config) for name in wanted})

    return call


def _inject(name: str, config: Config) -> Any:
    if name == "config":
        return config
    if name == "error":
        return config.get(ERROR)
    runtime = get_runtime()
    if name == "runtime":
        return runtime
    if name == "store":
        return runtime.store
    if name == "writer":
        return runtime.stream_writer
    return runtime.previous
