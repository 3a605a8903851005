"""A whole message as the chunks in which a provider streams it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

_ARGUMENTS = 12
"""Characters of a tool call's arguments in one chunk."""


def text_pieces(text: str) -> list[str]:
    """A text word by word, the spaces with the word before them."""
    return re.findall(r"\s*\S+\s*$|\s*\S+\s|\s+", text)


def call_pieces(message: AIMessage) -> list[tuple[str | None, str | None, list[str]]]:
    """Name, id and the arguments in pieces of JSON, for every tool call, also for those that are no JSON."""
    whole: list[tuple[str | None, str | None, str]]
    whole = [
        (call["name"], call["id"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    whole += [(call["name"], call["id"], call["args"] or "") for call in message.invalid_tool_calls]
    return [
        (name, id, [text[start : start + _ARGUMENTS] for start in range(0, len(text), _ARGUMENTS)])
        for name, id, text in whole
    ]


def chunks(message: AIMessage) -> Iterator[AIMessageChunk]:
    """The chunks of a message: its content, its tool calls, and at last an empty one with usage and metadata."""
    more = message.additional_kwargs
    if isinstance(message.content, str):
        contents: list[str | list[str | dict[str, object]]] = [*text_pieces(message.content)]
    else:
        contents = [
            [{**block, "index": index} if isinstance(block, dict) else block]
            for index, block in enumerate(message.content)
        ]
    if more or not contents:
        contents.insert(0, "")
    for content in contents:
        yield AIMessageChunk(content=content, additional_kwargs=more, id=message.id)
        more = {}
    # Numbered on from the content, as Anthropic does: LangChain merges blocks of the same index.
    first = 0 if not message.content else 1 if isinstance(message.content, str) else len(message.content)
    for index, (name, id, pieces) in enumerate(call_pieces(message), first):
        parts = [tool_call_chunk(name=name, args="", id=id, index=index)]
        parts += [tool_call_chunk(args=piece, index=index) for piece in pieces]
        for part in parts:
            yield AIMessageChunk(content="", id=message.id, tool_call_chunks=[part])
    yield AIMessageChunk(
        content="",
        id=message.id,
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )
