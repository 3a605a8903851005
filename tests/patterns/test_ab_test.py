"""Pattern 24: a recommendation only where the cases show it, with intervals that are what they say."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno.errors import DefinitionError, PatternError, WrongAnswer
from dalsegno.graphs.patterns import Node, ab_test, sequential
from dalsegno.graphs.patterns.comparing import compared, exact_interval, mean_interval
from dalsegno.testing import ScriptedChatModel


def low(state: Any) -> float:
    return 0.2


def high(state: Any) -> float:
    return 0.7


def score(state: Any) -> dict[str, float]:
    return {"quality": state["output"]}


def comparison(*variants: Any, cases: int = 8, evaluator: Any = score, **options: Any) -> dict[str, Any]:
    flow = ab_test(list(variants), evaluator, **options)
    output = flow.compile().invoke({"cases": list(range(cases))})
    found: dict[str, Any] = output["comparison"]
    return found


def test_clear_wins_over_enough_cases_are_recommended() -> None:
    found = comparison(low, high)
    assert (found["best"], found["recommended"]) == ("high", "high")
    duel = found["duels"][0]
    assert (duel["wins"], duel["losses"], duel["ties"]) == (8, 0, 0)
    assert found["why"] == "`high` is better than `low`: it won 8 of 8 that were decided (63% to 100%)."


def test_the_same_wins_over_few_cases_are_not() -> None:
    found = comparison(low, high, cases=5)
    assert (found["best"], found["recommended"]) == ("high", None)
    assert "the cases do not show that it is better than `low`" in found["why"]


def test_differences_up_to_the_margin_are_ties() -> None:
    found = comparison(low, high, margin=0.6)
    assert (found["duels"][0]["ties"], found["recommended"]) == (8, None)


def test_criteria_have_weights() -> None:
    def judge(state: Any) -> dict[str, float]:
        return {"right": state["output"], "short": 1 - state["output"]}

    assert comparison(low, high, evaluator=judge, criteria={"right": 3, "short": 1})["best"] == "high"
    assert comparison(low, high, evaluator=judge, criteria={"right": 1, "short": 3})["best"] == "low"


def test_the_best_of_three_must_beat_both_others_and_be_surer_of_it() -> None:
    def close(state: Any) -> float:
        return 0.7 if state["case"] < 5 else 0.6

    found = comparison(low, high, close)
    assert (found["best"], found["recommended"]) == ("high", None)
    assert [duel["other"] for duel in found["duels"]] == ["low", "close"]


def test_a_variant_that_fails_loses_that_case() -> None:
    def shy(state: Any) -> float:
        if state["case"] == 3:
            raise OSError("no voice")
        return 0.7

    flow = ab_test([low, shy], score, on_error="lose")
    output = flow.compile().invoke({"cases": list(range(8))})
    assert output["failures"] == [{"name": "shy, case 3", "error": "OSError", "message": "no voice"}]
    assert (output["comparison"]["duels"][0]["wins"], output["comparison"]["duels"][0]["losses"]) == (7, 1)


def test_a_workflow_that_fails_loses_that_case_too() -> None:
    def shy(state: Any) -> float:
        if state["value"] == 3:
            raise ConnectionError("no answer")
        return 0.9

    inner = Node(sequential([shy]), name="shy", inputs={"value": "case"}, outputs={"outputs": "value"})
    flow = ab_test([low, inner], score, on_error="lose")
    output = flow.compile().invoke({"cases": list(range(5))})
    assert output["failures"] == [{"name": "shy, case 3", "error": "ConnectionError", "message": "no answer"}]
    assert (output["comparison"]["duels"][0]["wins"], output["comparison"]["duels"][0]["losses"]) == (4, 1)


def test_variants_that_all_lose_every_case_are_not_told_apart() -> None:
    def broken(state: Any) -> float:
        raise OSError("it broke")

    flow = ab_test({"a": broken, "b": broken}, score, on_error="lose")
    assert flow.validate().findings == ()
    output = flow.compile().invoke({"cases": [1, 2]})
    assert output["comparison"]["means"] == {"a": 0.0, "b": 0.0}
    assert output["comparison"]["recommended"] is None
    assert len(output["failures"]) == 4


@pytest.mark.parametrize(("cases", "said"), [(0, "and none are given"), (4, "and 4 are given")])
def test_no_cases_or_too_many_are_said(cases: int, said: str) -> None:
    with pytest.raises(PatternError, match=said):
        comparison(low, high, cases=cases, max_cases=3)


@pytest.mark.parametrize("cases", [7, "text", {"first": 1}])
def test_cases_that_are_no_list_are_said(cases: Any) -> None:
    with pytest.raises(
        PatternError, match=f"given {type(cases).__name__} as `cases`, where a list is expected"
    ):
        ab_test([low, high], score).compile().invoke({"cases": cases})


def test_a_criterion_that_is_missing_is_refused() -> None:
    with pytest.raises(WrongAnswer, match="`right`: Field required"):
        comparison(low, high, criteria=["right", "quality"])


def test_intervals_are_what_the_tables_say() -> None:
    assert exact_interval(0, 10, 0.95) == pytest.approx([0.0, 0.3085], abs=1e-4)
    assert exact_interval(5, 10, 0.95) == pytest.approx([0.1871, 0.8129], abs=1e-4)
    assert exact_interval(0, 0, 0.95) == [0.0, 1.0]
    assert exact_interval(1000, 2000, 0.95) == pytest.approx([0.4779, 0.5221], abs=1e-4)
    low, high = mean_interval([0.0, 1.0] * 50, 0.95, 1)
    assert 0.38 < low < 0.43 < 0.57 < high < 0.62
    assert mean_interval([0.1, 0.4, 0.3], 0.95, 7) == mean_interval([0.1, 0.4, 0.3], 0.95, 7)


def test_equal_variants_are_not_told_apart() -> None:
    assert compared({"a": [0.5] * 50, "b": [0.5] * 50})["recommended"] is None


def test_models_are_variants_and_evaluator() -> None:
    scores = {"quality": 0.5}
    judged = AIMessage("", tool_calls=[{"name": "Scores", "args": scores, "id": "1"}])
    one, two = ScriptedChatModel([AIMessage("x")]), ScriptedChatModel([AIMessage("y")])
    flow = ab_test({"one": one, "two": two}, ScriptedChatModel([judged, judged]))
    assert flow.validate().findings == ()
    output = flow.compile().invoke({"cases": ["sum up"]})
    assert output["outputs"]["two, case 0"] == {"variant": "two", "case": 0, "output": "y"}


@pytest.mark.parametrize(
    "options",
    [
        {"criteria": "quality"},
        {"criteria": {"a": 0}},
        {"criteria": 5},
        {"criteria": None},
        {"level": 95},
        {"margin": -1},
        {"max_cases": 0},
        {"on_error": "x"},
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any) -> None:
    with pytest.raises(DefinitionError):
        ab_test([low, high], score, **options)
