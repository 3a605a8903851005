"""Tools as nodes: a typed function or a LangChain tool, its arguments from the state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.types import Command
from pydantic import ValidationError

from dalsegno.errors import DefinitionError, FieldMissing, ToolFailed, did_you_mean
from dalsegno.nodes.background import BACKGROUND
from dalsegno.nodes.execution import masked_here
from dalsegno.nodes.fields import MISSING, field_of, names_of, needed, tops
from dalsegno.nodes.injecting import injected, injected_by
from dalsegno.nodes.kinds import COUNT, FLAG, KEYS, TEXT, Kind, check_kinds, is_of_texts
from dalsegno.nodes.player import Player
from dalsegno.nodes.structured import problems
from dalsegno.nodes.toolbox import PASSED_ON, Toolbox, unread
from dalsegno.nodes.tooling import (
    arguments_of,
    as_tool,
    data_in,
    function_of,
    is_async_only,
    request_of,
    required_of,
)

Errors = Literal["raise", "result"]

_KINDS = {
    "name": TEXT,
    "description": TEXT,
    "args": Kind(is_of_texts, "{parameter: state key}"),
    "writes": KEYS,
    "calls": COUNT,
    "effect": FLAG,
    "idempotent": FLAG,
}


def tool(
    action: BaseTool | Callable[..., Any],
    *,
    args: Mapping[str, str] | None = None,
    writes: str | Mapping[str, str] | None = None,
    errors: Errors | None = None,
    name: str | None = None,
    description: str | None = None,
    calls: int | None = 0,
    effect: bool = False,
    idempotent: bool = False,
) -> Tool:
    """A tool: a node that calls a function with arguments from the state, or one of an agent's `tools`.

    Parameters
    ----------
    action
        A function with typed parameters, sync or async, or a LangChain tool.
    args
        ``{parameter: state key}``, dotted if need be. Default: each parameter takes the state key of its own name. A
        parameter with a default is left out if the state does not have the key.
    writes
        The state key for the result, or ``{state key: field of the result}``. None: the result is the update itself.
    errors
        ``"raise"``: the node fails with the tool's own error, so that its policies see it. ``"result"``: a text about
        the failure takes the place of the result, so that an agent can react. Default: a node raises, an agent is
        told.
    name, description
        What an agent's model is told. Default: the function's name and docstring.
    calls
        The most model calls in one call of the tool. None: unknown. A call beyond it is an error.
    effect, idempotent
        Whether the tool changes the world, and whether it may be repeated without harm.

    Raises
    ------
    DefinitionError
        An option is not valid: the function does not have the parameter, or has no type for it.

    Example
    -------
    >>> def price(amount: int, rate: float = 0.2) -> float:
    ...     return amount * (1 + rate)
    >>> tool(price, args={"amount": "order.total"}, writes="price").invoke({"order": {"total": "100"}})
    {'price': 120.0}
    """
    return Tool(
        action,
        args=args,
        writes=writes,
        errors=errors,
        name=name,
        description=description,
        calls=calls,
        effect=effect,
        idempotent=idempotent,
    )


class Tool(Player):
    """What `tool` returns; see there."""

    kind: ClassVar[Literal["tool"]] = "tool"

    def __init__(
        self,
        action: BaseTool | Callable[..., Any],
        *,
        args: Mapping[str, str] | None,
        writes: str | Mapping[str, str] | None,
        errors: Errors | None,
        name: str | None,
        description: str | None,
        calls: int | None,
        effect: bool,
        idempotent: bool,
    ) -> None:
        given = {"name": name, "description": description, "args": args, "writes": writes, "calls": calls}
        check_kinds("tool", {**given, "effect": effect, "idempotent": idempotent}, _KINDS)
        self.tool = as_tool(action, name=name, description=description)
        self.name = name or self.tool.name
        self.writes = writes
        if errors not in (None, "raise", "result"):
            raise DefinitionError(f'tool(errors={errors!r}): "raise" or "result".')
        self.errors = errors
        self._calls, self._effect, self._idempotent = calls, effect, idempotent
        known, self._required = arguments_of(self.tool), required_of(self.tool)
        for parameter in args or ():
            if known is not None and parameter not in known:
                raise DefinitionError(
                    f"tool(args={{{parameter!r}: ...}}): `{self.tool.name}` takes no argument `{parameter}`"
                    f"{did_you_mean(parameter, known) or '.'} It takes "
                    f"{', '.join(f'`{k}`' for k in known) or 'none'}."
                )
        self.args = dict(args) if args is not None else {}
        self.spares = frozenset(known or ()) - {*self._required, *self.args, *tops(self.args.values())}
        self.args |= {k: k for k in known or self._required if k not in self.args}
        self._injected = injected_by(self.tool)

    def declares(self) -> dict[str, Any]:
        """The state keys that it reads and writes, its model calls, and whether it changes the world."""
        said: dict[str, Any] = {"calls": self._calls, "reads": tops(self.args.values())}
        if self.writes is not None:
            said["writes"] = (self.writes,) if isinstance(self.writes, str) else tuple(self.writes)
        return {**said, "effect": self._effect, "idempotent": self._idempotent}

    def functions(self) -> tuple[Any, ...]:
        """What it calls."""
        function = function_of(self.tool)
        return () if function is None else (function,)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Call the tool with arguments from the state, and return the update.

        Raises
        ------
        FieldMissing
            The state lacks an argument.
        ToolFailed
            The arguments do not fit, or the result has no place in the state.

        And whatever the tool itself raises.
        """
        arguments = self._arguments(input, ensure_config(config))
        try:
            if is_async_only(self.tool):
                result = BACKGROUND.run(self.tool.ainvoke(request_of(self.tool, arguments), config))
            else:
                result = self.tool.invoke(request_of(self.tool, arguments), config)
            result = data_in(self.tool, result)
        except PASSED_ON:
            raise
        except Exception as error:
            result = self._failure(error)
        return self._update(result)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""
        arguments = self._arguments(input, ensure_config(config))
        try:
            result = data_in(self.tool, await self.tool.ainvoke(request_of(self.tool, arguments), config))
        except PASSED_ON:
            raise
        except Exception as error:
            result = self._failure(error)
        return self._update(result)

    def _arguments(self, state: Any, config: RunnableConfig) -> dict[str, Any]:
        found = {}
        for parameter, name in self.args.items():
            if parameter in self._required:
                found[parameter] = needed(
                    state, name, node=self.place, what=f"the argument `{parameter}`", none=True
                )
            elif (value := field_of(state, name)) is not MISSING:
                found[parameter] = value
        if self._injected:
            found |= injected(self._injected, state, config, call=self.name, node=self.place)
        return found

    def _failure(self, error: Exception) -> str:
        schema = getattr(self.tool.args_schema, "__name__", None)
        if isinstance(error, ValidationError) and error.title == schema:
            said = problems(error, self.tool.args_schema)
            error = ToolFailed(
                f"The arguments of `{self.tool.name}` in `{self.place}` do not fit:\n{said}",
                node=self.place,
                tool=self.tool.name,
                problem=said,
            )
        if self.errors != "result":
            raise error
        problem = error.problem if isinstance(error, ToolFailed) else f"{type(error).__name__}: {error}"
        return masked_here(f"`{self.tool.name}` failed. {problem}")

    def _update(self, result: Any) -> dict[str, Any]:
        if isinstance(result, Command):
            raise ToolFailed(
                f"`{self.tool.name}` in `{self.place}` gave a Command, and a tool gives a value. A function that "
                "steers the graph is a node itself: add_node(function, destinations=...).",
                node=self.place,
                tool=self.tool.name,
                problem="it gave a Command",
            )
        if isinstance(self.writes, str):
            return {self.writes: result}
        if self.writes is not None:
            try:
                return {
                    key: needed(result, field, node=self.place, what=f"the state key `{key}`", none=True)
                    for key, field in self.writes.items()
                }
            except FieldMissing as error:
                known = names_of(result)
                raise ToolFailed(
                    f"`{self.tool.name}` in `{self.place}` gave no `{error.field}`"
                    f"{did_you_mean(error.field, known) or '.'} It gave {', '.join(known) or repr(result)}.",
                    node=self.place,
                    tool=self.tool.name,
                    problem=f"no field {error.field}",
                ) from None
        if isinstance(result, Mapping):
            return dict(result)
        raise ToolFailed(
            f"`{self.tool.name}` in `{self.place}` gave {type(result).__name__}, and that goes nowhere. Say where: "
            'tool(..., writes="key").',
            node=self.place,
            tool=self.tool.name,
            problem="its result goes nowhere",
        )


