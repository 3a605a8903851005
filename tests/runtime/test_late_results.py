"""A node that ends in the moment in which LangGraph stops waiting for it is done all the same."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.channels import UntrackedValue
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.pregel import _loop
from langgraph.pregel._executor import BackgroundExecutor
from langgraph.types import Command, Send

from dalsegno import END, START, Each, Runner, Workflow
from dalsegno.runtime import late_results


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]


def _until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.001)
    assert is_so()


class Race:
    """Two nodes, of which one fails, and the other ends when LangGraph waits for nothing but it.

    What it wrote is handed over only when LangGraph has shut its threads down: as where a machine is busy.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = True
        self.seen: list[str] = []
        self._leaving: list[BackgroundExecutor] = []
        self._late: int | None = None
        leave, with_ids = BackgroundExecutor.__exit__, _loop.ensure_message_ids

        def leaving(executor: BackgroundExecutor, *raised: Any) -> bool | None:
            self._leaving.append(executor)
            return leave(executor, *raised)

        def busy(channels: Any, writes: Any) -> None:
            if self.is_on and threading.get_ident() == self._late:
                _until(lambda: self._leaving[0].executor._shutdown)  # type: ignore[attr-defined]
            with_ids(channels, writes)

        monkeypatch.setattr(BackgroundExecutor, "__exit__", leaving)
        monkeypatch.setattr(_loop, "ensure_message_ids", busy)

    def run(self, name: str) -> dict[str, Any]:
        self.seen.append(name)
        if self.is_on and name == "fails":
            _until(lambda: "late" in self.seen)
            raise ValueError(name)
        if self.is_on and name == "late":
            _until(lambda: bool(self._leaving))
            self._late = threading.get_ident()
        return {"path": [name]}

    def node(self, name: str) -> Callable[[Any], dict[str, Any]]:
        return lambda _: self.run(name)


