"""The OpenAI chat completions format: what a request asks, and how an answer is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from dalsegno.testing.scripted.chunks import call_pieces, text_pieces
from dalsegno.testing.scripted.entries import HttpError


def completion(message: AIMessage, number: int, model: str) -> dict[str, Any]:
    """A plain answer."""
    answer: dict[str, Any] = {"role": "assistant", "content": str(message.text) or None}
    answer["refusal"] = message.additional_kwargs.get("refusal")
    calls = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
        for name, id, pieces in call_pieces(message)
    ]
    if calls:
        answer["tool_calls"] = calls
    else:
        answer["content"] = answer["content"] or ""
    choice = {"index": 0, "message": answer, "logprobs": None, "finish_reason": _reason(message)}
    body = _body("chat.completion", number, model, [choice])
    if message.usage_metadata is not None:
        body["usage"] = _usage(message.usage_metadata)
    return body


def events(message: AIMessage, number: int, model: str, *, usage: bool) -> Iterator[dict[str, Any]]:
    """The events of a stream, without the `[DONE]` that ends it; `usage` as asked for in `stream_options`."""

    def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _body("chat.completion.chunk", number, model, [choice])

    refusal = message.additional_kwargs.get("refusal")
    yield event({"role": "assistant", "content": "", "refusal": None})
    for piece in text_pieces(str(message.text)):
        yield event({"content": piece})
    if refusal:
        yield event({"refusal": refusal})
    for index, (name, id, pieces) in enumerate(call_pieces(message)):
        function = {"name": name, "arguments": ""}
        yield event({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
        for piece in pieces:
            yield event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield event({}, _reason(message))
    if usage and message.usage_metadata is not None:
        yield {
            **_body("chat.completion.chunk", number, model, []),
            "usage": _usage(message.usage_metadata),
        }


def failure(error: HttpError) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
        error.status, "server_error" if error.status >= 500 else "invalid_request_error"
    )
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}


def conversation(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request, for LangChain to read; a developer's message is the system's."""
    return [
        {**message, **({"role": "system"} if message.get("role") == "developer" else {})}
        for message in body["messages"]
    ]


def server_sent(event: Mapping[str, Any] | str) -> bytes:
    """An event as it stands in the body."""
    text = event if isinstance(event, str) else json.dumps(event)
    return f"data: {text}\n\n".encode()


def _body(kind: str, number: int, model: str, choices: list[Any]) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 0, "model": model, "choices": choices}


def _reason(message: AIMessage) -> str:
    return str(message.response_metadata["finish_reason"])


def _usage(usage: UsageMetadata) -> dict[str, Any]:
    """Tokens in OpenAI's names; cached and reasoning tokens only where the script gives them."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }
    cached = usage.get("input_token_details", {}).get("cache_read")
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    reasoning = usage.get("output_token_details", {}).get("reasoning")
    if reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return counts