def tool_calls(tools: Sequence[Any], *, messages: str = "messages", name: str = "tools") -> ToolCalls:
    """A node that makes the tool calls of the last message, side by side, and adds the results to the messages.

    For loops of agent and tools that are drawn as two nodes; every failure is a result. `tools` are as in `agent`.

    >>> def add(a: int, b: int) -> int:
    ...     return a + b
    >>> call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}
    >>> tool_calls([add]).invoke({"messages": [AIMessage("", tool_calls=[call])]})["messages"][0].text
    '3'
    """
    return ToolCalls(tools, messages=messages, name=name)


class ToolCalls(Player):
    """What `tool_calls` returns; see there."""

    kind: ClassVar[Literal["tool"]] = "tool"

    def __init__(self, tools: Sequence[Any], *, messages: str, name: str) -> None:
        self.toolbox = Toolbox(tools)
        self.messages = messages
        self.name = name

    def declares(self) -> dict[str, Any]:
        """The messages that it reads and adds to; no model call, where no tool makes one."""
        calls = 0 if self.toolbox.most_calls == 0 else None
        keys = {"reads": (self.messages,), "writes": (self.messages,)}
        return {"calls": calls, **keys, **self.toolbox.effects()}

    def functions(self) -> tuple[Any, ...]:
        """What is behind the tools."""
        return self.toolbox.functions()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Make the calls of the last message.

        Raises
        ------
        FieldMissing
            There are no messages.
        ToolFailed
            The last message is none of a model.
        """
        self.toolbox.open()
        last = self._last(input)
        results = self.toolbox.use(last.tool_calls, ensure_config(config), Counter(), state=input)
        return {self.messages: [*results, *unread(last)]}

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` in the running event loop."""
        await self.toolbox.aopen()
        last = self._last(input)
        results = await self.toolbox.ause(last.tool_calls, ensure_config(config), Counter(), state=input)
        return {self.messages: [*results, *unread(last)]}

    def _last(self, state: Any) -> AIMessage:
        found = needed(state, self.messages, node=self.place, what="the calls to make")
        last = found[-1] if found else None
        if isinstance(last, AIMessage):
            return last
        raise ToolFailed(
            f"`{self.place}` makes the tool calls of the last message in `{self.messages}`, which is "
            f"{type(last).__name__}, not a model's message.",
            node=self.place,
            tool="",
            problem="the last message calls no tools",
        )
