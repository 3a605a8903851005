"""From a reply of a script to the message that a model would give: made whole, checked, counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel

from dalsegno.errors import did_you_mean
from dalsegno.testing.scripted.calls import Call, Script, tool_name
from dalsegno.testing.scripted.entries import (
    Cut,
    HttpError,
    Malformed,
    Reply,
    is_error,
    is_tool_call,
    shown,
    whole,
)
from dalsegno.testing.scripted.schemas import misfit

_HINT = "Correct the script, or write Reply(..., check=False) to play what only a bad model answers."


@dataclass(frozen=True)
class Played:
    """What a call is answered with; `broken` says how the answer fails, if it does."""

    message: AIMessage
    pause: float
    broken: Cut | Malformed | HttpError | None = None


def words(text: str) -> int:
    """How many words and marks a text has: the tokens of a scripted model, the same on every machine."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def message_tokens(message: BaseMessage, count: Callable[[str], int]) -> int:
    """The tokens of a message: its text, and its tool calls as JSON."""
    calls = getattr(message, "tool_calls", ())
    return count(str(message.text)) + sum(count(call["name"]) + count(_json(call["args"])) for call in calls)


def played(
    script: Script, call: Call, reply: Reply, *, model_name: str, count: Callable[[str], int] | None
) -> Played:
    """The answer to a call. Raises what the script raises, and `ScriptNotFollowed` where it does not fit the call."""
    answer = reply.answer
    if is_error(answer):
        raise answer  # type: ignore[misc] # an exception or a class of one, see is_error
    broken = answer if isinstance(answer, Cut | Malformed | HttpError) else None
    if isinstance(answer, HttpError):
        return Played(AIMessage(""), reply.pause, answer)
    message = _message(answer.answer if isinstance(answer, Cut | Malformed) else answer, script, call)
    if reply.check:
        _check(message, script, call)
    message.usage_metadata = _usage(reply, message, call, count)
    message.response_metadata = {
        "model_name": model_name,
        "finish_reason": "tool_calls" if message.tool_calls or message.invalid_tool_calls else "stop",
        **message.response_metadata,
    }
    return Played(message, reply.pause, broken)


def _message(answer: Any, script: Script, call: Call) -> AIMessage:
    if isinstance(answer, str):
        return AIMessage(str(answer))
    if isinstance(answer, AIMessage):
        message = whole(answer)
    elif isinstance(answer, Sequence) or is_tool_call(answer):
        calls = answer if isinstance(answer, Sequence) else [answer]
        made = [{"id": None, **tool_call, "args": dict(tool_call["args"])} for tool_call in calls]
        message = AIMessage("", tool_calls=made)
    else:
        message = _structured(answer, script, call)
    for number, tool_call in enumerate(message.tool_calls, 1):
        if not tool_call.get("id"):
            tool_call["id"] = f"call_{call.number}_{number}"
    return message


def _structured(answer: Any, script: Script, call: Call) -> AIMessage:
    """Data, given in the way in which this call asks for it: a tool call, or JSON as content."""
    data = answer.model_dump(mode="json", by_alias=True) if isinstance(answer, BaseModel) else dict(answer)
    if call.kwargs.get("response_format"):
        return AIMessage(_json(data))
    forced = _forced(call)
    names = call.tool_names
    own = type(answer).__name__ if isinstance(answer, BaseModel) else None
    if own in names:
        name = own
    elif isinstance(forced, str):
        name = forced
    elif forced and len(names) == 1:
        name = names[0]
    else:
        script.fail(
            call,
            "bad answer",
            f"the script answers with data ({shown(answer)}), and the call asks for none: its tools are "
            f"{', '.join(names) or 'none'}. Use with_structured_output, or answer with a text or a tool call.",
        )
    return AIMessage("", tool_calls=[{"name": name, "args": data, "id": None}])


