"""The tools of an agent: calls of them checked, made side by side, and every failure made a result."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, get_executor_for_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from pydantic import ValidationError

from dalsegno.errors import AttemptAbandoned, DefinitionError, KernelError, ToolFailed, did_you_mean
from dalsegno.nodes.background import BACKGROUND
from dalsegno.nodes.beside_nodes import in_thread
from dalsegno.nodes.cancelling import ended
from dalsegno.nodes.execution import CURRENT, Execution, current_execution, masked_here
from dalsegno.nodes.injecting import What, injected, injected_by
from dalsegno.nodes.kinds import shortly
from dalsegno.nodes.recalling import has_asked, is_answered, is_in_run, keep, note_asked, recalled
from dalsegno.nodes.structured import problems
from dalsegno.nodes.tooling import arguments_of, as_tool, check_told, function_of, is_async_only, known_of

PASSED_ON = (GraphBubbleUp, KernelError, AttemptAbandoned)
"""What no agent may react to: LangGraph's signals, a spent budget or bound, a call that was given up."""


class Toolbox:
    """Tools by name; `answer` is how an agent's answer of a shape is called.

    Raises
    ------
    DefinitionError
        Two of them have one name, or one that of the answer.
    """

    def __init__(self, tools: Sequence[Any], *, answer: str | None = None) -> None:
        self._answer = answer
        self.tools: dict[str, BaseTool] = {}
        self._servers: list[Any] = []
        self._injected: dict[str, dict[str, What]] = {}
        self._lock = threading.Lock()
        if not isinstance(tools, Iterable) or isinstance(tools, str | Mapping):
            raise DefinitionError(f"tools={shortly(tools)}: a list of tools is needed.")
        for tool in tools:
            if hasattr(tool, "list_tools"):
                self._servers.append(tool)
            else:
                self._add(as_tool(tool))
        self.names = tuple(self.tools)
        """Of those that are known before any server is asked."""

    def __len__(self) -> int:
        return len(self.tools) + len(self._servers)

    @property
    def most_calls(self) -> int | None:
        """The most model calls in one call of one of them; None where one's are unknown."""
        inside = [known_of(tool).calls for tool in self._now()]
        return None if None in inside else max([n for n in inside if n is not None], default=0)

    def effects(self) -> dict[str, bool]:
        """Whether one of them changes the world, and whether all that do may be repeated unharmed."""
        changing = [known for known in map(known_of, self._now()) if known.effect]
        return {
            "effect": bool(changing),
            "idempotent": bool(changing) and all(k.idempotent for k in changing),
        }

    def functions(self) -> tuple[Any, ...]:
        """The functions behind the tools."""
        return tuple(f for f in map(function_of, self._now()) if f is not None)

    def open(self) -> None:
        """Ask the servers for their tools, once."""
        if self._servers:
            with self._lock:
                while self._servers:
                    self._add(*self._servers[0].list_tools())
                    self._servers.pop(0)

    async def aopen(self) -> None:
        """`open` without blocking the running event loop."""
        if self._servers:
            await asyncio.to_thread(self.open)

    def _now(self) -> list[BaseTool]:
        """Those that are known now: an execution in another thread may ask a server for more meanwhile."""
        return list(self.tools.values())

    def _add(self, *tools: BaseTool) -> None:
        """Add all of them, or none: a server whose tools are refused is asked for them again."""
        names = Counter([*self.tools, *(tool.name for tool in tools)])
        for tool in tools:
            if names[tool.name] > 1:
                raise DefinitionError(f"Two tools are called `{tool.name}`: give one of them another name.")
            if tool.name == self._answer:
                raise DefinitionError(
                    f"The tool `{tool.name}` has the same name as the `output`, so a call of it would be taken for the "
                    "answer. Give one of them another name."
                )
            check_told(tool)
        for tool in tools:
            self._injected[tool.name] = injected_by(tool)
            self.tools[tool.name] = tool

    def use(
        self,
        calls: Sequence[ToolCall],
        config: RunnableConfig,
        counted: Counter[str],
        *,
        state: Any = None,
        turn: str = "",
    ) -> list[ToolMessage]:
        """Make the calls, each in a thread of its own where there are several; results in their order.

        `counted` are the calls that this execution has made before, see `key_of`; `state` is what tools may have
        injected. In a run results are kept, and read back when the execution is repeated; `turn` is the conversation
        that has to be the same then, where it is not part of the state.
        Where one of them waited for a human they are made one after the other, so that each gets its own answer.
        """
        keys = [key_of(call, counted) for call in calls]
        make = partial(self._use, config=config, state=state, turn=turn)
        asked = self._has_asked(calls, keys, turn) if is_in_run() else is_answered(config)
        if len(calls) == 1 or asked:
            return [make(call, key) for call, key in zip(calls, keys, strict=True)]
        with get_executor_for_config(ensure_config(config)) as executor:
            return list(executor.map(make, calls, keys))

    async def ause(
        self,
        calls: Sequence[ToolCall],
        config: RunnableConfig,
        counted: Counter[str],
        *,
        state: Any = None,
        turn: str = "",
    ) -> list[ToolMessage]:
        """`use` in the running event loop."""
        keys = [key_of(call, counted) for call in calls]
        make = partial(self._ause, config=config, state=state, turn=turn)
        if is_in_run():
            asked = await in_thread(self._has_asked, calls, keys, turn)
        else:
            asked = is_answered(config)
        if len(calls) == 1 or asked:
            return [await make(call, key) for call, key in zip(calls, keys, strict=True)]
        most = asyncio.Semaphore(config.get("max_concurrency") or len(calls))

        async def bounded(call: ToolCall, key: str) -> ToolMessage:
            async with most:
                return await make(call, key)

        tasks = [asyncio.ensure_future(bounded(c, k)) for c, k in zip(calls, keys, strict=True)]
        try:
            # All of them: of several questions the first call's is asked, not the quickest one's.
            results = await asyncio.gather(*tasks, return_exceptions=True)
        except asyncio.CancelledError:
            await ended(*tasks)
            raise
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, ToolMessage)]

    def _has_asked(self, calls: Sequence[ToolCall], keys: Sequence[str], turn: str) -> bool:
        for call, key in zip(calls, keys, strict=True):
            with _part(call["name"], key):
                if has_asked(turn):
                    return True
        return False

    def _use(self, call: ToolCall, key: str, *, config: RunnableConfig, state: Any, turn: str) -> ToolMessage:
        problem = self._unfit(call)
        if problem is not None:
            return failed(call, problem)
        tool = self.tools[call["name"]]
        with _part(call["name"], key):
            asked = has_asked(turn)
            before = recalled(f"result {turn}") if not asked else None
            if isinstance(before, ToolMessage):
                return before
            try:
                if is_async_only(tool):
                    answer = BACKGROUND.run(tool.ainvoke(self._request(call, state, config), config))
                else:
                    answer = tool.invoke(self._request(call, state, config), config)
                result = _message(call, answer)
            except GraphInterrupt:
                note_asked(turn)
                raise
            except PASSED_ON:
                raise
            except Exception as error:
                return self._failed(call, error)
            if not asked and result.status == "success":
                keep(f"result {turn}", result)
            return result

    async def _ause(
        self, call: ToolCall, key: str, *, config: RunnableConfig, state: Any, turn: str
    ) -> ToolMessage:
        problem = self._unfit(call)
        if problem is not None:
            return failed(call, problem)
        tool = self.tools[call["name"]]
        in_run = is_in_run()
        with _part(call["name"], key):
            asked = in_run and await in_thread(has_asked, turn)
            before = await in_thread(recalled, f"result {turn}") if in_run and not asked else None
            if isinstance(before, ToolMessage):
                return before
            try:
                result = _message(call, await tool.ainvoke(self._request(call, state, config), config))
            except GraphInterrupt:
                if in_run:
                    await in_thread(note_asked, turn)
                raise
            except PASSED_ON:
                raise
            except Exception as error:
                return self._failed(call, error)
            if in_run and not asked and result.status == "success":
                await in_thread(keep, f"result {turn}", result)
            return result

    def _unfit(self, call: ToolCall) -> str | None:
        """Why a call cannot be made: no such tool, or an argument that it does not have."""
        name = call["name"]
        tool = self.tools.get(name)
        if tool is None:
            return f"There is no tool `{name}`{did_you_mean(name, self.tools) or '.'} {self._listed()}"
        known = arguments_of(tool)
        for argument in call["args"]:
            if known is not None and argument not in known:
                return (
                    f"`{name}` takes no argument `{argument}`{did_you_mean(argument, known) or '.'} "
                    f"It takes {', '.join(f'`{k}`' for k in known) or 'none'}."
                )
        return None

    def _listed(self) -> str:
        return f"There {'are' if len(self) > 1 else 'is'} {', '.join(f'`{name}`' for name in self.tools)}."

    def _request(self, call: ToolCall, state: Any, config: RunnableConfig) -> Any:
        name, arguments, number = call["name"], call["args"], call["id"] or ""
        if self._injected[name]:
            more = injected(self._injected[name], state, config, call=number, node=name)
            arguments = {**arguments, **more}
        return {"name": name, "args": arguments, "id": number, "type": "tool_call"}

    def _failed(self, call: ToolCall, error: Exception) -> ToolMessage:
        tool = self.tools[call["name"]]
        if known_of(tool).loud or (isinstance(error, ToolFailed) and error.data.get("loud")):
            raise error
        schema = tool.args_schema
        is_argument = isinstance(error, ValidationError) and error.title == getattr(schema, "__name__", None)
        if isinstance(error, ValidationError) and is_argument:
            return failed(call, f"The arguments of `{tool.name}` do not fit:\n{problems(error, schema)}")
        execution = current_execution()
        if execution is not None and execution.context is not None:
            detail = {"tool": tool.name, "error": type(error).__name__}
            execution.context.acted(execution.whole, "tool", "failed", detail)
        said = error.problem if isinstance(error, ToolFailed) else f"{type(error).__name__}: {error}"
        return failed(call, masked_here(f"`{tool.name}` failed. {said}"))


