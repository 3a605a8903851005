"""A plain LangGraph graph is journalled, has effects, and is resumed as a workflow is."""

from __future__ import annotations

import asyncio
import json
import operator
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pytest
from langchain.agents import AgentState, create_agent
from langchain.agents.structured_output import ToolStrategy
from langgraph.graph import StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from worlds import State

from dalsegno import END, START, Budget, Runner, Workflow, effect
from dalsegno.checkpoints import open_checkpointer
from dalsegno.errors import (
    DatabaseUnavailable,
    Fenced,
    ThreadUnfinished,
    TypeNotAllowed,
    UnknownThread,
    WorkflowInvalid,
)
from dalsegno.nodes import current_execution
from dalsegno.runtime.events import Event, NodeFailed, NodeFinished, NodeInterrupted, NodeStarted
from dalsegno.testing import ScriptedChatModel


def journal(runner: Runner, run_id: str) -> list[tuple[str, int, int | None, str]]:
    return [(e.node, e.superstep, e.index, e.status) for e in runner.ledger.executions(run_id)]


def chain(world: Any, *names: str) -> Any:
    graph: Any = StateGraph(State)
    for source, target in zip([START, *names], [*names, END], strict=True):
        if target != END:
            graph.add_node(target, world.node(target))
        graph.add_edge(source, target)
    return graph


@pytest.mark.parametrize("asynchronous", [False, True])
def test_its_nodes_are_in_the_journal_and_told(world: Any, db: Path, asynchronous: bool) -> None:
    heard: list[Event] = []
    world.broken.add("b")
    with Runner(chain(world, "a", "b"), db=db, on_event=heard.append) as runner:

        def turn(method: str, *given: Any) -> Any:
            if asynchronous:
                return asyncio.run(getattr(runner, f"a{method}")(*given))
            return getattr(runner, method)(*given)

        failed = turn("run", {"topic": "x"}, "t1")
        assert journal(runner, failed.run_id) == [("a", 1, None, "done"), ("b", 2, None, "failed")]
        assert (failed.error["node"], failed.error["attempt"]) == ("b", 1)
        world.broken.clear()
        assert turn("resume", "t1").supersteps == 2
        assert journal(runner, failed.run_id)[2:] == [("b", 2, None, "done")]
        second = turn("run", {"topic": "y"}, "t1")
        assert journal(runner, second.run_id) == [("a", 1, None, "done"), ("b", 2, None, "done")]
    kinds = [type(e) for e in heard if isinstance(e, NodeStarted)]
    assert kinds[:4] == [NodeStarted, NodeFinished, NodeStarted, NodeFailed]


def test_effects_are_done_once_over_a_resume(world: Any, db: Path) -> None:
    charged: list[str] = []

    def pay(state: State) -> Any:
        execution = current_execution()
        assert execution is not None
        receipt = effect("charge", lambda: charged.append(execution.idempotency_key) or "receipt")
        if "pay" in world.broken:
            raise ValueError
        return {"path": [receipt]}

    graph: Any = StateGraph(State)
    graph.add_node("a", world.node("a")).add_node("pay", pay)
    graph.add_edge(START, "a").add_edge("a", "pay").add_edge("pay", END)
    with Runner(graph, db=db) as runner:
        world.broken.add("pay")
        runner.run({"topic": "x"}, thread="t1")
        world.broken.clear()
        assert runner.resume("t1").output["path"] == ["a", "receipt"]
        assert len(charged) == 1
        runner.run({"topic": "x"}, thread="t1")
        assert len(set(charged)) == len(charged) == 2


def test_sends_questions_commands_and_subgraphs_are_in_the_journal(world: Any, db: Path) -> None:
    inner: Any = StateGraph(State)
    inner.add_node("ask", lambda s: {"path": [interrupt("?")]}).add_edge(START, "ask").add_edge("ask", END)
    graph: Any = StateGraph(State)
    graph.add_node(
        "plan", lambda s: Command(goto=[Send("work", i) for i in range(2)]), destinations=("work",)
    )
    graph.add_node("work", lambda i: {"path": [str(i)]}).add_node("inner", inner.compile())
    graph.add_edge(START, "plan").add_edge("work", "inner").add_edge("inner", END)
    heard: list[Event] = []
    with Runner(graph, db=db, on_event=heard.append) as runner:
        waiting = runner.run({"topic": "x"}, thread="t1")
        assert waiting.status == "interrupted"
        done = runner.resume("t1", "yes")
        assert done.output["path"] == ["0", "1", "yes"] or "yes" in done.output["path"]
        entries = journal(runner, done.run_id)
    assert sorted(entries[:3], key=str) == [
        ("plan", 1, None, "done"),
        ("work", 2, 0, "done"),
        ("work", 2, 1, "done"),
    ]
    assert ("inner/ask", 1, None, "interrupted") in entries
    assert entries[-2:] == [("inner/ask", 1, None, "done"), ("inner", 3, None, "done")]
    assert any(type(e) is NodeInterrupted for e in heard)


