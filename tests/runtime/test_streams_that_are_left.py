"""A stream that is left before its end stops its run at a superstep, and the thread is free."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from worlds import State

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import ThreadBusy
from dalsegno.runtime.events import Event, RunFinished, RunStarted

WHOLE = {"topic": "x", "path": ["a", "b", "c"]}
FIRST = {"a": {"path": ["a"]}}


def chain(seen: list[str] | None = None, *, in_a_loop: bool = True) -> Workflow:
    """Three nodes in a row; of coroutines what was begun and done is in `seen`."""
    seen = [] if seen is None else seen

    def node(name: str) -> Any:
        async def arun(state: State) -> dict[str, Any]:
            seen.append(name)
            await asyncio.sleep(0.01)
            seen.append(f"{name} is done")
            return {"path": [name]}

        return arun if in_a_loop else lambda state: {"path": [name]}

    flow = Workflow("chain", State).add_sequence([(name, node(name)) for name in "abc"])
    return flow.add_edge(START, "a").add_edge("c", END)


@pytest.fixture
def runner(tmp_path: Path) -> Any:
    with Runner(chain(), db=tmp_path / "runs.db") as runner:
        yield runner


async def until_free(runner: Runner, thread: str) -> str:
    """The status of a thread's run, once nobody goes on with it."""
    limit = time.monotonic() + 20
    while runner.sessions:
        assert time.monotonic() < limit
        await asyncio.sleep(0.001)
    return runner.ledger.last(thread).status


def test_one_that_a_loop_breaks_off_is_stopped_and_waits_for_nobody(runner: Runner) -> None:
    async def main() -> None:
        async for chunk in runner.astream({"topic": "x"}, "t1"):
            assert chunk == FIRST
            break
        assert await until_free(runner, "t1") == "stopped"
        assert (await runner.aresume("t1")).output == WHOLE

    asyncio.run(main())


def test_one_that_is_closed_can_be_resumed_at_once(runner: Runner) -> None:
    async def main() -> None:
        async with runner.astream({"topic": "x"}, "t1") as stream:
            async for _ in stream:
                break
        assert runner.ledger.last("t1").status == "stopped"
        assert (await runner.aresume("t1")).output == WHOLE

        stream = runner.astream({"topic": "x"}, "t2")
        chunks = aiter(stream)
        assert await anext(chunks) == FIRST
        await stream.aclose()
        assert runner.ledger.last("t2").status == "stopped"
        await stream.aclose()
        assert [chunk async for chunk in chunks] == []
        assert (await runner.aresume("t2")).output == WHOLE

    asyncio.run(main())


def test_a_node_that_is_going_on_is_cancelled_before_its_stream_is_closed(tmp_path: Path) -> None:
    seen: list[str] = []

    async def slow(state: State) -> dict[str, Any]:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")
        return {}

    flow = Workflow("beside", State)
    flow.add_node("quick", lambda state: {"path": ["quick"]}).add_node("slow", slow)
    flow.add_edge(START, "quick").add_edge(START, "slow").add_edge("quick", END).add_edge("slow", END)

    async def main(runner: Runner) -> None:
        async with runner.astream({"topic": "x"}, "t1") as stream:
            async for chunk in stream:
                assert chunk == {"quick": {"path": ["quick"]}}
                break
        assert seen == ["cancelled"]

    with Runner(flow, db=tmp_path / "runs.db") as runner:
        asyncio.run(main(runner))
        assert runner.ledger.last("t1").status == "stopped"


