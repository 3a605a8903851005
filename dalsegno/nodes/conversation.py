"""What goes back and forth between an agent, its model and its tools, until there is an answer: no I/O.

`conversation` is a generator. It yields what to do next, is sent what came of it, and returns the answer, so that both
colours drive the same rules.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    ToolCall,
    ToolMessage,
)

from dalsegno.errors import AnswerInvalid
from dalsegno.nodes.secrets import MASK, holds_secret
from dalsegno.nodes.structured import Output, Said

Offer = Literal["tools", "no more tools", "none"]
"""What a model may do beside answering: call tools, no longer call them, or it has none."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the model with these messages; send back a `Said`."""

    messages: Sequence[BaseMessage]
    offer: Offer


@dataclass(frozen=True, slots=True)
class Use:
    """Use tools, side by side; send back a `ToolMessage` for each, in their order."""

    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class Corrected:
    """The model is about to be told that its answer does not fit; send back nothing."""

    problem: str
    number: int


@dataclass(frozen=True)
class Rules:
    """The bounds of a conversation.

    `turns` are model calls of the tool loop (1 where there are no tools), `corrections` further ones for answers that
    do not fit, `tool_calls` calls of tools in all. `node` is who is at it, for errors.
    """

    node: str
    output: Output | None = None
    has_tools: bool = False
    turns: int = 1
    corrections: int = 0
    tool_calls: int = 0

    @property
    def calls(self) -> int:
        """The most model calls."""
        return self.turns + self.corrections


@dataclass(frozen=True, slots=True)
class Answer:
    """How a conversation ended: the value, and every message that came after the prompt."""

    value: Any
    messages: list[BaseMessage] = field(default_factory=list)


Talk = Generator[Ask | Use | Corrected, Any, Answer]


def conversation(rules: Rules, prompt: Sequence[BaseMessage]) -> Talk:
    """Ask, use tools, correct, until the answer fits.

    A turn that calls tools is followed by another one. In the last turn no tool is offered any more, so that the model
    has to answer with what it has. An answer that does not fit goes back with what is wrong with it.

    Raises
    ------
    AnswerInvalid
        The last correction did not fit either, or the model calls tools where none is offered.
    """
    said: list[BaseMessage] = []
    turn = corrected = used = 0
    while True:
        turn += 1
        offer: Offer = "none" if not rules.has_tools else "tools" if turn < rules.turns else "no more tools"
        last: list[BaseMessage] = [HumanMessage(LAST_TURN)] if offer == "no more tools" and said else []
        answer: Said = yield Ask([*prompt, *said, *last], offer)
        message = answer.message
        calls, broken = _calls_of(message, rules.output)
        if offer == "tools" and (calls or broken):
            left = max(rules.tool_calls - used, 0)
            used += len(calls)
            results = yield Use(calls[:left])
            said += _results(message, results, rules)
            continue
        try:
            if calls or broken:
                raise ValueError(_no_more(calls, broken, rules))
            value = _value(answer, rules.output)
        except ValueError as error:
            problem = str(error)
        else:
            return Answer(value, [*said, message])
        if corrected >= rules.corrections:
            raise _gives_up(rules, message, problem, turn + corrected)
        corrected += 1
        turn -= 1
        yield Corrected(problem, corrected)
        said += [message, *_refusal(message, problem)]


LAST_TURN = "No tool can be called any more. Answer now, with what you have."


def _calls_of(message: AIMessage, output: Output | None) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The calls of real tools; that of the output's schema is the answer."""
    calls = [call for call in message.tool_calls if not _is_answer(call, output)]
    return calls, [call for call in message.invalid_tool_calls if not _is_answer(call, output)]


def _is_answer(call: ToolCall | InvalidToolCall, output: Output | None) -> bool:
    return output is not None and call["name"] == output.name


def _value(answer: Said, output: Output | None) -> Any:
    message = answer.message
    if output is None:
        return message.text
    if answer.problem is not None:
        raise ValueError(answer.problem)
    if answer.data is not None:
        return output.read(answer.data)
    for call in message.tool_calls:
        if call["name"] == output.name:
            return output.read(call["args"])
    for broken in message.invalid_tool_calls:
        raise ValueError(
            f"the arguments of `{broken['name']}` are not JSON: {broken['error'] or broken['args']}"
        )
    try:
        return output.read(json.loads(message.text))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"it is no call of `{output.name}` and no JSON") from None


def _results(message: AIMessage, results: Sequence[ToolMessage], rules: Rules) -> list[BaseMessage]:
    """The message that calls tools, and an answer to every call in it: a provider refuses one that has none.

    `results` are those of the first calls of tools, in their order: not every model gives each call an id of its own.
    """
    said: list[BaseMessage] = [message]
    made = iter(results)
    for call in message.tool_calls:
        if _is_answer(call, rules.output):
            said.append(
                _error(call, "Not taken, for tools were called beside it. Read their results, then answer.")
            )
        elif (result := next(made, None)) is not None:
            said.append(result)
        else:
            said.append(
                _error(call, f"Not called: all {rules.tool_calls} tool calls are used up. Answer without.")
            )
    for broken in message.invalid_tool_calls:
        problem = broken["error"] or broken["args"]
        said.append(_error(broken, f"Not called, for its arguments are not JSON: {problem}"))
    return said


def _refusal(message: AIMessage, problem: str) -> list[BaseMessage]:
    text = f"Your answer does not fit:\n{problem}\nAnswer again, and keep to the schema."
    calls: list[ToolCall | InvalidToolCall] = [*message.tool_calls, *message.invalid_tool_calls]
    return [_error(call, text) for call in calls] if calls else [HumanMessage(text)]


def _error(call: ToolCall | InvalidToolCall, text: str) -> ToolMessage:
    return ToolMessage(text, tool_call_id=call["id"] or "", name=call["name"], status="error")


def _no_more(calls: Sequence[ToolCall], broken: Sequence[InvalidToolCall], rules: Rules) -> str:
    names = ", ".join(f"`{call['name']}`" for call in [*calls, *broken])
    if not rules.has_tools:
        return f"it calls {names}, and there are no tools"
    return f"it calls {names}, and after {rules.turns} turns no tool can be called any more"


def _gives_up(rules: Rules, message: AIMessage, problem: str, asked: int) -> AnswerInvalid:
    said = message.text or json.dumps([c["args"] for c in [*message.tool_calls, *message.invalid_tool_calls]])
    if rules.output is not None and holds_secret(rules.output.type):
        said = MASK
    times = f"{asked} calls" if asked > 1 else "its call"
    wanted = f" for `{rules.output.name}`" if rules.output is not None else ""
    shown = said if len(said) <= 500 else f"{said[:500]}…"
    return AnswerInvalid(
        f"The model of `{rules.node}` gave no answer that fits{wanted} in {times}. Last it said {shown!r}; the "
        f"problem: {problem}. Say in the prompt what is needed, loosen `output`, or allow more `corrections` or "
        "`max_turns`.",
        node=rules.node,
        said=said,
        problem=problem,
        asked=asked,
    )