def _usage(
    reply: Reply, message: AIMessage, call: Call, count: Callable[[str], int] | None
) -> UsageMetadata | None:
    if isinstance(reply.usage, tuple):
        sent, made = reply.usage
    elif reply.usage is not None or message.usage_metadata is not None or count is None:
        return reply.usage if reply.usage is not None else message.usage_metadata
    else:
        sent = sum(message_tokens(each, count) for each in call.messages)
        made = message_tokens(message, count)
    return UsageMetadata(input_tokens=sent, output_tokens=made, total_tokens=sent + made)


def _hinted(problem: str) -> str:
    """A problem, and what to do about it."""
    return f"{problem}{'' if problem.endswith('?') else '.'} {_HINT}"


def _check(message: AIMessage, script: Script, call: Call) -> None:
    """Whether a model that was called like this could give this message."""
    for tool_call in message.tool_calls:
        _check_tool_call(tool_call["name"], tool_call["args"], script, call)
    choice, forced = call.kwargs.get("tool_choice"), _forced(call)
    calls = [tool_call["name"] for tool_call in message.tool_calls]
    if choice == "none" and calls:
        why = f"the script calls {', '.join(calls)}, and the call forbids tools (tool_choice='none')"
    elif forced and not calls and not message.invalid_tool_calls:
        why = f"the call demands a tool call ({_asked(forced)}), and the script answers {shown(message)}"
    elif isinstance(forced, str) and set(calls) - {forced}:
        why = f"the call demands a call of {forced}, and the script calls {', '.join(calls)}"
    elif len(calls) > 1 and call.kwargs.get("parallel_tool_calls") is False:
        why = f"the call allows one tool call (parallel_tool_calls=False), and the script makes {len(calls)}"
    else:
        _check_json(message, script, call)
        return
    script.fail(call, "bad tool call", _hinted(why), tool=", ".join(calls) or None)


def _check_tool_call(name: str, args: Mapping[str, Any], script: Script, call: Call) -> None:
    names = call.tool_names
    if name not in names:
        has = f"bound are {', '.join(names)}{did_you_mean(name, names)}" if names else "no tools are bound"
        script.fail(
            call,
            "bad tool call",
            _hinted(f"the script calls tool `{name}`, and {has}"),
            tool=name,
            expected=", ".join(names) or None,
        )
    function = next(tool for tool in call.tools if tool_name(tool) == name).get("function", {})
    # A function without parameters takes none; a built-in tool has a schema of its own that nobody here knows.
    found = misfit(args, function.get("parameters") or {"additionalProperties": False}) if function else None
    if found is not None:
        script.fail(
            call,
            "bad tool call",
            _hinted(f"the script calls tool `{name}`, and its {found}"),
            tool=name,
            argument=found.path,
            expected=found.expected,
        )


def _check_json(message: AIMessage, script: Script, call: Call) -> None:
    """With `method="json_schema"` a model keeps to the schema; with `"json_mode"` it only tries to."""
    wanted = call.kwargs.get("response_format")
    schema = wanted.get("json_schema", {}).get("schema") if isinstance(wanted, Mapping) else None
    if (
        schema is None
        or message.tool_calls
        or message.invalid_tool_calls
        or message.additional_kwargs.get("refusal")
    ):
        return
    try:
        found: object = misfit(json.loads(str(message.text)), schema)
    except ValueError as error:
        found = f"content is not JSON ({error})"
    if found is not None:
        script.fail(
            call, "bad answer", _hinted(f"the call asks for JSON of a schema, and the script's {found}")
        )


def _forced(call: Call) -> str | bool:
    """Which tool the call demands: its name, True for any of them, False for none."""
    choice = call.kwargs.get("tool_choice")
    if isinstance(choice, Mapping):
        return str((choice.get("function") or choice).get("name") or True)
    if choice is True or choice in ("any", "required"):
        return True
    return choice if isinstance(choice, str) and choice in call.tool_names else False


def _asked(forced: str | bool) -> str:
    return f"of {forced}" if isinstance(forced, str) else "of any tool"


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, default=str)
