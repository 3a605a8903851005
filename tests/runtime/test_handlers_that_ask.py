"""The question of an error handler waits for its answer like that of a node."""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.types import Command, Send, interrupt

from dalsegno import END, START, Each, Runner, RunResult, Workflow
from dalsegno.errors import InputInvalid


class Desk(TypedDict, total=False):
    lines: Annotated[list[str], operator.add]


def fail(state: Any) -> dict[str, Any]:
    raise ValueError("no network")


def first(state: Any, error: NodeError) -> Command[Literal["end"]]:
    return Command(update={"lines": [interrupt("once"), interrupt("twice")]}, goto="end")


async def second(state: Any, error: NodeError) -> Command[Literal["end"]]:
    return Command(update={"lines": [str(interrupt("how many", response_schema=int))]}, goto="end")


def ask(state: Any) -> dict[str, Any]:
    return {"lines": [interrupt("a node's own")]}


def desk(kind: str) -> Any:
    """Two nodes that fail and whose handlers ask, beside one that asks; nested, in a subworkflow of an odd name."""
    flow: Any = StateGraph(Desk) if kind == "plain" else Workflow("desk", Desk)
    flow.add_node("a", fail, error_handler=first).add_node("b", fail, error_handler=second)
    flow.add_node("own", ask).add_node("end", lambda state: {"lines": ["end"]}).add_edge("end", END)
    for name in ("a", "b", "own"):
        flow.add_edge(START, name).add_edge(name, END)
    if kind != "nested":
        return flow
    outer = Workflow("outer", Desk).add_node("de/sk", flow, inputs={})
    return outer.add_edge(START, "de/sk").add_edge("de/sk", END)


def resumed(graph: Any, db: Path, answer: Any, *, is_async: bool) -> RunResult:
    with Runner(graph, db=db) as runner:
        return asyncio.run(runner.aresume("t", answer)) if is_async else runner.resume("t", answer)


@pytest.mark.parametrize("kind", ["workflow", "plain", "nested"])
@pytest.mark.parametrize("is_async", [False, True])
def test_questions_of_handlers_are_told_with_their_nodes_and_answered_one_by_one(
    tmp_path: Path, kind: str, is_async: bool
) -> None:
    graph, db = desk(kind), tmp_path / "runs.db"
    with Runner(graph, db=db) as runner:
        result = asyncio.run(runner.arun({}, thread="t")) if is_async else runner.run({}, thread="t")
    place = "de/sk/" if kind == "nested" else ""
    told = []
    while result.status == "interrupted":
        questions = {i["value"]: i for i in result.interrupts}
        told.append({value: i["node"].removeprefix(place) for value, i in questions.items()})
        value = min(questions)
        answer = 3 if value == "how many" else value.upper()
        result = resumed(graph, db, {questions[value]["id"]: answer}, is_async=is_async)
    assert told == [
        {"a node's own": "own", "how many": "b", "once": "a"},
        {"how many": "b", "once": "a"},
        {"once": "a"},
        {"twice": "a"},
    ]
    assert sorted(result.output["lines"]) == ["3", "A NODE'S OWN", "ONCE", "TWICE", "end"]


def test_an_answer_to_a_handler_fits_what_it_asked_for(tmp_path: Path) -> None:
    graph = Workflow("desk", Desk).add_node("b", fail, error_handler=second)
    graph.add_node("end", lambda state: None).add_edge(START, "b").add_edge("b", "end").add_edge("end", END)
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        with pytest.raises(InputInvalid, match=r"to `b` \('how many'\) does not fit: expected integer"):
            runner.resume("t", "three")
        assert runner.resume("t").status == "interrupted"  # asked again, and nothing lost
        assert runner.resume("t", 3).output["lines"] == ["3"]


def test_each_handler_of_a_node_that_is_sent_to_has_its_own_question(tmp_path: Path) -> None:
    def sorry(item: int, error: NodeError) -> Command[Literal["end"]]:
        return Command(update={"lines": [interrupt(item)]}, goto="end")

    flow = Workflow("fan", Desk).add_node("plan", lambda state: None)
    flow.add_node("work", fail, error_handler=sorry).add_node("end", lambda state: None)
    flow.add_edge(START, "plan").add_edge("work", "end").add_edge("end", END)
    flow.add_conditional_edges(
        "plan", lambda state: [Send("work", n) for n in range(3)], [Each("work", max=3), "end"]
    )
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        waiting = runner.run({}, thread="t").interrupts
        assert sorted((i["node"], i["value"]) for i in waiting) == [("work", 0), ("work", 1), ("work", 2)]
        done = runner.resume("t", {i["id"]: f"answer {i['value']}" for i in waiting})
        assert done.output["lines"] == ["answer 0", "answer 1", "answer 2"]


def test_a_default_handlers_question_is_that_of_one_of_the_nodes_that_failed(tmp_path: Path) -> None:
    graph: Any = StateGraph(Desk).add_node("a", fail).add_node("b", fail)
    graph.add_node("end", lambda state: None, error_handler=None)
    graph.add_edge(START, "a").add_edge(START, "b").add_edge("end", END)
    graph.set_node_defaults(error_handler=second)
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        waiting = runner.run({}, thread="t").interrupts
        assert [i["node"] for i in waiting] == ["a or b"] * 2
        done = runner.resume("t", {i["id"]: n for n, i in enumerate(waiting)})
        assert sorted(done.output["lines"]) == ["0", "1"]
