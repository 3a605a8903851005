"""Which results are there is found out for documents of every make, and always to an end."""

from __future__ import annotations

from typing import Any

from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.flow import flow_problems


def step(name: str, params: str = "$current", **more: Any) -> dict[str, Any]:
    return {"name": name, "agent_calls": [{"function": "work.py:same", "params": params}], **more}


def problems(*steps: dict[str, Any]) -> list[str]:
    definition = WorkflowDefinition.model_validate({"name": "made", "steps": list(steps)})
    return [problem.message for problem in flow_problems(definition)]


def back(place: int, **more: Any) -> dict[str, Any]:
    """A step that goes back to the one before where it fails."""
    return step(f"s{place}", on_error={"goto": f"s{max(0, place - 1)}", "max": 1}, **more)


def test_many_steps_that_each_go_back_are_looked_at_to_the_end() -> None:
    assert problems(*map(back, range(30))) == []


def test_what_comes_back_over_many_steps_may_be_there() -> None:
    first = step("s0", "${context.results.s299?}", on_error={"goto": "s0", "max": 1})
    assert problems(first, *map(back, range(1, 301))) == []
    (said,) = problems(first, *map(back, range(1, 300)))
    assert "`s299` comes later" in said


def test_loops_in_loops_are_looked_at_to_the_end() -> None:
    inner = step("inner")
    for depth in range(30):
        after = step(f"after{depth}", on_error="skip")
        inner = {"name": f"loop{depth}", "strategy": "loop", "max": 2, "steps": [inner, after]}
    assert problems(inner) == []


def test_what_a_condition_makes_sure_of_is_known_in_documents_of_any_length() -> None:
    steps = []
    for place in range(1_000):
        asks = {"condition": f"$input.n > {place}"}
        steps += [step(f"a{place}", **asks), step(f"b{place}", f"$context.results.a{place}", **asks)]
    assert problems(*steps) == []


def test_the_condition_of_a_loop_is_nothing_to_steps_that_are_both_in_it() -> None:
    asks = {"condition": "$input.n > 5"}
    inner = [step("a", **asks), step("b", "$context.results.a", **asks)]
    loop = {"name": "loop", "strategy": "loop", "max": 2, "condition": "$current.n > 1", "steps": inner}
    assert problems(loop) == []
    (said,) = problems(loop, step("c", "$context.results.a", **asks))
    assert "`a` may have no result here" in said


def test_what_a_failure_jumps_over_is_not_sure_by_any_condition() -> None:
    asks = {"condition": "$input.n > 5"}
    over, a, b = step("over", on_error={"goto": "b"}), step("a", **asks), step("b", **asks)
    uses = step("uses", "$context.results.a", **asks)
    (said,) = problems(over, a, b, uses)
    assert "`a` may have no result here" in said
    assert problems(over, b, a, uses) == []


def test_thousands_of_calls_of_one_function_have_names_of_their_own() -> None:
    calls: list[dict[str, Any]] = [{"function": "work.py:same"}] * 5_000
    calls[7] = {"function": "work.py:same", "name": "same_3"}
    made = {"name": "made", "steps": [{"name": "s", "agent_calls": calls}]}
    names = WorkflowDefinition.model_validate(made).steps[0].call_names()
    assert names[:4] == ["same", "same_2", "same_4", "same_5"]
    assert len(set(names)) == 5_000
