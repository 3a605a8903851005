"""The states of a run as lines of text: from its checkpoints, masked, each value once."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import StateGraph
from pydantic import BaseModel, SecretStr

from dalsegno import END, START, Loop, Runner, Workflow
from dalsegno.nodes.secrets import Secret
from dalsegno.runtime.seeing import Seeing
from dalsegno.runtime.states import MOST_CHARACTERS, line_of, lines_of, states_of
from dalsegno.viz.overlay import RunView


class Account(BaseModel):
    user: str
    password: SecretStr


class State(TypedDict, total=False):
    topic: str
    log: Annotated[list[str], operator.add]
    token: Annotated[str, Secret]
    account: Account


@dataclass
class Point:
    x: int
    y: Any = None


def _looping(times: int) -> Workflow:
    def write(state: State) -> State:
        account = Account(user="ada", password=SecretStr("hunter2"))
        return {"log": [f"entry {len(state.get('log', []))}"], "token": "tok-hunter2", "account": account}

    flow = Workflow("looping", State)
    flow.add_node("write", write).add_edge(START, "write")
    flow.add_conditional_edges(
        "write", lambda s: "again", {"again": Loop("write", max=times - 1, on_exhausted=END)}
    )
    return flow


def _stopping() -> Workflow:
    def check(state: State) -> State:
        if state["topic"] == "bad":
            raise ValueError("bad")
        return {"log": ["check"]}

    flow = Workflow("stopping", State)
    flow.add_node("write", lambda state: {"log": ["write"]}).add_node("check", check)
    flow.add_node("end", lambda state: {"log": ["end"]})
    return (
        flow.add_edge(START, "write").add_edge("write", "check").add_edge("check", "end").add_edge("end", END)
    )


def test_the_states_are_those_of_the_checkpoints(tmp_path: Path) -> None:
    flow = _looping(3)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "first"}, thread="t")
        runner.run({"topic": "second"}, thread="t")
    with Seeing(flow, tmp_path / "runs.db") as seeing:
        run = seeing.ledger.latest("t")
        assert run is not None
        view = seeing.view(run, states=True)
    assert [s.superstep for s in view.states] == [0, 0, 1, 2, 3]
    assert view.states[1].values["topic"] == ("second",)
    assert len(view.states[-1].values["log"]) == 6  # the state of a thread goes on
    assert [e.superstep for e in view.executions] == [1, 2, 3]
    text = repr(view)
    assert "hunter2" not in text
    assert view.states[-1].values["token"] == ("**********",)
    assert view.states[-1].values["account"] == ("user: ada", "password: **********")


def _seen(flow: Workflow, db: Path, thread: str) -> RunView:
    with Seeing(flow, db) as seeing:
        run = seeing.ledger.latest(thread)
        assert run is not None
        return seeing.view(run, states=True)


def test_a_state_that_was_set_by_hand_is_no_superstep(tmp_path: Path) -> None:
    flow = _stopping()
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        assert runner.run({"topic": "bad"}, thread="t").status == "failed"
        compiled = flow.compile(checkpointer=runner.checkpointer)
        compiled.update_state({"configurable": {"thread_id": "t"}}, {"topic": "good"}, as_node="write")
        assert runner.resume("t").status == "completed"
    view = _seen(flow, tmp_path / "runs.db", "t")
    assert [e.superstep for e in view.executions] == [1, 2, 3]
    assert [s.superstep for s in view.states] == [0, 0, 1, 2, 3]
    assert view.states[-1].values["log"] == ("write", "check", "end")


def test_the_states_of_a_fork_begin_where_it_was_forked(tmp_path: Path) -> None:
    flow = _stopping()
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "good"}, thread="t")
        marks = {s.superstep: s.checkpoint for s in _seen(flow, tmp_path / "runs.db", "t").states}
        runner.fork("t", marks[2], into="t2")
        assert runner.resume("t2").status == "completed"
    view = _seen(flow, tmp_path / "runs.db", "t2")
    assert [e.superstep for e in view.executions] == [3]
    assert [(s.superstep, len(s.values["log"])) for s in view.states] == [(2, 2), (3, 3)]


def test_of_a_long_run_the_last_states_are_known_by_their_supersteps(tmp_path: Path) -> None:
    flow = _looping(6)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "long"}, thread="t")
        run = runner.ledger.latest("t")
        assert run is not None
        states = states_of(runner.checkpointer, run, limit=3)
    assert [(s.superstep, len(s.values["log"])) for s in states] == [(4, 4), (5, 5), (6, 6)]


def test_a_plain_graph_tells_its_states_by_its_steps(tmp_path: Path) -> None:
    graph = StateGraph(State)
    graph.add_node("write", lambda state: {"log": ["write"]})
    graph.add_node("end", lambda state: {"log": ["end"]})
    graph.add_edge(START, "write").add_edge("write", "end").add_edge("end", END)
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "first"}, thread="t")
        runner.run({"topic": "second"}, thread="t")
        run = runner.ledger.latest("t")
        assert run is not None
        states = states_of(runner.checkpointer, run, limit=2)
    assert [(s.superstep, len(s.values["log"])) for s in states] == [(1, 3), (2, 4)]


def test_what_is_the_same_is_not_made_again(tmp_path: Path) -> None:
    flow = _looping(4)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "x"}, thread="t")
    with Seeing(flow, tmp_path / "runs.db") as seeing:
        run = seeing.ledger.latest("t")
        assert run is not None
        states = seeing.view(run, states=True).states
    assert states[-1].values["topic"] is states[-2].values["topic"]
    assert states[-1].values["log"] == tuple(f"entry {i}" for i in range(4))


class _Unsayable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("two\nlines", ["two", "lines"]),
        (["a", 1, None], ["a", "1", "null"]),
        ([], ["[]"]),
        ({}, ["{}"]),
        ({"a": {"b": [1, 2]}}, ['a: {"b": [1, 2]}']),
        (Point(1, "é"), ["x: 1", "y: é"]),
        (3.5, ["3.5"]),
        ([AIMessage("hello")], ["ai: hello"]),
        ([_Unsayable()], ['"<_Unsayable, whose repr fails: RuntimeError>"']),
    ],
)
def test_values_become_lines(value: Any, lines: list[str]) -> None:
    assert list(lines_of(value)) == lines


def test_a_long_text_is_cut_and_says_so() -> None:
    line = line_of("x" * (MOST_CHARACTERS + 1234))
    assert line.endswith("… (1,234 more characters)")


def test_a_run_of_a_graph_with_errors_is_seen_without_its_states(tmp_path: Path) -> None:
    with Runner(_looping(2), db=tmp_path / "runs.db") as runner:
        runner.run({"topic": "x"}, thread="t")
    broken = Workflow("looping", State).add_node("write", lambda state: state)
    broken.add_edge(START, "write").add_edge("write", "write")
    with Seeing(broken, tmp_path / "runs.db") as seeing:
        run = seeing.ledger.latest("t")
        assert run is not None
        view = seeing.view(run, states=True)
        drawn_on = seeing.graph_of(run)
    assert "The graph has changed since this run" in (view.note or "")
    assert "the states cannot be read" in (view.note or "")
    assert view.states == ()
    assert [e.loop for e in drawn_on.edges if e.loop] == [1]