def key_of(call: ToolCall, counted: Counter[str]) -> str:
    """What a call goes by when it is made again: what is asked of which tool, and how often it was asked before.

    Not the number of the call, nor the model's id for it: a model that is asked again may call other tools, or the
    same one for something else, and must not be given the recorded result of another call.
    """
    said = json.dumps([call["name"], call["args"]], sort_keys=True, default=str)
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    counted[digest] += 1
    return f"{digest}.{counted[digest]}"


def failed(call: ToolCall, problem: str) -> ToolMessage:
    """A failure as a result that a model can react to."""
    return ToolMessage(problem, tool_call_id=call["id"] or "", name=call["name"], status="error")


def unread(message: AIMessage) -> list[ToolMessage]:
    """The results of calls that cannot be read: what is wrong with them."""
    return [
        ToolMessage(
            f"Not called, for its arguments are not JSON: {call['error'] or call['args']}",
            tool_call_id=call["id"] or "",
            name=call["name"],
            status="error",
        )
        for call in message.invalid_tool_calls
    ]


def _message(call: ToolCall, result: Any) -> ToolMessage:
    if isinstance(result, ToolMessage):
        content, changes = result.content, {}
        if isinstance(content, list) and content and all(isinstance(part, str) for part in content):
            # A list of texts would be run together.
            changes["content"] = json.dumps(content, ensure_ascii=False)
        if result.tool_call_id != (call["id"] or ""):  # a message that the tool made itself
            changes["tool_call_id"] = call["id"] or ""
        return result.model_copy(update=changes) if changes else result
    raise ToolFailed(
        f"The tool `{call['name']}` gave {type(result).__name__}, and an agent takes a value. A tool that steers the "
        "graph stands in a node of its own.",
        node=call["name"],
        tool=call["name"],
        problem=f"it gave {type(result).__name__}",
        loud=True,
    )


@contextmanager
def _part(name: str, key: str) -> Iterator[None]:
    """A call inside of an execution: the names of its effects, and its idempotency key, are its own."""
    whole: Execution | None = current_execution()
    if whole is None:
        yield
        return
    token = CURRENT.set(whole.part(name, key))
    try:
        yield
    finally:
        CURRENT.reset(token)