@pytest.mark.parametrize("is_kept", [False, True])
def test_one_that_an_event_loop_ends_with_is_stopped_without_a_word(runner: Runner, is_kept: bool) -> None:
    said: list[Any] = []
    kept: list[AsyncIterator[Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        chunks = aiter(runner.astream({"topic": "x"}, "t1"))
        assert await anext(chunks) == FIRST
        if is_kept:
            kept.append(chunks)

    asyncio.run(main())
    assert runner.ledger.last("t1").status == "stopped"
    assert said == []
    assert runner.sessions == []


def test_one_whose_reader_is_cancelled_is_stopped(runner: Runner) -> None:
    async def main() -> None:
        has_read = asyncio.Event()

        async def read() -> None:
            async for _ in runner.astream({"topic": "x"}, "t1"):
                has_read.set()
                await asyncio.sleep(60)

        reader = asyncio.create_task(read())
        await has_read.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await until_free(runner, "t1") == "stopped"

    asyncio.run(main())


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_the_same_in_sync_code(tmp_path: Path, in_a_loop: bool) -> None:
    with Runner(chain(in_a_loop=in_a_loop), db=tmp_path / "runs.db") as runner:
        with runner.stream({"topic": "x"}, "t1") as stream:
            for chunk in stream:
                assert chunk == FIRST
                break
        assert runner.ledger.last("t1").status == "stopped"
        assert runner.resume("t1").output == WHOLE

        stream = runner.stream({"topic": "x"}, "t2")
        chunks = iter(stream)
        assert next(chunks) == FIRST
        with pytest.raises(
            ThreadBusy, match="this process: wait until that call is done, or close its stream"
        ):
            runner.resume("t2")
        stream.close()
        stream.close()
        assert list(chunks) == []
        assert runner.resume("t2").output == WHOLE


def test_one_that_was_only_asked_for_its_chunks_is_given_back(runner: Runner) -> None:
    async def main() -> None:
        stream = runner.astream({"topic": "x"}, "t1")
        aiter(stream)
        await stream.aclose()
        assert runner.ledger.last("t1").status == "stopped"

    asyncio.run(main())
    stream = runner.stream({"topic": "x"}, "t2")
    iter(stream)
    stream.close()
    assert runner.ledger.last("t2").status == "stopped"
    assert runner.sessions == []
    assert runner.resume("t2").output == WHOLE


def test_listeners_hear_the_end_of_one_that_nobody_reads(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    def hear(event: Event) -> None:
        if isinstance(event, (RunStarted, RunFinished)):
            heard.append((type(event).__name__, getattr(event, "status", "")))

    with Runner(chain(), db=tmp_path / "runs.db", on_event=hear) as runner:
        runner.stream({"topic": "x"}, "t1").close()
        runner.stream_resume("t1").close()
    assert heard == 2 * [("RunStarted", ""), ("RunFinished", "stopped")]


def test_one_that_was_read_to_its_end_is_closed_already(runner: Runner) -> None:
    async def main() -> None:
        async with runner.astream({"topic": "x"}, "t1") as stream:
            assert len([chunk async for chunk in stream]) == 3
        assert stream.result is not None
        assert stream.result.output == WHOLE

    asyncio.run(main())


@pytest.mark.parametrize("in_a_loop", [False, True])
@pytest.mark.parametrize("is_read", [False, True])
def test_one_that_is_collected_waits_for_nothing_that_the_collecting_thread_has(
    tmp_path: Path, is_read: bool, in_a_loop: bool
) -> None:
    def leave(runner: Runner) -> None:
        chunks = iter(stream := runner.stream({"topic": "x"}, "t1"))
        if is_read:
            assert next(chunks) == FIRST
        left: list[Any] = [stream, chunks]
        left.append(left)

    def collect(_: object) -> None:
        gc.collect()

    runner = Runner(chain(in_a_loop=in_a_loop), db=tmp_path / "runs.db")
    database = runner.ledger.database
    database.enlist("SELECT 1", tasks=["t"], owner="somebody", instead=collect)
    giving_up = threading.Thread(target=database.give_up, args=("somebody",), daemon=True)
    gc.collect()  # what another test has left is none of this one's
    gc.disable()
    try:
        leave(runner)
        giving_up.start()  # it collects while it has the lock of what waits for a commit
        giving_up.join(20)
    finally:
        gc.enable()
    assert not giving_up.is_alive()
    assert asyncio.run(until_free(runner, "t1")) == "stopped"
    assert runner.resume("t1").output == WHOLE
    runner.close()