def test_a_node_whose_router_raises_is_not_journalled_as_done(world: Any, db: Path) -> None:
    def route(state: State) -> str:
        if "route" in world.broken:
            raise ValueError("route")
        return "b"

    graph: Any = StateGraph(State)
    graph.add_node("a", world.node("a")).add_node("b", world.node("b")).add_edge(START, "a")
    graph.add_conditional_edges("a", route, ["b"]).add_edge("b", END)
    with Runner(graph, db=db) as runner:
        world.broken.add("route")
        failed = runner.run({"topic": "x"}, thread="t1")
        assert (failed.status, failed.error["node"]) == ("failed", "a")  # type: ignore[index]
        assert journal(runner, failed.run_id) == []
        world.broken.clear()
        assert runner.resume("t1").output["path"] == ["a", "b"]
        assert journal(runner, failed.run_id) == [("a", 1, None, "done"), ("b", 2, None, "done")]


def test_the_graph_that_was_given_is_left_as_it_was(world: Any, db: Path) -> None:
    compiled = chain(world, "a").compile()
    before = dict(compiled.nodes), compiled.nodes["a"].bound
    with Runner(compiled, db=db) as runner:
        runner.run({"topic": "x"})
    assert (dict(compiled.nodes), compiled.nodes["a"].bound) == before
    assert compiled.invoke({"topic": "x"})["path"] == ["a"]


def test_a_graph_that_langgraph_does_not_compile_is_refused_with_every_reason(tmp_path: Path) -> None:
    builder = StateGraph(State).add_node("a", lambda state: {}).add_edge("a", "nowhere")
    with pytest.raises(WorkflowInvalid) as caught:
        Runner(builder, db=tmp_path / "runs.db")
    assert [f.code for f in caught.value.report.errors] == ["G001", "G003"]


def test_a_thread_that_no_runner_began_says_how_it_goes_on(db: Path) -> None:
    graph = StateGraph(State)
    graph.add_node("ask", lambda state: {"path": [interrupt("how?")]})
    graph.add_edge(START, "ask")
    thread: Any = {"configurable": {"thread_id": "t"}}
    with open_checkpointer(db) as saver:
        app = graph.compile(checkpointer=saver)
        app.invoke({"topic": "rain"}, thread)
    with Runner(graph, db=db) as runner:
        with pytest.raises(ThreadUnfinished, match=r"`ask` pending.*open_checkpointer.*abandon=True"):
            runner.run({"topic": "sun"}, thread="t")
        with pytest.raises(UnknownThread, match=r"No `Runner` ran on thread 't'.*open_checkpointer"):
            runner.resume("t", "so")
    with open_checkpointer(db) as saver:
        assert graph.compile(checkpointer=saver).invoke(Command(resume="so"), thread)["path"] == ["so"]
    with Runner(graph, db=db) as runner:
        assert runner.run({"topic": "sun"}, thread="t").status == "interrupted"


@pytest.mark.parametrize(
    ("schema", "given", "step", "gives"),
    [
        (dict, {"topic": "x"}, lambda state: {**state, "draft": len(state)}, {"topic": "x", "draft": 2}),
        (Annotated[list, operator.add], [1], lambda state: [len(state)], [1, 1, 2]),
    ],
)
def test_a_state_without_keys_is_the_output_as_a_whole(
    db: Path, schema: Any, given: Any, step: Any, gives: Any
) -> None:
    graph: Any = StateGraph(schema)
    graph.add_node("a", step).add_node("b", step).add_edge(START, "a").add_edge("a", "b")
    with Runner(graph, db=db) as runner:
        assert runner.run(given, "t1").output == gives == graph.compile().invoke(given)


def keeping_nothing(action: Any) -> Any:
    graph: Any = StateGraph(State)
    return graph.add_node("x", action).add_edge(START, "x").compile(checkpointer=False)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", [StateGraph, Workflow])
@pytest.mark.parametrize("way", ["node", "function", "coroutine"])
def test_a_graph_in_it_may_keep_no_checkpoints(db: Path, kind: Any, asynchronous: bool, way: str) -> None:
    inner = keeping_nothing(lambda state: {"path": ["x"]})

    def run(state: State) -> Any:
        return inner.invoke(state)

    async def arun(state: State) -> Any:
        return await inner.ainvoke(state)

    graph = (
        kind(State) if kind is StateGraph else kind("outer", State).waive("T111", "n", "it ends by itself")
    )
    graph.add_node("n", {"node": inner, "function": run, "coroutine": arun}[way])
    graph.add_edge(START, "n").add_edge("n", END)
    with Runner(graph, db=db) as runner:
        result = asyncio.run(runner.arun({"topic": "a"})) if asynchronous else runner.run({"topic": "a"})
        assert (result.output or {}).get("path") == ["x"], result.error


