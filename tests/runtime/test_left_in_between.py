"""Whatever leaves a turn in between, Ctrl-C or a listener or whoever reads its chunks, it leaves the thread free."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from worlds import State, World

from dalsegno import END, START, Runner, Workflow
from dalsegno.runtime.events import Event, RunStarted


def chain(*names: str) -> Workflow:
    """A workflow of coroutines in a row."""
    flow = Workflow("chain", State)

    def node(name: str) -> Any:
        async def run(state: State) -> dict[str, Any]:
            return {"path": [name]}

        return run

    flow.add_sequence([(name, node(name)) for name in names])
    return flow.add_edge(START, names[0]).add_edge(names[-1], END)


class CtrlC:
    """Comes behind the commit of that number, among those of the main thread."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.came = False

    def __call__(self, number: int) -> None:
        if threading.current_thread() is threading.main_thread():
            self.left -= 1
            if self.left == 0:
                self.came = True
                raise KeyboardInterrupt


def test_ctrl_c_behind_any_commit_leaves_the_thread_free(world: World, tmp_path: Path) -> None:
    flow = world.chain("a", "b")
    for at in range(1, 100):
        ctrl_c = CtrlC(at)
        with Runner(flow, db=tmp_path / f"{at}.db") as runner:
            runner.ledger.database.on_commit.append(ctrl_c)
            with contextlib.suppress(KeyboardInterrupt):
                runner.run({"topic": "x"}, thread="t1")
            if runner.ledger.last("t1").status == "stopped":
                assert runner.resume("t1").output == {"topic": "x", "path": ["a", "b"]}
            assert runner.ledger.last("t1").status == "completed"
            assert runner.sessions == []
        if not ctrl_c.came:
            break
    assert at > 2, "a run that begins and ends has two commits"


@pytest.mark.parametrize("interrupts_the_wait", [True, False])
def test_ctrl_c_in_a_notebook_gives_up_the_coroutines_that_are_in_flight(
    tmp_path: Path, interrupts_the_wait: bool
) -> None:
    """There the loop of the main thread is running, and the run has one elsewhere. A signal that another thread gets,
    or the main one just before it waits, wakes nobody."""
    main = threading.main_thread().ident
    assert main is not None
    given_up = threading.Event()
    waits = True

    async def wait(state: State) -> dict[str, Any]:
        if waits:
            try:
                signal.pthread_kill(main if interrupts_the_wait else threading.get_ident(), signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                given_up.set()
        return {"path": ["wait"]}

    flow = Workflow("waiting", State).add_node("wait", wait).add_edge(START, "wait").add_edge("wait", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:

        async def cell() -> Any:
            return runner.run({"topic": "x"}, thread="t1")

        loop = asyncio.new_event_loop()
        try:
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(cell())
        finally:
            loop.close()
        assert given_up.wait(20)
        waits = False
        assert runner.resume("t1").output == {"topic": "x", "path": ["wait"]}


def test_a_listener_that_raises_as_a_run_starts_leaves_it_to_be_resumed(world: World, db: Path) -> None:
    broken = {RunStarted}

    def hear(event: Event) -> None:
        if type(event) in broken:
            raise ValueError("nobody listens")

    with Runner(world.chain("a"), db=db, on_event=hear) as runner:
        for begin in (lambda: runner.run({"topic": "x"}, "t1"), lambda: runner.resume("t1")):
            with pytest.raises(ValueError, match="nobody listens"):
                begin()
            assert runner.ledger.last("t1").status == "stopped"
        broken.clear()
        assert runner.resume("t1").output == {"topic": "x", "path": ["a"]}


def test_a_stream_that_nobody_reads_leaves_its_run_to_be_resumed(world: World, db: Path) -> None:
    with Runner(world.chain("a"), db=db) as runner:
        stream = runner.stream({"topic": "x"}, "t1")
        assert runner.ledger.last("t1").status == "running"
        del stream
        assert runner.ledger.last("t1").status == "stopped"
        assert runner.sessions == []
        assert runner.resume("t1").status == "completed"


def test_a_stream_is_read_once(world: World, db: Path) -> None:
    with Runner(world.chain("a"), db=db) as runner:
        stream = runner.stream({"topic": "x"}, "t1")
        assert list(stream) == [{"a": {"path": ["a"]}}]
        assert list(stream) == []
        assert stream.result is not None
        assert stream.result.status == "completed"


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_coroutines_are_streamed_in_sync_code_one_superstep_after_the_other(
    tmp_path: Path, in_a_loop: bool
) -> None:
    def read() -> None:
        with Runner(chain("a", "b", "c"), db=tmp_path / "runs.db") as runner:
            stream = runner.stream({"topic": "x"}, "t1")
            assert list(stream) == [{name: {"path": [name]}} for name in "abc"]
            assert stream.result is not None
            assert stream.result.status == "completed"
            left = iter(runner.stream({"topic": "x"}, "t2"))
            next(left)
            left.close()  # type: ignore[attr-defined]  # a generator
            assert runner.ledger.last("t2").status == "stopped"
            assert runner.resume("t2").output == {"topic": "x", "path": ["a", "b", "c"]}

    async def inside() -> None:
        read()

    before = set(threading.enumerate())
    if in_a_loop:
        asyncio.run(inside())
    else:
        read()
    own = set(threading.enumerate()) - before
    assert not [thread for thread in own if thread.name == "dalsegno-loop"]
