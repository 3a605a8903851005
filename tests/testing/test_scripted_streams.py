"""A scripted model streams as providers do: word by word, tool calls in pieces, usage on the last chunk."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable

from dalsegno.errors import DefinitionError
from dalsegno.testing import Cut, Reply, ScriptedChatModel
from dalsegno.testing.scripted.chunks import text_pieces


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def chunks(model: Runnable[Any, Any], *, wait: bool) -> list[AIMessageChunk]:
    if not wait:
        return list(model.stream("?"))

    async def collect() -> list[AIMessageChunk]:
        return [chunk async for chunk in model.astream("?")]

    return asyncio.run(collect())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def wait(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


def test_a_text_comes_word_by_word_and_usage_with_the_last_chunk(wait: bool) -> None:
    *words, last = chunks(ScriptedChatModel([Reply("To be or", usage=(7, 3))], model_name="m"), wait=wait)
    assert [chunk.content for chunk in words] == ["To ", "be ", "or"]
    assert not any(chunk.usage_metadata or chunk.response_metadata for chunk in words)
    assert last.usage_metadata == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    assert last.response_metadata == {"model_name": "m", "finish_reason": "stop"}
    assert last.chunk_position == "last"
    assert {chunk.id for chunk in [*words, last]} == {last.id}


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    pieces = text_pieces(text)
    assert "".join(pieces) == text
    assert all(pieces)


def test_tool_calls_come_in_pieces_that_make_the_calls(wait: bool) -> None:
    calls = [{"name": "add", "args": {"a": 1, "b": 20}}, {"name": "add", "args": {"a": 300, "b": 4000}}]
    first, *rest = chunks(ScriptedChatModel([calls]).bind_tools([add]), wait=wait)
    pieces = [part for chunk in [first, *rest] for part in chunk.tool_call_chunks]
    assert [(part["name"], part["index"], part["id"]) for part in pieces if part["name"]] == [
        ("add", 0, "call_1_1"),
        ("add", 1, "call_1_2"),
    ]
    assert len(pieces) > 4
    whole = sum(rest, first)
    assert [call["args"] for call in whole.tool_calls] == [call["args"] for call in calls]
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_content_blocks_are_streamed_and_put_together_again(wait: bool) -> None:
    blocks: list[str | dict[str, Any]] = [
        {"type": "reasoning", "reasoning": "Hm."},
        {"type": "text", "text": "Yes."},
    ]
    first, *rest = chunks(ScriptedChatModel([AIMessage(blocks)]), wait=wait)
    whole = sum(rest, first)
    assert whole.text == "Yes."
    assert [block["type"] for block in whole.content if isinstance(block, dict)] == ["reasoning", "text"]


def test_text_and_tool_calls_stay_apart_in_content_blocks_and_in_protocol_events(wait: bool) -> None:
    answer = AIMessage("Wait.", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "7"}])
    model = ScriptedChatModel([answer, answer], output_version="v1")
    first, *rest = chunks(model.bind_tools([add]), wait=wait)
    bound: Any = model.bind_tools([add])
    protocol = bound.stream_events("?", version="v3").output
    for whole in (sum(rest, first), protocol):
        assert [block["type"] for block in whole.content_blocks] == ["text", "tool_call"]
        assert [call["args"] for call in whole.tool_calls] == [{"a": 1, "b": 2}]


def test_a_stream_breaks_off_after_the_chunks_that_the_script_says(wait: bool) -> None:
    seen: list[Any] = []
    model = ScriptedChatModel([Cut("one two three four", after=2)])

    def collect() -> None:
        for chunk in model.stream("?"):
            seen.append(chunk.content)

    async def acollect() -> None:
        async for chunk in model.astream("?"):
            seen.append(chunk.content)

    with pytest.raises(ConnectionError, match="cut, as scripted"):
        asyncio.run(acollect()) if wait else collect()
    assert seen == ["one ", "two "]


def test_an_answer_that_breaks_off_fails_as_a_whole_when_it_is_not_streamed() -> None:
    model = ScriptedChatModel([Cut("one two", after=1, error=TimeoutError("gone"))] * 2)
    with pytest.raises(TimeoutError, match="gone"):
        model.invoke("?")
    with pytest.raises(TimeoutError, match="gone"):
        asyncio.run(model.ainvoke("?"))


def test_a_cut_before_the_beginning_is_refused() -> None:
    with pytest.raises(DefinitionError, match="after=-1"):
        Cut("one", after=-1)


def test_events_of_a_run_tell_the_chunks(wait: bool) -> None:
    async def contents() -> list[Any]:
        events = ScriptedChatModel(["To be"]).astream_events("?", version="v2")
        return [
            event["data"]["chunk"].content
            async for event in events
            if event["event"] == "on_chat_model_stream"
        ]

    assert asyncio.run(contents()) == ["To ", "be", ""]
