"""One turn of an actor that may call tools: what it said, which calls are in it, and what comes of them.

Each turn is a node of its own, so that it is committed, drawn and counted; `agent` has its turns inside of one node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns.roles import Node
from dalsegno.graphs.patterns.states import read
from dalsegno.nodes.agent import Agent
from dalsegno.nodes.conversation import LAST_TURN
from dalsegno.nodes.models import calls_of, is_model, resolved
from dalsegno.nodes.player import Player
from dalsegno.nodes.prompts import Told
from dalsegno.nodes.toolbox import Toolbox, unread


def calls_in(said: Any, turn: int = 0) -> list[ToolCall]:
    """The calls of tools in what an actor said; none where it is an answer.

    A message's own, or ``{"name": ..., "args": {...}}``, one or a list of them.

    >>> calls_in({"name": "look", "args": {"at": "sky"}})
    [{'name': 'look', 'args': {'at': 'sky'}, 'id': 'call 0.0', 'type': 'tool_call'}]
    >>> calls_in("It is blue.")
    []
    """
    if isinstance(said, AIMessage):
        return _told_apart(said, turn).tool_calls
    parts: Sequence[Any] = said if isinstance(said, list | tuple) else [said]
    if not all(map(_is_call, parts)):
        return []
    return [
        ToolCall(name=p["name"], args=dict(p["args"]), id=p.get("id") or f"call {turn}.{n}", type="tool_call")
        for n, p in enumerate(parts)
    ]


_CALL = {"name", "args", "id", "type"}


def _is_call(part: Any) -> bool:
    """Whether it is written as a call is; what only has its keys is an answer, as anything else."""
    if not (isinstance(part, Mapping) and {"name", "args"} <= set(part) <= _CALL):
        return False
    name, args, id = part["name"], part["args"], part.get("id")
    return (
        isinstance(name, str)
        and isinstance(args, Mapping)
        and all(isinstance(key, str) for key in args)
        and isinstance(id, str | None)
    )


def acts(said: Any) -> bool:
    """Whether it calls anything, be it in a way that nobody can read."""
    return bool(calls_in(said)) or (isinstance(said, AIMessage) and bool(said.invalid_tool_calls))


def answer_in(said: Any) -> Any:
    """The answer in what an actor said: a message's text, anything else as it is."""
    return said.text if isinstance(said, AIMessage) else said


def message_of(said: Any, turn: int = 0) -> AIMessage:
    """What was said as a message."""
    if isinstance(said, AIMessage):
        return _told_apart(said, turn)
    calls = calls_in(said, turn)
    return AIMessage("" if calls else str(said), tool_calls=calls)


def _told_apart(message: AIMessage, turn: int) -> AIMessage:
    """The message, each call in it with an id of its own, by which its result is found: not every model gives one."""
    ids = [call["id"] for call in message.tool_calls]
    if all(ids) and len(set(ids)) == len(ids):
        return message
    calls = [{**call, "id": f"call {turn}.{n}"} for n, call in enumerate(message.tool_calls)]
    return message.model_copy(update={"tool_calls": calls})


def turn_number(state: Any) -> int:
    """Which turn it is, from 1: every one before has left a message."""
    return 1 + len([message for message in read(state, "messages", []) if message.type == "ai"])


def _unread(said: Any) -> list[ToolMessage]:
    return unread(said) if isinstance(said, AIMessage) else []


class Tools:
    """The tools of an actor, ready for one turn's calls: at most so many at once.

    Parameters
    ----------
    most
        Calls in one turn; those beyond are not made, and their results say so.
    """

    def __init__(self, tools: Sequence[Any], most: int) -> None:
        self.box = Toolbox(tools)
        self.most = most

    @property
    def most_model_calls(self) -> int | None:
        """The most model calls that a turn's calls can make."""
        inside = self.box.most_calls
        return None if inside is None else inside * self.most

    def use(self, said: Any, turn: int, state: Any, config: RunnableConfig) -> list[BaseMessage]:
        """The results of the calls in what was said, in their order."""
        self.box.open()
        calls = calls_in(said, turn)
        made = self.box.use(calls[: self.most], config, Counter(), state=state) if calls else []
        return [*made, *self._beyond(calls), *_unread(said)]

    async def ause(self, said: Any, turn: int, state: Any, config: RunnableConfig) -> list[BaseMessage]:
        """`use` in the running event loop."""
        await self.box.aopen()
        calls = calls_in(said, turn)
        made = await self.box.ause(calls[: self.most], config, Counter(), state=state) if calls else []
        return [*made, *self._beyond(calls), *_unread(said)]

    def _beyond(self, calls: Sequence[ToolCall]) -> list[ToolMessage]:
        text = f"Not called: {self.most} calls can be made at once. Call it in the next turn."
        return [
            ToolMessage(text, tool_call_id=call["id"] or "", name=call["name"], status="error")
            for call in calls[self.most :]
        ]


class Turn(Player):
    """A model that is asked once, with tools to call; what it says goes under `key`.

    Parameters
    ----------
    prompt
        What it is told before the messages of the state; its own, where the actor is an `agent`.
    last
        ``state -> bool``: no tool can be called any more, so that it answers with what it has.
    """

    kind: ClassVar[Literal["agent"]] = "agent"

    def __init__(self, actor: Any, box: Toolbox, *, prompt: str, key: str, last: Any, name: str) -> None:
        self.name, self.key = name, key
        self.model = actor.model if isinstance(actor, Agent) else actor
        self.told = Told(actor.told.prompt if isinstance(actor, Agent) else prompt)
        self._box, self._last = box, last

    def declares(self) -> Mapping[str, Any]:
        said: dict[str, Any] = {"calls": calls_of(self.model), "writes": (self.key,)}
        if self.told.reads is not None:
            said["reads"] = (*self.told.reads, "messages")
        return said

    def functions(self) -> tuple[Any, ...]:
        return (self.told.prompt,) if callable(self.told.prompt) else ()

    def words(self) -> str:
        return f"{self.told.prompt if isinstance(self.told.prompt, str) else ''} {self._box.names}"

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        self._box.open()
        return {self.key: self._asking(input).invoke(self._messages(input), ensure_config(config))}

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        await self._box.aopen()
        return {self.key: await self._asking(input).ainvoke(self._messages(input), ensure_config(config))}

    def _messages(self, state: Any) -> list[BaseMessage]:
        said = self.told.to(state, node=self.place)
        told = self.told.followed(said, read(state, "messages", []), "messages")
        return [*told, HumanMessage(LAST_TURN)] if self._last(state) else told

    def _asking(self, state: Any) -> Runnable[Any, Any]:
        tools = list(self._box.tools.values())
        choice = {"tool_choice": "none"} if self._last(state) else {}
        asking: Runnable[Any, Any] = resolved(self.model).bind_tools(tools, **choice)
        return asking


def turn_of(given: Any, box: Toolbox, *, pattern: str, prompt: str, key: str, last: Any, name: str) -> Node:
    """An actor as one that takes turns: a model, or an `agent` without tools of its own, is asked once a turn.

    Raises
    ------
    DefinitionError
        It is an agent with tools of its own, or one whose answer has a shape.
    """
    node: Node = Node.of(given)
    actor = node.actor
    if isinstance(actor, Agent) and (len(actor.toolbox) or actor.output is not None):
        raise DefinitionError(
            f"{pattern}: `{name}` is an agent with tools or an output of its own, and would do in one node what this "
            "pattern does in several. Give it the model and the prompt alone: agent(model, prompt)."
        )
    if isinstance(actor, Agent) or is_model(actor):
        turn = Turn(actor, box, prompt=prompt, key=key, last=last, name=name)
        return Node(turn, name=node.name, **node.options)
    return node
