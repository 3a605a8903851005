"""Pattern 7: how deep, how wide, side by side, and in which order."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.patterns import recursive_decomposition
from dalsegno.testing import Reply, ScriptedChatModel


def is_number(state: Any) -> bool:
    return isinstance(state["problem"], int)


def same(state: Any) -> Any:
    return state["problem"]


def add(state: Any) -> int:
    return sum(state["results"])


def test_a_simple_problem_is_solved_at_once() -> None:
    output = recursive_decomposition(is_number, same, same, add).compile().invoke({"request": 7})
    assert (output["answer"], list(output["tree"])) == (7, ["0"])


def test_parts_may_be_of_different_depth() -> None:
    flow = recursive_decomposition(is_number, same, same, add)
    assert flow.compile().invoke({"request": [1, [2, [3, 4]], 5]})["answer"] == 15


def test_results_are_combined_in_the_order_of_the_parts() -> None:
    def listed(state: Any) -> list[Any]:
        return list(state["results"])

    flow = recursive_decomposition(is_number, same, same, listed, breadth=12)
    request = [[*range(12)], 12, [13, [14, 15]]]
    assert flow.compile().invoke({"request": request})["answer"] == request


def test_what_is_too_deep_is_solved_as_it_is() -> None:
    def total(state: Any) -> int:
        problem = state["problem"]
        return problem if isinstance(problem, int) else 100

    flow = recursive_decomposition(is_number, total, same, add, depth=1)
    assert flow.compile().invoke({"request": [1, [2, 3]]})["answer"] == 101


def test_parts_of_one_level_are_solved_side_by_side() -> None:
    met = threading.Barrier(4, timeout=20)

    def wait(state: Any) -> int:
        met.wait()
        return 1

    flow = recursive_decomposition(is_number, wait, same, add, depth=1)
    assert asyncio.run(flow.compile().ainvoke({"request": [1, 2, 3, 4]}))["answer"] == 4


@pytest.mark.parametrize("request_", [[], [1, 2, 3]])
def test_a_division_into_nothing_or_too_much_is_a_wrong_answer(request_: Any) -> None:
    flow = recursive_decomposition(is_number, same, same, add, breadth=2)
    with pytest.raises(WrongAnswer, match="`divide` of the pattern"):
        flow.compile().invoke({"request": request_})


def test_models_judge_solve_divide_and_combine() -> None:
    with ScriptedChatModel(
        [
            Reply({"answer": False}, expect="at once"),
            Reply({"answer": ["write"]}, expect="at most 4 smaller tasks"),
            Reply("written", expect="Do this"),
            Reply("All written.", expect='["written"]'),
        ]
    ) as model:
        flow = recursive_decomposition(model, model, model, model, depth=1)
        assert flow.validate().findings == ()
        assert flow.compile().invoke({"request": "a book"})["answer"] == "All written."


@pytest.mark.parametrize("options", [{"depth": 0}, {"breadth": 0}, {"depth": 1.5}])
def test_what_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):
        recursive_decomposition(is_number, same, same, add, **options)


@pytest.mark.parametrize(("depth", "breadth"), [(40, 10), (10_000_000, 3), (1, 10**18)])
def test_a_tree_may_be_allowed_to_grow_as_large_as_nobody_can_wait_for(depth: int, breadth: int) -> None:
    flow = recursive_decomposition(
        lambda state: len(state["problem"]) < 2,
        lambda state: state["problem"],
        lambda state: [state["problem"][:1], state["problem"][1:]],
        lambda state: "".join(state["results"]),
        depth=depth,
        breadth=breadth,
    )
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.supersteps == 8 * depth + 5
    assert flow.compile().invoke({"request": "abc"})["answer"] == "abc"


def test_an_answer_of_too_many_parts_is_told_in_types_that_one_can_read() -> None:
    flow = recursive_decomposition(
        lambda state: False, lambda state: 1, lambda state: [1, 2, 3], lambda state: 1, breadth=2
    )
    with pytest.raises(WrongAnswer, match=r"where list\[Any\] is expected") as raised:
        flow.compile().invoke({"request": "abc"})
    assert raised.value.data["expected"] == "list[Any]"
