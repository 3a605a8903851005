"""Pattern 16: side by side or one after the other, and one answer in the end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Node, Worker, sequential, specialists
from dalsegno.graphs.patterns.catalog import find
from dalsegno.testing import Reply, ScriptedChatModel


def ask(*names: str) -> Any:
    return lambda state: [{"to": name, "task": place} for place, name in enumerate(names)]


def echo(state: Any) -> Any:
    return state["task"]


def together(state: Any) -> dict[str, Any]:
    return {"answer": [done.get("result") for done in state["results"]], "conflicts": []}


def test_in_parallel_they_work_side_by_side_and_the_bound_is_four() -> None:
    met = threading.Barrier(3, timeout=20)

    def wait(state: Any) -> int:
        met.wait()
        return int(state["task"])

    args = (ask("c", "a", "b"), dict.fromkeys("abc", wait), together)
    flow = specialists(*args)
    report = flow.validate()
    assert report.findings == ()
    assert report.certificate is not None
    assert report.certificate.supersteps == find("specialists").bound(*args) == 4
    assert asyncio.run(flow.compile().ainvoke({"request": ""}))["synthesis"]["answer"] == [0, 1, 2]


def test_in_series_they_come_in_the_coordinators_order_and_see_who_spoke_before() -> None:
    def seen(state: Any) -> list[Any]:
        return [done["to"] for done in state["results"]]

    flow = specialists(ask("c", "a", "b"), dict.fromkeys("abc", seen), together, order="serial")
    assert flow.compile().invoke({"request": ""})["synthesis"]["answer"] == [[], ["c"], ["c", "a"]]


@pytest.mark.parametrize("order", ["parallel", "serial"])
def test_questions_to_one_specialist_are_put_together(order: Any) -> None:
    flow = specialists(ask("a", "a"), {"a": echo, "b": echo}, together, order=order)
    assert flow.compile().invoke({"request": ""})["synthesis"]["answer"] == [[0, 1]]


@pytest.mark.parametrize("order", ["parallel", "serial"])
def test_nobody_is_asked(order: Any) -> None:
    flow = specialists(ask(), [echo], together, order=order)
    assert flow.compile().invoke({"request": ""})["synthesis"]["answer"] == []


@pytest.mark.parametrize("order", ["parallel", "serial"])
def test_a_specialist_may_be_a_workflow(order: Any) -> None:
    def double(state: Any) -> int:
        return 2 * int(state["value"])

    inner = Node(sequential([double]), inputs={"value": "task"}, outputs={"results": "value"})
    flow = specialists(ask("b", "a"), {"a": inner, "b": echo}, together, order=order)
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"request": ""})["synthesis"]["answer"] == [0, 2]


def test_models_coordinate_answer_and_resolve_conflicts() -> None:
    said = {"answer": "Stay.", "conflicts": ["one says go"]}
    with (
        ScriptedChatModel(
            [Reply({"answer": [{"to": "sky", "task": "rain?"}]}, expect="sky: weather")]
        ) as chooses,
        ScriptedChatModel([Reply("yes", expect="rain?")]) as sky,
        ScriptedChatModel([Reply(said, expect='"result":"yes"')]) as resolves,
    ):
        flow = specialists(chooses, {"sky": Worker(sky, about="weather")}, resolves)
        output = flow.compile().invoke({"request": "Picnic?"})
    assert output["synthesis"] == said


@pytest.mark.parametrize(
    ("experts", "options", "message"),
    [
        ([], {}, "no specialists"),
        ([echo, echo], {}, "two specialists"),
        ([echo], {"order": "random"}, "order='random'"),
    ],
)
def test_what_cannot_be_meant_is_refused(experts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        specialists(ask(), experts, together, **options)