def _named(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda _: {"path": [name]}


def _of_edges(race: Race) -> Any:
    flow = Workflow("edges", State)
    for name in ("fails", "late"):
        flow.add_node(name, race.node(name)).add_edge(START, name).add_edge(name, "end")
    return flow.add_node("end", race.node("end")).add_edge("end", END)


def _sending(run: Callable[[str], Any], *args: str) -> Workflow:
    """Sends that work is to be done, each with its argument; what comes behind the work is to be said."""
    flow = Workflow("sends", State).add_node("plan", lambda _: {"path": ["plan"]}).add_node("work", run)
    flow.add_edge(START, "plan")
    return flow.add_conditional_edges(
        "plan", lambda _: [Send("work", arg) for arg in args], [Each("work", max=2)]
    )


def _of_sends(race: Race) -> Any:
    def work(name: str) -> dict[str, Any]:
        return race.run(name)

    return _sending(work, "fails", "late").add_edge("work", END)


def _of_routed_sends(race: Race) -> Any:
    def work(name: str) -> dict[str, Any]:
        return race.run(name)

    flow = _sending(work, "fails", "late").add_node("end", race.node("end")).add_edge("end", END)
    return flow.add_conditional_edges("work", lambda _: "end", ["end", END])


def _of_a_subworkflow(race: Race) -> Any:
    outer = Workflow("outer", State).add_node("inner", _of_edges(race))
    return outer.add_edge(START, "inner").add_edge("inner", END)


def _of_langgraph(race: Race) -> Any:
    graph = StateGraph(State)
    for name in ("fails", "late"):
        graph.add_node(name, race.node(name)).add_edge(START, name).add_edge(name, "end")
    return graph.add_node("end", race.node("end")).add_edge("end", END).compile()


@pytest.mark.parametrize("made", [_of_edges, _of_sends, _of_routed_sends, _of_a_subworkflow, _of_langgraph])
def test_a_late_result_is_kept(
    made: Callable[[Race], Any], db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    race = Race(monkeypatch)
    with Runner(made(race), db=db) as runner:
        put_writes = runner.checkpointer.put_writes
        put_by = []

        def watch_puts(*given: Any) -> None:
            put_by.append(threading.current_thread())
            put_writes(*given)

        monkeypatch.setattr(runner.checkpointer, "put_writes", watch_puts)
        failed = runner.run({"path": []}, thread="t1")
        assert failed.status == "failed"
        assert threading.main_thread() in put_by, "LangGraph keeps it by itself"
        assert [r for r in caplog.records if not r.name.startswith("psycopg")] == []  # another test's pool
        race.is_on = False
        race.seen.clear()
        done = runner.resume("t1")
        assert done.status == "completed"
        assert race.seen[0] == "fails"
        assert "late" not in race.seen
        assert {"fails", "late"} <= set(done.output["path"])
        assert len(done.output["path"]) == len(set(done.output["path"]))
        journalled = [e for e in runner.ledger.executions(failed.run_id) if e.status == "failed"]
        assert [e.error["type"] for e in journalled if e.error] == ["ValueError"] * len(journalled)


def test_a_late_result_goes_to_where_langgraph_puts_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(name: str) -> dict[str, Any]:
        return {"path": [name]}

    inner = Workflow("inner", State).add_node("plan", lambda _: {"path": ["plan"]}).add_node("work", work)
    inner.add_edge(START, "plan").add_edge("work", END)
    inner.add_conditional_edges(
        "plan", lambda _: [Send("work", "one"), Send("work", "two")], [Each("work", max=2)]
    )
    outer = Workflow("outer", State).add_node("sub", inner).add_edge(START, "sub").add_edge("sub", END)

    put: set[tuple[Any, ...]] = set()
    told: set[tuple[Any, ...]] = set()
    with Runner(outer, db=tmp_path / "runs.db") as runner:
        put_writes, enlist = runner.checkpointer.put_writes, runner.ledger.database.enlist

        def watch_puts(config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            there = config["configurable"]
            put.add((there["checkpoint_ns"], there["checkpoint_id"], task_id, task_path))
            put_writes(config, writes, task_id, task_path)

        def watch_executions(*args: Any, about: Any = None, **options: Any) -> None:
            if about is not None:
                there = late_results._place_of(about)["configurable"]
                path = late_results._path_of(about.config)
                told.add((there["checkpoint_ns"], there["checkpoint_id"], about.task_id, path))
            enlist(*args, about=about, **options)

        monkeypatch.setattr(runner.checkpointer, "put_writes", watch_puts)
        monkeypatch.setattr(runner.ledger.database, "enlist", watch_executions)
        assert runner.run({"path": []}, thread="t1").status == "completed"
    assert len(told) == 4
    assert told <= put


def test_what_a_node_wrote_before_its_router_was_asked_is_not_its_result(db: Path) -> None:
    """Ctrl-C comes while the router behind a sent-to node is asked: the node is not done, or nobody would go on."""
    is_slow = True

    def route(state: State) -> Literal["end", "other"]:
        if is_slow:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
        return "end"

    flow = _sending(lambda name: {"path": [name]}, "one")
    for name in ("end", "other"):
        flow.add_node(name, _named(name)).add_edge(name, END)
    flow.add_conditional_edges("work", route)
    with Runner(flow, db=db) as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.run({"path": []}, thread="t1")
        is_slow = False
        assert runner.resume("t1").output == {"path": ["plan", "one", "end"]}


@pytest.mark.parametrize("sends", [1, 2])
def test_what_a_node_wrote_before_its_router_was_asked_is_not_its_result_in_an_event_loop(
    db: Path, sends: int
) -> None:
    args = ["one", "two"][:sends]
    is_slow = True

    async def work(name: str) -> dict[str, Any]:
        return {"path": [name]}

    async def run() -> None:
        asked = asyncio.Event()

        async def route(state: State) -> Literal["end", "other"]:
            if is_slow:
                asked.set()
                await asyncio.Event().wait()
            return "end"

        nonlocal is_slow
        flow = _sending(work, *args)
        for name in ("end", "other"):
            flow.add_node(name, _named(name)).add_edge(name, END)
        flow.add_conditional_edges("work", route)
        with Runner(flow, db=db) as runner:
            running = asyncio.create_task(runner.arun({"path": []}, thread="t1"))
            await asked.wait()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            is_slow = False
            done = await runner.aresume("t1")
            assert done.output == {"path": ["plan", *args, "end"]}

    asyncio.run(run())


def test_what_is_done_in_a_graph_that_keeps_nothing_is_done_with_the_node_around_it(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = StateGraph(State)
    for name in ("one", "two"):
        inner.add_node(name, _named(name)).add_edge(START, name)
    graph = StateGraph(State).add_node("sub", inner.compile(checkpointer=False)).add_edge(START, "sub")
    with Runner(graph, db=db) as runner:
        put_writes = runner.checkpointer.put_writes
        put_to = set()

        def watch_puts(config: Any, *given: Any) -> None:
            put_to.add(config["configurable"]["checkpoint_ns"])
            put_writes(config, *given)

        monkeypatch.setattr(runner.checkpointer, "put_writes", watch_puts)
        done = runner.run({"path": []}, thread="t1")
        journalled = {e.node: e.status for e in runner.ledger.executions(done.run_id)}
    assert journalled == dict.fromkeys(("sub", "sub/one", "sub/two"), "done")
    assert put_to == {""}


def _handled(is_ours: bool, node: Callable[[str], Any]) -> Any:
    def sorry(state: State, error: NodeError) -> Command[Literal["end"]]:
        return Command(update=node("sorry")(state), goto="end")

    graph: Any = Workflow("handled", State) if is_ours else StateGraph(State)
    graph.add_node("breaks", node("breaks"), error_handler=sorry)
    for name in ("fails", "end"):
        graph.add_node(name, node(name))
    graph.add_edge(START, "breaks").add_edge(START, "fails").add_edge("fails", "end").add_edge("end", END)
    return graph.add_edge("breaks", "end")


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_a_handler_did_beside_a_failure_is_not_told_as_done(db: Path, is_ours: bool) -> None:
    seen: list[str] = []

    def node(name: str) -> Callable[[Any], dict[str, Any]]:
        def run(state: Any) -> dict[str, Any]:
            seen.append(name)
            if name == "breaks":
                raise ValueError(name)
            if name == "fails" and seen.count("fails") == 1:
                _until(lambda: "sorry" in seen)
                raise KeyError(name)
            return {"path": [name]}

        return run

    with Runner(_handled(is_ours, node), db=db) as runner:
        failed = runner.run({"path": []}, thread="t1")
        assert failed.status == "failed"
        assert failed.usage["executions"] == 0
        assert [e.status for e in runner.ledger.executions(failed.run_id)] == ["failed"] * 3
        done = runner.resume("t1")
        assert seen.count("sorry") == 2, "LangGraph does a handler again, whatever is kept of it"
        assert sorted(done.output["path"]) == ["end", "fails", "sorry"]
        journalled = [e for e in runner.ledger.executions(failed.run_id) if e.status == "done"]
        assert len(journalled) == len({e.node for e in journalled}) == done.usage["executions"] == 3
        assert [e.error["type"] for e in journalled if e.error] == ["ValueError"]


def test_a_key_that_is_kept_nowhere_is_not_kept_with_a_late_result(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holding(State, total=False):
        held: Annotated[str, UntrackedValue(str)]

    race = Race(monkeypatch)
    graph = StateGraph(Holding)
    for name in ("fails", "late"):
        graph.add_node(
            name, lambda _, name=name: {**race.run(name), **({"held": "s3cret"} if name == "late" else {})}
        )
        graph.add_edge(START, name)
    with Runner(graph, db=db) as runner:
        assert runner.run({"path": []}, thread="t1").status == "failed"
        kept = runner.checkpointer.get_tuple({"configurable": {"thread_id": "t1"}})
        assert kept is not None
        assert "held" not in {key for _, key, _ in kept.pending_writes or ()}
        race.is_on = False
        assert runner.resume("t1").status == "completed"