@pytest.mark.parametrize("kind", [StateGraph, Workflow])
def test_one_that_keeps_no_checkpoints_cannot_ask(db: Path, kind: Any) -> None:
    graph = kind(State) if kind is StateGraph else kind("outer", State)
    graph.add_node("n", keeping_nothing(lambda state: {"path": [interrupt("how?")]}))
    graph.add_edge(START, "n").add_edge("n", END)
    with Runner(graph, db=db) as runner:
        result = runner.run({"topic": "a"})
    assert (result.status, result.error["type"]) == ("failed", "KernelError")  # type: ignore[index]
    assert "`n` waits for a human ('how?') and is compiled with `checkpointer=False`" in str(result.error)


def test_supersteps_of_a_later_turn_are_its_own(world: Any, db: Path) -> None:
    graph = chain(world, "a", "b", "c", "d")
    with Runner(graph, db=db) as runner:
        runner.run({"topic": "x"}, thread="t")
        world.broken.add("c")
        failed = runner.run({"topic": "y"}, thread="t")
        world.broken.clear()
        at = runner.pending("t").checkpoint_id
        assert at is not None
        runner.fork("t", at, into="fork")
        forked = runner.resume("fork", budget=Budget(supersteps=4))
        assert (forked.status, forked.supersteps) == ("completed", 4)
        runner.checkpointer.prune(["t"])  # the input's checkpoint goes, too
        done = runner.resume("t", budget=Budget(supersteps=4))
        assert (done.status, done.supersteps) == ("completed", 4)
        assert journal(runner, failed.run_id)[-2:] == [("c", 3, None, "done"), ("d", 4, None, "done")]
        assert journal(runner, forked.run_id) == [("c", 3, None, "done"), ("d", 4, None, "done")]


@pytest.mark.parametrize("kind", [StateGraph, Workflow])
@pytest.mark.parametrize("mode", ["checkpoints", "debug"])
def test_streamed_checkpoints_are_plain_data(db: Path, kind: Any, mode: str) -> None:
    graph = kind(State) if kind is StateGraph else kind("w", State)
    graph.add_node("a", lambda state: {"path": ["a"]}).add_edge(START, "a").add_edge("a", END)
    with Runner(graph, db=db) as runner:
        chunks = list(runner.stream({"topic": "x"}, thread="t", stream_mode=mode))
    last = json.loads(json.dumps(chunks))[-1]
    place = (last if mode == "checkpoints" else last["payload"])["config"]["configurable"]
    assert sorted(place) == ["checkpoint_id", "checkpoint_ns", "run_id", "thread_id"]


@pytest.mark.parametrize("looked_for", [False, True])
@pytest.mark.parametrize("kind", [StateGraph, Workflow])
def test_a_database_that_was_moved_away_is_said_to_be(tmp_path: Path, kind: Any, looked_for: bool) -> None:
    def move(state: State) -> dict[str, Any]:
        for file in sorted(tmp_path.glob("runs.db*")):
            file.rename(tmp_path / f"moved-{file.name}")
        if looked_for:
            runner.ledger.renew()  # the heartbeat tells nobody that it failed
        return {"path": ["a"]}

    graph = kind(State) if kind is StateGraph else kind("w", State)
    graph.add_node("a", move).add_node("b", lambda state: {}).add_edge(START, "a").add_edge("a", "b")
    runner = Runner(graph, db=tmp_path / "runs.db")
    with pytest.raises(DatabaseUnavailable, match="was moved, deleted or replaced while it was in use"):
        runner.run({"topic": "x"}, thread="t")
    assert not (tmp_path / "runs.db").exists()


def test_a_run_whose_database_was_replaced_is_not_said_to_be_taken_over(tmp_path: Path) -> None:
    def replace(state: State) -> dict[str, Any]:
        for file in sorted(tmp_path.glob("runs.db*")):
            file.unlink()
        with Runner(other, db=tmp_path / "runs.db") as there:
            there.run({"topic": "y"}, thread="another")
        runner.ledger.renew()
        return {"path": ["a"]}

    other = StateGraph(State).add_node("b", lambda state: {}).add_edge(START, "b")
    graph: Any = StateGraph(State).add_node("a", replace).add_edge(START, "a")
    runner = Runner(graph, db=tmp_path / "runs.db")
    with pytest.raises(Fenced, match=r"Nothing is kept of thread 't' any more.*moved, deleted or replaced"):
        runner.run({"topic": "x"}, thread="t")


class Forecast(BaseModel):
    degrees: int


class Asked(AgentState):
    structured_response: NotRequired[Forecast]


def test_what_an_agent_of_langchain_answers_is_kept_where_its_state_names_the_class(db: Path) -> None:
    for state in (Asked, None):
        model = ScriptedChatModel([{"name": "Forecast", "args": {"degrees": 3}}])
        graph: Any = create_agent(model, [], response_format=ToolStrategy(Forecast), state_schema=state)
        with Runner(graph, db=db) as runner:
            if state is None:
                with pytest.raises(TypeNotAllowed, match="name the type in the state's schema"):
                    runner.run({"messages": "And tomorrow?"})
                continue
            assert runner.run({"messages": "And today?"}).output["structured_response"] == Forecast(degrees=3)
