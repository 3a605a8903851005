"""A run is recorded, committed at every superstep, and resumed from its mark: never silently."""

from __future__ import annotations

import asyncio
import operator
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Send, interrupt
from pydantic import BaseModel, Field

from dalsegno import END, START, Each, Loop, Runner, Workflow
from dalsegno.errors import (
    DefinitionError,
    IncompatibleGraph,
    InputInvalid,
    NothingToResume,
    NotSerializable,
    RunFailed,
    ThreadBusy,
    ThreadUnfinished,
    UnknownThread,
)
from dalsegno.graphs.views import KERNEL
from dalsegno.runtime.events import Event, NodeFailed, NodeFinished, NodeStarted, RunFinished, RunStarted


class State(TypedDict, total=False):
    topic: str
    path: Annotated[list[str], operator.add]
    answer: str
    anything: Any


def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    """Poll until something has happened."""
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.001)


class World:
    """What the nodes of the tests do: fail when told to, wait when told to."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.seen: list[str] = []

    def node(self, name: str, *, is_async: bool = False) -> Any:
        def run(state: State) -> dict[str, Any]:
            self.seen.append(name)
            if name in self.broken:
                raise ValueError(f"{name} is broken")
            return {"path": [name]}

        async def arun(state: State) -> dict[str, Any]:
            return run(state)

        return arun if is_async else run


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def chain(world: World, *names: str, is_async: bool = False, name: str = "chain") -> Workflow:
    flow = Workflow(name, State, version="7")
    flow.add_sequence([(n, world.node(n, is_async=is_async)) for n in names])
    return flow.add_edge(START, names[0]).add_edge(names[-1], END)


@pytest.fixture(params=["sync", "async nodes", "arun"])
def runner(request: pytest.FixtureRequest, world: World, db: Path) -> Iterator[Any]:
    """The same specifications for sync nodes, for async nodes under `run`, and for `arun`."""
    with Runner(chain(world, "a", "b", "c", is_async=request.param != "sync"), db=db) as made:
        if request.param == "arun":

            class Async:
                ledger, pending = made.ledger, made.pending

                def run(self, *args: Any, **kwargs: Any) -> Any:
                    return asyncio.run(made.arun(*args, **kwargs))

                def resume(self, *args: Any, **kwargs: Any) -> Any:
                    return asyncio.run(made.aresume(*args, **kwargs))

            yield Async()
        else:
            yield made


def test_a_completed_run_is_in_the_ledger(runner: Any) -> None:
    result = runner.run({"topic": "rain"}, thread="t1")
    assert result.status == "completed"
    assert result.output == {"topic": "rain", "path": ["a", "b", "c"]}
    assert (result.supersteps, result.thread, result.workflow, result.error) == (3, "t1", "chain", None)
    run = runner.ledger.get(result.run_id)
    assert (run.status, run.thread, run.workflow, run.version) == ("completed", "t1", "chain", "7")
    assert run.input == {"topic": "rain"}
    assert run.created_at <= run.finished_at
    assert run.certificate["supersteps"] == 3
    assert run.fingerprint
    assert [e.node for e in runner.ledger.executions(result.run_id)] == ["a", "b", "c"]


def test_a_failed_run_says_where_and_is_resumed_without_repeating(runner: Any, world: World) -> None:
    world.broken.add("b")
    failed = runner.run({"topic": "rain"}, thread="t1")
    assert failed.status == "failed"
    assert failed.error["type"] == "ValueError"
    assert (failed.error["message"], failed.error["node"], failed.error["attempt"]) == ("b is broken", "b", 1)
    assert "raise ValueError" in failed.error["traceback"]
    assert runner.ledger.get(failed.run_id).error["node"] == "b"
    with pytest.raises(RunFailed, match="failed in `b`"):
        failed.raise_for_status()
    world.broken.clear()
    world.seen.clear()
    resumed = runner.resume("t1")
    assert resumed.status == "completed"
    assert resumed.run_id == failed.run_id
    assert resumed.resumed_from is not None
    assert world.seen == ["b", "c"]
    assert resumed.output["path"] == ["a", "b", "c"]
    assert resumed.supersteps == 3


def test_resuming_a_completed_run_is_an_error(runner: Any) -> None:
    runner.run({"topic": "rain"}, thread="t1")
    with pytest.raises(NothingToResume, match="completed"):
        runner.resume("t1")


def test_resuming_an_unknown_thread_is_an_error(runner: Any) -> None:
    with pytest.raises(UnknownThread, match="nope"):
        runner.resume("nope")


def test_new_input_over_pending_work_is_an_error_unless_it_is_given_up(runner: Any, world: World) -> None:
    world.broken.add("b")
    runner.run({"topic": "rain"}, thread="t1")
    with pytest.raises(ThreadUnfinished, match="`b` pending"):
        runner.run({"topic": "sun"}, thread="t1")
    world.broken.clear()
    assert runner.run({"topic": "sun"}, thread="t1", abandon=True).status == "completed"


def test_a_second_turn_on_a_thread_is_a_run_of_its_own(runner: Any) -> None:
    first = runner.run({"topic": "rain"}, thread="t1")
    second = runner.run({"topic": "sun"}, thread="t1")
    assert first.run_id != second.run_id
    assert second.supersteps == 3
    assert second.output["path"] == ["a", "b", "c"] * 2


def test_a_thread_gets_a_name_when_none_is_given(runner: Any) -> None:
    assert runner.run({"topic": "a"}).thread != runner.run({"topic": "a"}).thread


# -- humans ---------------------------------------------------------------------------------------


def asking(*names: str) -> Workflow:
    def ask(name: str) -> Any:
        return lambda state: {"path": [f"{name}:{interrupt(f'{name}?')}"]}

    flow = Workflow("asking", State)
    for name in names:
        flow.add_node(name, ask(name), interrupts=1)
        flow.add_edge(START, name).add_edge(name, END)
    return flow


def test_a_run_that_waits_for_a_human_is_resumed_with_the_answer(db: Path) -> None:
    runner = Runner(asking("ann"), db=db)
    waiting = runner.run({"topic": "x"}, thread="t1")
    assert waiting.status == "interrupted"
    assert [(i["node"], i["value"]) for i in waiting.interrupts] == [("ann", "ann?")]
    assert waiting.output == {"topic": "x", "path": []}
    assert runner.resume("t1").status == "interrupted"
    done = runner.resume("t1", "yes")
    assert done.status == "completed"
    assert done.output["path"] == ["ann:yes"]


def test_several_questions_are_answered_by_id(db: Path) -> None:
    runner = Runner(asking("ann", "bob"), db=db)
    waiting = runner.run({"topic": "x"}, thread="t1")
    with pytest.raises(InputInvalid, match="2 questions wait"):
        runner.resume("t1", "yes")
    ids = {i["node"]: i["id"] for i in waiting.interrupts}
    partly = runner.resume("t1", {ids["ann"]: 1})
    assert [i["node"] for i in partly.interrupts] == ["bob"]
    done = runner.resume("t1", {ids["bob"]: 2})
    assert sorted(done.output["path"]) == ["ann:1", "bob:2"]


def test_an_answer_that_nobody_waits_for_is_an_error(db: Path, world: World) -> None:
    runner = Runner(chain(world, "a", "b"), db=db)
    world.broken.add("b")
    runner.run({"topic": "x"}, thread="t1")
    with pytest.raises(InputInvalid, match="no question waits"):
        runner.resume("t1", "yes")
    assert runner.ledger.latest("t1").status == "failed"  # type: ignore[union-attr]


# -- input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        ({"topik": "x"}, "topik", "did you mean `topic`?"),
        ({"topic": 3}, "topic", "Expected str, got int"),
        ({"path": "x"}, "path", "Expected list[str], got str"),
        (["x"], None, "a mapping of state keys is expected"),
        (None, None, "a mapping of state keys is expected"),
    ],
)
def test_an_input_that_does_not_fit_names_the_key(
    db: Path, world: World, given: Any, key: Any, words: str
) -> None:
    runner = Runner(chain(world, "a"), db=db)
    with pytest.raises(InputInvalid) as raised:
        runner.run(given, thread="t1")
    assert raised.value.key == key
    assert words in str(raised.value)
    assert runner.ledger.runs() == []


class Bounded(BaseModel):
    topic: str = Field(min_length=2)
    words: Annotated[int, Field(gt=0)] = 5


@pytest.mark.parametrize(
    ("given", "key"), [({"topic": "r"}, "topic"), ({"topic": "rain", "words": 0}, "words")]
)
def test_an_input_that_a_pydantic_state_would_refuse_is_refused_before_there_is_a_run(
    db: Path, given: Any, key: str
) -> None:
    flow = Workflow("bounded", Bounded).add_node("a", lambda state: {"words": state.words + 1})
    runner = Runner(flow.add_edge(START, "a").add_edge("a", END), db=db)
    with pytest.raises(InputInvalid) as raised:
        runner.run(given, thread="t1")
    assert raised.value.key == key
    assert "got" not in str(raised.value)  # it is of the right type
    assert runner.ledger.runs() == []
    assert runner.run({"topic": "rain", "words": 2}, thread="t1").output["words"] == 3


def test_a_value_that_cannot_be_serialised_names_its_key_and_the_checkpoint_before_it_stays(
    db: Path, world: World
) -> None:
    flow = Workflow("bad", State)
    flow.add_node("a", world.node("a"))
    flow.add_node("b", lambda s: {"anything": threading.Lock()} if "b" in world.broken else {"path": ["b"]})
    flow.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    runner = Runner(flow, db=db)
    world.broken.add("b")
    try:
        result = runner.run({"topic": "x"}, thread="t1")
        message = result.error["message"]  # type: ignore[index]
    except NotSerializable as error:
        message = str(error)
    assert "anything" in message
    assert runner.ledger.latest("t1").status == "failed"  # type: ignore[union-attr]
    world.broken.clear()
    assert runner.resume("t1").output["path"] == ["a", "b"]
    assert world.seen == ["a"]


# -- one writer -----------------------------------------------------------------------------------


def test_a_thread_that_is_being_run_is_busy(db: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(state: State) -> dict[str, Any]:
        entered.set()
        assert leave.wait(20)
        return {"path": ["waited"]}

    flow = Workflow("waiting", State)
    flow.add_node("wait", wait).add_edge(START, "wait").add_edge("wait", END)
    first, second = Runner(flow, db=db), Runner(flow, db=db)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(first.run({"topic": "x"}, thread="t1")))
    thread.start()
    assert entered.wait(20)
    with pytest.raises(ThreadBusy) as raised:
        second.run({"topic": "y"}, thread="t1")
    assert str(os.getpid()) in str(raised.value)
    with pytest.raises(ThreadBusy):
        second.resume("t1")
    leave.set()
    thread.join()
    assert results[0].status == "completed"
    assert second.run({"topic": "y"}, thread="t1").status == "completed"


def test_draining_stops_after_the_current_superstep_and_can_be_resumed(db: Path, world: World) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.node == "b":
            runner.drain("SIGTERM")

    runner = Runner(chain(world, "a", "b", "c"), db=db, on_event=listen)
    stopped = runner.run({"topic": "x"}, thread="t1")
    assert stopped.status == "stopped"
    assert world.seen == ["a", "b"]
    assert runner.resume("t1").output["path"] == ["a", "b", "c"]
    assert world.seen == ["a", "b", "c"]


def test_ctrl_c_leaves_the_run_stopped_and_resumable(db: Path, world: World) -> None:
    def impatient(state: State) -> dict[str, Any]:
        if world.broken:
            raise KeyboardInterrupt
        return {"path": ["impatient"]}

    flow = Workflow("ctrl-c", State)
    flow.add_node("a", world.node("a")).add_node("impatient", impatient)
    flow.add_edge(START, "a").add_edge("a", "impatient").add_edge("impatient", END)
    runner = Runner(flow, db=db)
    world.broken.add("impatient")
    with pytest.raises(KeyboardInterrupt):
        runner.run({"topic": "x"}, thread="t1")
    assert runner.ledger.latest("t1").status == "stopped"  # type: ignore[union-attr]
    world.broken.clear()
    assert runner.resume("t1").output["path"] == ["a", "impatient"]


# -- changed graphs -------------------------------------------------------------------------------


def test_a_pending_node_that_was_renamed_is_not_skipped(db: Path, world: World) -> None:
    world.broken.add("b")
    Runner(chain(world, "a", "b", "c"), db=db).run({"topic": "x"}, thread="t1")
    world.broken.clear()
    renamed = Runner(chain(world, "a", "bb", "c"), db=db)
    with pytest.raises(IncompatibleGraph, match=r"`b` is to run next.*--rename b=bb"):
        renamed.resume("t1")
    assert renamed.ledger.latest("t1").status == "failed"  # type: ignore[union-attr]
    assert Runner(chain(world, "a", "b", "c"), db=db).resume("t1").status == "completed"


# -- what a run tells -----------------------------------------------------------------------------


def test_listeners_hear_what_happens_in_order(db: Path, world: World) -> None:
    heard: list[Event] = []
    world.broken.add("b")
    runner = Runner(chain(world, "a", "b"), db=db, on_event=heard.append)
    result = runner.run({"topic": "x"}, thread="t1")
    assert [type(e) for e in heard] == [
        RunStarted,
        NodeStarted,
        NodeFinished,
        NodeStarted,
        NodeFailed,
        RunFinished,
    ]
    assert {e.run_id for e in heard} == {result.run_id}


def test_streamed_chunks_hold_no_key_of_the_kernel(db: Path, world: World) -> None:
    runner = Runner(chain(world, "a", "b"), db=db)
    for mode in ("updates", "values", ["updates", "values", "tasks", "checkpoints", "debug"]):
        stream = runner.stream({"topic": "x"}, stream_mode=mode)
        chunks = list(stream)
        assert chunks
        assert KERNEL not in repr(chunks)
        assert stream.result is not None
        assert stream.result.status == "completed"


def test_a_stream_that_is_left_early_stops_its_run(db: Path, world: World) -> None:
    runner = Runner(chain(world, "a", "b", "c"), db=db)
    stream = runner.stream({"topic": "x"}, thread="t1")
    for _ in stream:
        break
    del stream
    assert runner.ledger.latest("t1").status == "stopped"  # type: ignore[union-attr]
    assert runner.resume("t1").output["path"] == ["a", "b", "c"]


def test_streams_can_be_iterated_in_an_event_loop(db: Path, world: World) -> None:
    runner = Runner(chain(world, "a", "b", is_async=True), db=db)

    async def collect() -> Any:
        stream = runner.astream({"topic": "x"})
        chunks = [chunk async for chunk in stream]
        assert stream.result is not None
        return chunks, stream.result.status

    assert asyncio.run(collect()) == ([{"a": {"path": ["a"]}}, {"b": {"path": ["b"]}}], "completed")


class Answer(TypedDict, total=False):
    said: str


@pytest.mark.parametrize("build", [lambda name: Workflow(name, Answer), lambda name: StateGraph(Answer)])
def test_run_drives_a_graph_whose_only_coroutine_is_the_router_of_start(db: Path, build: Any) -> None:
    async def begin(state: Answer) -> str:
        return "say"

    flow = build("begin").add_node("say", lambda state: {"said": "yes"}).add_edge("say", END)
    flow.add_conditional_edges(START, begin, {"say": "say"})
    outer = Workflow("outer", Answer).add_node("sub", flow).add_edge(START, "sub").add_edge("sub", END)
    for graph in (flow, outer):
        with Runner(graph, db=db) as runner:
            assert runner.run({}).output == {"said": "yes"}
            assert [*runner.stream({}, stream_mode="values")][-1] == {"said": "yes"}


def test_run_drives_async_nodes_also_inside_a_running_loop(db: Path, world: World) -> None:
    runner = Runner(chain(world, "a", is_async=True), db=db)

    async def inside() -> Any:
        return runner.run({"topic": "x"})

    assert asyncio.run(inside()).status == "completed"


# -- any LangGraph graph --------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
def test_a_plain_langgraph_graph_is_run_recorded_and_resumed(db: Path, world: World, compiled: bool) -> None:
    graph: Any = StateGraph(State)
    for name in ("a", "b"):
        graph.add_node(name, world.node(name))
    graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    runner = Runner(graph.compile(name="plain") if compiled else graph, db=db)
    world.broken.add("b")
    failed = runner.run({"topic": "x"}, thread="t1")
    assert failed.status == "failed"
    assert failed.error["node"] == "b"  # type: ignore[index]
    world.broken.clear()
    done = runner.resume("t1")
    assert (done.status, done.output["path"], done.supersteps) == ("completed", ["a", "b"], 2)
    assert world.seen == ["a", "b", "b"]


@pytest.mark.parametrize("name", ["", 5, uuid.UUID(int=1), ("t", 1), b"t1"])
def test_a_thread_has_a_text_for_a_name(db: Path, world: World, name: Any) -> None:
    with Runner(chain(world, "a"), db=db) as runner:
        with pytest.raises(InputInvalid, match="The thread's name is"):
            runner.run({"topic": "x"}, thread=name)
        assert runner.ledger.runs() == []


def test_what_is_no_budget_is_refused_before_anything_is_recorded(db: Path, world: World) -> None:
    runner = Runner(chain(world, "a"), db=db)
    with pytest.raises(DefinitionError, match="a Budget"):
        runner.run({"topic": "x"}, "t1", budget=100)  # type: ignore[arg-type]
    assert runner.ledger.latest("t1") is None


# -- keys -----------------------------------------------------------------------------------------


def test_counters_hold_over_a_resume_and_start_anew_with_the_next_run(db: Path, world: World) -> None:
    flow = Workflow("loop", State)
    flow.add_node("a", world.node("a")).add_node("b", world.node("b"))
    flow.add_edge(START, "a").add_edge("a", "b")
    flow.add_conditional_edges(
        "b", lambda s: "again", {"again": Loop("a", max=2, on_exhausted=END), "end": END}
    )
    runner = Runner(flow, db=db)
    world.broken.add("b")
    assert runner.run({"topic": "x"}, thread="t1").status == "failed"
    world.broken.clear()
    assert runner.resume("t1").output["path"] == ["a", "b"] * 3
    assert runner.run({"topic": "x"}, thread="t1").output["path"] == ["a", "b"] * 6


def test_sends_are_each_executed_once_over_a_resume(db: Path, world: World) -> None:
    def work(item: int) -> dict[str, Any]:
        world.seen.append(str(item))
        if str(item) in world.broken:
            # What is in flight when another fails is done again; here the others are committed by then.
            until(lambda: len(runner.ledger.runs()) == 1 and len(done()) == 3)
            raise ValueError(item)
        return {"path": [str(item)]}

    flow = Workflow("fan", State)
    flow.add_node("work", work)
    flow.add_conditional_edges(START, lambda s: [Send("work", i) for i in range(4)], [Each("work", max=4)])
    flow.add_edge("work", END)
    runner = Runner(flow, db=db)

    def done() -> list[Any]:
        (run,) = runner.ledger.runs()
        return [e for e in runner.ledger.executions(run.run_id) if e.node == "work"]

    world.broken.add("2")
    assert runner.run({"topic": "x"}, thread="t1").status == "failed"
    world.broken.clear()
    assert runner.resume("t1").output["path"] == ["0", "1", "2", "3"]
    assert sorted(set(world.seen) - {"2"}) == ["0", "1", "3"]
    assert world.seen.count("2") == 2
    assert all(world.seen.count(str(i)) == 1 for i in (0, 1, 3))


def test_an_error_that_cannot_say_what_it_is_is_told_by_its_class(tmp_path: Path) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("nothing to say")

    def fail(state: Any) -> None:
        raise Mute

    flow = Workflow("mute", State).add_node("fail", fail).add_edge(START, "fail").add_edge("fail", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = runner.run({})
    assert result.error is not None
    assert (result.status, result.error["type"], result.error["node"]) == ("failed", "Mute", "fail")
