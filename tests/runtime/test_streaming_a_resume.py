"""A run that goes on from its mark gives its chunks as one that begins does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command, interrupt
from worlds import State, World

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import InputInvalid, NothingToResume


def asking(*, in_a_loop: bool) -> Workflow:
    """A workflow that asks a human, and writes down the answer."""

    def ask(state: State) -> dict[str, Any]:
        return {"path": [interrupt("Go on?")]}

    async def ask_in_a_loop(state: State) -> dict[str, Any]:
        return ask(state)

    flow = Workflow("asking", State)
    flow.add_node("first", lambda state: {"path": ["first"]})
    flow.add_node("ask", ask_in_a_loop if in_a_loop else ask, interrupts=1)
    flow.add_node("last", lambda state: {"path": ["last"]})
    flow.add_edge(START, "first").add_edge("first", "ask").add_edge("ask", "last").add_edge("last", END)
    return flow


AFTER_YES = [{"ask": {"path": ["yes"]}}, {"last": {"path": ["last"]}}]


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_an_answer_is_given_and_what_follows_is_streamed(tmp_path: Path, in_a_loop: bool) -> None:
    with Runner(asking(in_a_loop=in_a_loop), db=tmp_path / "runs.db") as runner:
        first = runner.run({"topic": "x"}, "t1")
        stream = runner.stream_resume("t1", "yes")
        assert list(stream) == AFTER_YES
        assert stream.run_id == first.run_id
        assert stream.result is not None
        assert stream.result.status == "completed"
        assert stream.result.output == {"topic": "x", "path": ["first", "yes", "last"]}
        assert stream.result.resumed_from is not None


def test_the_same_in_an_event_loop(tmp_path: Path) -> None:
    async def main() -> None:
        with Runner(asking(in_a_loop=True), db=tmp_path / "runs.db") as runner:
            await runner.arun({"topic": "x"}, "t1")
            stream = runner.astream_resume("t1", "yes", stream_mode=["updates"])
            assert [chunk async for chunk in stream] == [("updates", chunk) for chunk in AFTER_YES]
            assert stream.result is not None
            assert stream.result.status == "completed"

    asyncio.run(main())


def test_what_failed_is_streamed_again_from_the_mark(tmp_path: Path, world: World) -> None:
    world.broken.add("b")
    with Runner(world.chain("a", "b", "c"), db=tmp_path / "runs.db") as runner:
        assert runner.run({"topic": "x"}, "t1").status == "failed"
        world.broken.clear()
        assert list(runner.stream_resume("t1")) == [{"b": {"path": ["b"]}}, {"c": {"path": ["c"]}}]
        with pytest.raises(NothingToResume):
            runner.stream_resume("t1")


def test_a_renamed_node_is_streamed_under_the_name_that_the_run_began_with(
    tmp_path: Path, world: World
) -> None:
    world.broken.add("b")
    db = tmp_path / "runs.db"
    with Runner(world.chain("a", "b"), db=db) as runner:
        runner.run({"topic": "x"}, "t1")
    world.broken.clear()
    with Runner(world.chain("a", "new:b"), db=db) as runner:
        assert list(runner.stream_resume("t1", rename={"b": "new"})) == [{"b": {"path": ["b"]}}]


def test_an_answer_whose_stream_nobody_reads_was_never_given(tmp_path: Path) -> None:
    with Runner(asking(in_a_loop=False), db=tmp_path / "runs.db") as runner:
        waiting = runner.run({"topic": "x"}, "t1")
        before = runner.ledger.last("t1")
        stream = runner.stream_resume("t1", "yes")
        assert runner.ledger.last("t1").status == "running"
        del stream
        after = runner.ledger.last("t1")
        assert (after.status, after.interrupts, after.usage) == (
            "interrupted",
            before.interrupts,
            before.usage,
        )
        assert runner.sessions == []
        assert runner.resume("t1", {waiting.interrupts[0]["id"]: "no"}).output == {
            "topic": "x",
            "path": ["first", "no", "last"],
        }


@pytest.mark.parametrize(
    ("given", "said"), [(None, "resume(thread)"), (Command(resume=1), "resume(thread, answer)")]
)
def test_what_langgraph_resumes_with_is_no_input_and_says_what_to_call(
    tmp_path: Path, given: Any, said: str
) -> None:
    with Runner(asking(in_a_loop=False), db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "x"}, "t1")
        for begin in (runner.run, runner.stream):
            with pytest.raises(InputInvalid) as raised:
                begin(given, "t1")
            assert said in str(raised.value)
