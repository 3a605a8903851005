"""Pattern 5: the same for every item, in order, whatever fails and however many there are."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.patterns import MapReduce, Node, map_reduce, sequential


def inverse(state: Any) -> float:
    return 1 / state["item"]


def test_answers_stand_in_the_order_of_the_items_whoever_was_first() -> None:
    async def slower_first(state: Any) -> int:
        await asyncio.sleep(0.02 - state["item"] / 1000)
        return int(state["item"])

    output = asyncio.run(map_reduce(slower_first).compile().ainvoke({"items": list(range(15))}))
    assert output["results"] == list(range(15))
    assert output["failures"] == []


def test_an_item_that_fails_is_left_out_or_keeps_its_place() -> None:
    failed = {"name": "item 2", "error": "ZeroDivisionError", "message": "division by zero"}
    given = {"items": [1, 0, 2]}
    skipped = map_reduce(inverse, on_error="skip").compile().invoke(given)
    assert (skipped["results"], skipped["failures"]) == ([1.0, 0.5], [failed])
    collected = map_reduce(inverse, on_error="collect").compile().invoke(given)
    assert (collected["results"], collected["failures"]) == ([1.0, failed, 0.5], [failed])


def test_a_run_that_failed_at_an_item_goes_on_there(tmp_path: Path) -> None:
    called: list[int] = []
    broken = [True]

    def until_the_others_are_kept() -> None:
        # What ends in the moment of a failure may not be handed over by LangGraph any more, and is executed again.
        limit = time.monotonic() + 20
        tasks: set[str] = set()
        while len(tasks) < 2:
            assert time.monotonic() < limit
            found = runner.checkpointer.get_tuple({"configurable": {"thread_id": "t"}})
            tasks = {task for task, *_ in found.pending_writes or ()} if found is not None else set()

    def work(state: Any) -> int:
        called.append(state["item"])
        if state["item"] == 3 and broken:
            until_the_others_are_kept()
            raise OSError("no line")
        return int(state["item"]) * 10

    with Runner(map_reduce(work), db=tmp_path / "r.db") as runner:
        assert runner.run({"items": [1, 2, 3]}, thread="t").status == "failed"
        broken.clear()
        result = runner.resume("t").raise_for_status()
    assert result.output["results"] == [10, 20, 30]
    assert sorted(called) == [1, 2, 3, 3]


def test_nothing_to_map_is_reduced_all_the_same() -> None:
    flow = map_reduce(inverse, reducer=lambda state: len(state["results"]))
    output = flow.compile().invoke({"items": []})
    assert output["results"] == []
    assert output["value"] == 0


def test_a_batch_is_mapped_in_one_call_and_fails_as_one() -> None:
    def inverses(state: Any) -> list[float]:
        return [1 / item for item in state["item"]]

    flow = map_reduce(inverses, batch=2, on_error="collect")
    output = flow.compile().invoke({"items": [1, 2, 4, 0, 5]})
    assert [r if isinstance(r, float) else r["name"] for r in output["results"]] == [
        1.0,
        0.5,
        "item 3",
        "item 4",
        0.2,
    ]


def test_a_batch_is_answered_item_by_item() -> None:
    with pytest.raises(WrongAnswer, match="answered 1 values to a batch of 2 items"):
        map_reduce(lambda state: [1], batch=2).compile().invoke({"items": [1, 2]})


def test_no_more_than_so_many_run_at_once() -> None:
    going, most = 0, 0

    async def work(state: Any) -> int:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(0.002)
        going -= 1
        return 1

    asyncio.run(map_reduce(work, max_concurrency=3).compile().ainvoke({"items": list(range(12))}))
    assert most == 3


def test_an_item_is_sent_with_what_else_it_needs() -> None:
    class Mine(MapReduce, total=False):
        unit: str

    def with_unit(state: Any) -> str:
        return f"{state['item']} {state['unit']}"

    flow = map_reduce(with_unit, also=["unit"], state=Mine)
    assert flow.compile().invoke({"items": [1, 2], "unit": "km"})["results"] == ["1 km", "2 km"]


def test_a_workflow_may_be_done_for_every_item() -> None:
    def half(state: Any) -> float:
        return float(state["value"]) / 2

    inner = Node(sequential([half]), inputs={"value": "item"}, outputs={"mapped": "value"})
    assert map_reduce(inner).compile().invoke({"items": [2, 4]})["results"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"items": "text"}, "given str as `items`, where a list is expected"),
        ({"value": 1}, "given NoneType as `items`"),
        ({"items": [1] * 4}, "given 4 items, and at most 3 are allowed: max_items="),
    ],
)
def test_what_is_no_collection_is_refused_before_the_first_item(given: Any, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        map_reduce(inverse, max_items=3).compile().invoke(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"max_items": 0}, "max_items=0"),
        ({"batch": 0}, "batch=0"),
        ({"also": ["valeu"]}, "no key of the state; did you mean `value`"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        map_reduce(inverse, **options)
