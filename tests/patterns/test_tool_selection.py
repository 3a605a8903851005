"""Pattern 19: tools are chosen before the first runs, and chosen again where one failed."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.patterns import tool_selection
from dalsegno.testing import ScriptedChatModel


def half(n: int) -> int:
    """Half of an even number."""
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


def step(id: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return {"id": id, "tool": tool, "arguments": arguments, "why": ""}


def run(*selections: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    left = list(selections)
    flow = tool_selection(
        lambda state: {"steps": left.pop(0)},
        [half, add],
        lambda state: {"response": state["results"]},
        **options,
    )
    output: dict[str, Any] = flow.compile().invoke({"request": "?"})
    return output


def test_steps_run_in_their_order_and_refer_to_earlier_results() -> None:
    output = run([step("h", "half", n=8), step("q", "half", n="$h"), step("s", "add", a="$h", b="$q")])
    assert output["response"] == {"h": 4, "q": 2, "s": 6}
    assert output["outcome"] == "done"


def test_the_selector_is_told_what_failed_and_may_use_earlier_results() -> None:
    output = run([step("a", "half", n=6), step("b", "half", n="$a")], [step("c", "add", a="$a", b=1)])
    assert output["response"] == {"a": 3, "c": 4}
    assert output["failures"] == [{"name": "b", "error": "ValueError", "message": "3 is odd"}]
    assert output["outcome"] == "done"


def test_a_result_that_is_not_there_goes_back_to_the_selector() -> None:
    output = run([step("a", "half", n="$b")], [step("a", "half", n=2)])
    assert output["failures"][0]["message"] == "`$b` refers to the result of `b`, and there is none."
    assert output["response"] == {"a": 1}


def test_reselections_are_bounded_and_the_integrator_answers_with_what_there_is() -> None:
    odd = [step("a", "half", n=2), step("b", "half", n=3), step("c", "half", n=4)]
    output = run(odd, odd, odd, reselections=1)
    assert output["response"] == {"a": 1}
    assert output["outcome"] == "failed"
    assert len(output["failures"]) == 2


def test_when_no_further_tool_is_needed_after_a_failure_it_is_done() -> None:
    output = run([step("a", "half", n=6), step("b", "half", n="$a")], [])
    assert output["response"] == {"a": 3}
    assert output["failures"][0]["name"] == "b"
    assert output["outcome"] == "done"


def test_no_tool_is_a_selection_too() -> None:
    assert run([])["response"] == {}


def test_models_select_and_answer() -> None:
    def selected(*steps: dict[str, Any]) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "Selection", "args": {"steps": list(steps)}, "id": "1"}])

    model = ScriptedChatModel(
        [selected(step("a", "haf", n=8)), selected(step("a", "half", n=8)), AIMessage("It is 4.")]
    )
    flow = tool_selection(model, [half, add], model)
    assert flow.compile().invoke({"request": "half of 8?"})["response"] == "It is 4."


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step("a", "half", m=1)], "`half` needs `n`"),
        ([step("a", "half", n=2), step("a", "half", n=2)], "two steps have the id `a`"),
        ([step(id, "half", n=2) for id in "abc"], "these are 3 steps, and at most 2"),
    ],
)
def test_a_selection_that_cannot_be_carried_out_is_refused(steps: Any, said: str) -> None:
    with pytest.raises(WrongAnswer, match=said):
        run(steps, max_steps=2)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(DefinitionError, match="1 or more"):
        tool_selection(print, [half], print, max_steps=0)
    with pytest.raises(DefinitionError, match="has no type for `x`"):
        tool_selection(print, {"untyped": lambda x: x}, print)
