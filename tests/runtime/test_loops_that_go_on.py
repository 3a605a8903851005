"""While an async run waits for its database or for a clock, the other work of its event loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.base import id as ids
from langgraph.types import interrupt

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import open_database
from dalsegno.errors import InputInvalid
from dalsegno.runtime.events import Event, RunFinished, RunStarted

TURNS = 2_000
LIMIT = 60.0


class State(TypedDict, total=False):
    answer: str
    done: bool


async def ask(state: State) -> State:
    return {"answer": interrupt("Go on?")}


async def then(state: State) -> State:
    return {"done": True}


def asking() -> Workflow:
    flow = Workflow("asking", State).add_node(ask, interrupts=1).add_node(then)
    return flow.add_edge(START, "ask").add_edge("ask", "then").add_edge("then", END)


def waiting(gate: asyncio.Event) -> Workflow:
    async def wait(state: State) -> State:
        await gate.wait()
        return {"done": True}

    return Workflow("waiting", State).add_node(wait).add_edge(START, "wait").add_edge("wait", END)


@contextlib.contextmanager
def held(url: str) -> Iterator[None]:
    """Somebody else holds thread ``t``, or the whole file, for `LIMIT` seconds at most."""
    is_held, is_let_go = threading.Event(), threading.Event()
    other = open_database(url)

    def hold() -> None:
        with other.transaction():
            other.lock("t")
            is_held.set()
            is_let_go.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    try:
        yield
    finally:
        is_let_go.set()
        thread.join()
        other.close()


async def turns() -> None:
    """Many turns of the loop, none of which waits for what others do."""
    began = time.monotonic()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert time.monotonic() < began + LIMIT


async def not_yet(work: Awaitable[Any], url: str) -> asyncio.Future[Any]:
    """What is begun while somebody holds the thread, and is not done before that is over."""
    with held(url):
        task = asyncio.ensure_future(work)
        await turns()
        assert not task.done()
    return task


def test_while_a_run_begins_and_goes_on(url: str) -> None:
    async def main() -> None:
        with Runner(asking(), db=url) as runner:
            assert (await (await not_yet(runner.arun({}, thread="t"), url))).status == "interrupted"
            assert (await (await not_yet(runner.aresume("t", "yes"), url))).status == "completed"

    asyncio.run(main())


@pytest.mark.parametrize("manner", ["run", "stream"])
def test_while_its_end_is_recorded(url: str, manner: str) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        with Runner(waiting(gate), db=url) as runner:
            stream = runner.astream({}, thread="t")

            async def read() -> Any:
                if manner == "stream":
                    return [chunk async for chunk in stream]
                await stream.aclose()
                return await runner.arun({}, thread="t", abandon=True)

            task = asyncio.create_task(read())
            await turns()
            with held(url):
                gate.set()
                await turns()
                assert not task.done()
            await task
            assert runner.ledger.last("t").status == "completed"

    asyncio.run(main())


def test_while_it_is_seen_whether_the_run_was_cancelled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dalsegno.runtime.looking.LOOK", 0)
    monkeypatch.setattr("dalsegno.runtime.driving.LOOK", 0.001)

    async def main() -> None:
        gate = asyncio.Event()
        with Runner(waiting(gate), db=url) as runner:
            task = asyncio.create_task(runner.arun({}, thread="t"))
            while not runner.sessions:
                await asyncio.sleep(0)
            is_held, is_let_go = threading.Event(), threading.Event()

            def commit() -> None:
                """What another run of the process does in a thread: nobody else has the connection meanwhile."""
                with runner.ledger.database.transaction():
                    is_held.set()
                    is_let_go.wait(LIMIT)

            await turns()
            thread = threading.Thread(target=commit)
            thread.start()
            while not is_held.is_set():
                await asyncio.sleep(0)
            gate.set()
            await turns()
            is_let_go.set()
            assert (await task).status == "completed"
            thread.join()

    asyncio.run(main())


@pytest.mark.parametrize("manner", ["run", "resume", "stream", "stream_resume"])
def test_while_a_clock_that_is_behind_is_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    stands_still = [True]

    async def read(stream: Any) -> Any:
        async for _ in stream:
            pass
        return stream.result

    async def main() -> None:
        with Runner(asking(), db=url) as runner:
            await runner.arun({}, thread="t")
            behind = time.time_ns() - 4_000_000_000
            clock = SimpleNamespace(time_ns=lambda: behind if stands_still else time.time_ns())
            monkeypatch.setattr(ids, "time", clock)
            monkeypatch.setattr(ids, "_last_v6_timestamp", None)
            begun: dict[str, Callable[[], Any]] = {
                "run": lambda: runner.arun({}, thread="t", abandon=True),
                "resume": lambda: runner.aresume("t", "yes"),
                "stream": lambda: read(runner.astream({}, thread="t", abandon=True)),
                "stream_resume": lambda: read(runner.astream_resume("t", "yes")),
            }
            task = asyncio.create_task(begun[manner]())
            await turns()
            assert not task.done()
            stands_still.clear()
            result = await task
            assert result.status == ("completed" if "resume" in manner else "interrupted")

    asyncio.run(main())


@pytest.mark.parametrize("manner", ["cancelled", "dropped"])
def test_what_is_left_while_the_thread_is_taken_gives_it_back(url: str, manner: str) -> None:
    told: list[Event] = []
    with Runner(asking(), db=url, on_event=told.append) as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        before = runner.ledger.last("t")
        told.clear()

        async def cancelled() -> None:
            task = await not_yet(runner.aresume("t", "yes"), url)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        def dropped() -> None:
            """A loop that is closed with work in it, which is dropped with it."""
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda *_: None)
            work = runner.aresume("t", "yes")
            with held(url):
                task = loop.create_task(work)
                loop.run_until_complete(turns())
                assert not task.done()
            del task
            loop.close()
            work.close()
            gc.collect()

        if manner == "cancelled":
            asyncio.run(cancelled())
        else:
            dropped()
        assert not told
        assert not runner.sessions
        assert runner.ledger.holder("t") is None
        after = runner.ledger.last("t")
        assert (after.status, after.interrupts) == ("interrupted", before.interrupts)
        assert runner.resume("t", "yes").status == "completed"


def test_a_run_that_is_cancelled_while_its_end_is_recorded_is_recorded(url: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        gate = asyncio.Event()
        with Runner(waiting(gate), db=url, on_event=told.append) as runner:
            task = asyncio.create_task(runner.arun({}, thread="t"))
            while not any(event.__class__.__name__ == "NodeStarted" for event in told):
                await asyncio.sleep(0)
            with held(url):
                gate.set()
                await turns()
                task.cancel()
                await turns()
                assert not task.done()
                assert runner.sessions  # it goes on until it is recorded
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not runner.sessions
            assert runner.ledger.last("t").status in ("completed", "stopped")
            assert runner.ledger.holder("t") is None
            ends = [event for event in told if isinstance(event, (RunStarted, RunFinished))]
            assert [type(event) for event in ends] == [RunStarted, RunFinished]
            assert isinstance(ends[1], RunFinished)
            assert ends[1].status == runner.ledger.last("t").status

    asyncio.run(main())


def test_more_runs_than_threads_go_on_side_by_side(url: str) -> None:
    async def main() -> None:
        with Runner(asking(), db=url) as runner:
            names = [f"t{number}" for number in range(40)]
            asked = await asyncio.gather(*(runner.arun({}, thread=name) for name in names))
            assert {result.status for result in asked} == {"interrupted"}
            done = await asyncio.gather(*(runner.aresume(name, "yes") for name in names))
            assert {result.status for result in done} == {"completed"}
            assert not runner.sessions

    asyncio.run(main())


def test_a_listener_that_fails_at_the_beginning_leaves_nothing_held(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(event: Event) -> None:
        if isinstance(event, RunStarted):
            raise LookupError("no such listener")

    async def main() -> None:
        with Runner(asking(), db=url, on_event=fails) as runner:
            for begin in (runner.run, runner.stream, runner.astream):
                with pytest.raises(LookupError):
                    begin({}, thread="t", abandon=True)
            with pytest.raises(LookupError):
                await runner.arun({}, thread="t", abandon=True)
            assert not runner.sessions

    asyncio.run(main())
    with Runner(asking(), db=url) as runner:
        assert runner.resume("t").status == "interrupted"
    gc.collect()
    assert "Exception ignored" not in capsys.readouterr().err


def test_a_run_is_cancelled_while_its_sync_nodes_have_all_threads_of_the_loop(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno.runtime.driving.GRACE", 0.05)
    monkeypatch.setattr("dalsegno.runtime.driving.LOOK", 0.05)
    began, gate = threading.Event(), threading.Event()

    def hang(state: State) -> State:
        began.set()
        gate.wait(4 * LIMIT)
        return {}

    flow = Workflow("hanging", State).add_node(hang).add_edge(START, "hang").add_edge("hang", END)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        with Runner(flow, db=url) as runner:
            task = asyncio.create_task(runner.arun({}, thread="t"))
            while not began.is_set():
                await asyncio.sleep(0.001)
            assert await asyncio.wait_for(runner.acancel("t"), LIMIT) == "asked"
            done, _ = await asyncio.wait((task,), timeout=LIMIT)
            gate.set()
            assert done
            assert task.result().status == "cancelled"

    asyncio.run(main())


def test_a_run_that_begins_while_another_one_is_given_back_is_not_lost(url: str) -> None:
    class Crowded(list[Any]):
        """Another thread's run comes right behind each look at those there are."""

        def __iter__(self) -> Iterator[Any]:
            yield from list(super().__iter__())
            self.append(SimpleNamespace(lease=None))

    with Runner(asking(), db=url) as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        runner.sessions = others = Crowded()
        with pytest.raises(InputInvalid):
            runner.resume("t", "yes", rename={"nobody": "then"})
        assert len(others) == 1


def test_a_run_is_given_back_also_where_another_one_ends_meanwhile() -> None:
    class Ending:
        """Another thread's run, which ends as somebody looks at whose it is."""

        @property
        def lease(self) -> None:
            runner.sessions.remove(self)  # type: ignore[arg-type]  # it is asked for nothing else

    def refuse(event: Event) -> None:
        raise ValueError("not now")

    with Runner(asking(), db=":memory:", on_event=refuse) as runner:
        runner.sessions.append(Ending())  # type: ignore[arg-type]  # as above
        with pytest.raises(ValueError, match="not now"):
            runner.run({}, thread="t")
        assert runner.sessions == []


def test_listeners_of_an_async_run_are_told_in_its_event_loop() -> None:
    where: list[Any] = []

    async def main() -> None:
        with Runner(
            asking(), db=":memory:", on_event=lambda _: where.append(asyncio.get_running_loop())
        ) as r:
            await r.arun({}, thread="t")
            await r.aresume("t", "yes")
            async for _ in r.astream({}, thread="other"):
                pass
        assert set(where) == {asyncio.get_running_loop()}

    asyncio.run(main())
