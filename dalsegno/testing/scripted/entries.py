"""What a script is made of: replies, and the ways in which an answer can fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel

from dalsegno.errors import DefinitionError

Answer: TypeAlias = (
    "str | AIMessage | BaseModel | Mapping[str, Any] | Sequence[Mapping[str, Any]] | BaseException"
    " | type[BaseException] | Cut | HttpError | Malformed | Callable[[list[BaseMessage]], Any]"
)
"""What a model may answer: a text, a message, a tool call ``{"name": ..., "args": ...}`` or several, data for
structured output (another mapping, or a pydantic object), an error to raise, or a function of the messages."""

Expectation: TypeAlias = "str | Sequence[str] | Callable[[list[BaseMessage]], object]"
"""Text that the prompt must contain, several of them, or a function of the messages that returns something true."""


@dataclass(frozen=True)
class Reply:
    """One answer of a script, with what it expects and what it costs.

    Parameters
    ----------
    answer
        See `Answer`.
    expect
        What the prompt must contain, or a function of the messages; see `Expectation`.
    latency
        Seconds before the answer, or before its first chunk.
    pause
        Seconds between two chunks of a stream (of a server: also between the parts of a plain body).
    usage
        Tokens as ``(input, output)``, or LangChain's `UsageMetadata`; otherwise those of the message, or counted.
    check
        Whether tool calls must fit the bound tools, and structured output its schema. False to play an
        answer as only a bad model gives it.
    """

    answer: Answer
    expect: Expectation | None = field(default=None, kw_only=True)
    latency: float = field(default=0.0, kw_only=True)
    pause: float = field(default=0.0, kw_only=True)
    usage: UsageMetadata | tuple[int, int] | None = field(default=None, kw_only=True)
    check: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        for name, seconds in (("latency", self.latency), ("pause", self.pause)):
            if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
                raise DefinitionError(f"Reply(..., {name}={seconds!r}): seconds, 0 or more.")
        usage = self.usage
        if isinstance(usage, tuple) and (
            len(usage) != 2 or not all(isinstance(tokens, int) and tokens >= 0 for tokens in usage)
        ):
            raise DefinitionError(
                f"Reply(..., usage={usage!r}): (input tokens, output tokens), each 0 or more."
            )
        if isinstance(self.answer, Reply):
            raise DefinitionError("Reply(Reply(...)): a reply's answer is not a reply.")

    def __str__(self) -> str:
        return shown(self.answer)


@dataclass(frozen=True)
class Cut:
    """An answer that breaks off after `after` chunks of its stream.

    A `ScriptedChatModel` raises `error`; a `ScriptedServer` closes the connection. A plain answer fails as a
    whole, on the server in the middle of its body (``after=0``: before the first byte).
    """

    answer: str | AIMessage | Mapping[str, Any] | Sequence[Mapping[str, Any]] = ""
    after: int = field(default=0, kw_only=True)
    error: BaseException = field(
        default_factory=lambda: ConnectionError("The connection was cut, as scripted."), kw_only=True
    )

    def __post_init__(self) -> None:
        _check_after("Cut", self.after)


@dataclass(frozen=True)
class HttpError:
    """A `ScriptedServer` answers with this status: 429, 500, 503 ...

    Parameters
    ----------
    status
        The HTTP status, 400 or more.
    message
        The message in OpenAI's error object.
    retry_after
        Seconds, sent as the `Retry-After` header.
    code
        OpenAI's error code, as ``"insufficient_quota"``.
    headers
        More headers.
    """

    status: int
    message: str = "failed, as scripted"
    retry_after: float | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise DefinitionError(f"HttpError({self.status!r}): a status from 400 to 599.")


@dataclass(frozen=True)
class Malformed:
    """A `ScriptedServer` answers 200 with a body that is no JSON; in a stream, an event after `after` chunks."""

    answer: str | AIMessage | Mapping[str, Any] | Sequence[Mapping[str, Any]] = ""
    after: int = field(default=0, kw_only=True)
    text: str = field(default='{"id": "chatcmpl-', kw_only=True)

    def __post_init__(self) -> None:
        _check_after("Malformed", self.after)


def _check_after(what: str, after: Any) -> None:
    if isinstance(after, bool) or not isinstance(after, int) or after < 0:
        raise DefinitionError(f"{what}(..., after={after!r}): a number of chunks, 0 or more.")


def replies(script: Any, *, server: bool) -> list[Reply]:
    """The entries of a script as replies.

    Raises `DefinitionError` naming the entry that no model could answer, or only a server.
    """
    if isinstance(script, str | bytes | Mapping) or not isinstance(script, Iterable):
        raise DefinitionError(f"A script is a list of answers, not {script!r}. Write [{script!r}].")
    return [
        reply_of(entry, f"Entry {number} of the script", server=server)
        for number, entry in enumerate(script, 1)
    ]


def reply_of(entry: Any, where: str, *, server: bool) -> Reply:
    """An entry, or what a function in the script returned, as a reply; `where` is for the message."""
    reply = entry if isinstance(entry, Reply) else Reply(entry)
    answer = reply.answer
    if not server and isinstance(answer, HttpError | Malformed):
        raise DefinitionError(
            f"{where} is {type(answer).__name__}(...), which only a ScriptedServer answers. "
            f"Put the exception there that the client would raise."
        )
    if server and is_error(answer):
        raise DefinitionError(
            f"{where} is {shown(answer)}, and a server raises nothing in its client. "
            f"Use HttpError(500), Cut() or Malformed()."
        )
    known = isinstance(answer, str | AIMessage | Mapping | BaseModel | Cut | HttpError | Malformed)
    if isinstance(answer, BaseMessage) and not isinstance(answer, AIMessage):
        known = False
    elif is_error(answer) or is_function(answer):
        known = True
    elif isinstance(answer, list | tuple):
        known = bool(answer) and all(is_tool_call(call) for call in answer)
    if not known:
        raise DefinitionError(
            f"{where} is {answer!r} ({type(answer).__name__}), which a model does not answer. Use a text, "
            f'an AIMessage, {{"name": tool, "args": {{...}}}} or a list of them, data, an exception, or a function.'
        )
    return reply


def is_error(answer: Any) -> bool:
    """Whether it is to be raised."""
    return isinstance(answer, BaseException) or (
        isinstance(answer, type) and issubclass(answer, BaseException)
    )


def is_function(answer: Any) -> bool:
    """Whether it is to be asked with the messages; LangChain's `message.text` is a text that can be called."""
    return callable(answer) and not isinstance(answer, type | str | BaseMessage | BaseModel)


def is_tool_call(answer: Any) -> bool:
    """Whether a mapping is a tool call, and not data: it has a name and args, and nothing a call has not."""
    return (
        isinstance(answer, Mapping)
        and isinstance(answer.get("name"), str)
        and isinstance(answer.get("args"), Mapping)
        and set(answer) <= {"name", "args", "id", "type"}
    )


def whole(message: AIMessage) -> AIMessage:
    """A message of its own: LangChain gives ids to what a model returns, and the script's must stay as written."""
    if isinstance(message, AIMessageChunk):
        made = message_chunk_to_message(message)
        assert isinstance(made, AIMessage)
        return made
    return message.model_copy(deep=True)


def shown(answer: Any, width: int = 60) -> str:
    """An answer in a few words."""
    if isinstance(answer, AIMessage):
        calls = ", ".join(call["name"] for call in answer.tool_calls)
        answer = f"AIMessage({str(answer.text)!r}{f', calls {calls}' if calls else ''})"
    elif callable(answer) and hasattr(answer, "__name__"):
        answer = f"function {answer.__name__}" if not isinstance(answer, type) else answer.__name__
    else:
        answer = repr(answer)
    return answer if len(answer) <= width else f"{answer[: width - 1]}…"
