"""Pattern 18: where independent answers agree they are trusted, where they do not it is said."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import ensemble
from dalsegno.testing import ScriptedChatModel


def saying(answer: Any) -> Any:
    def member(state: Any) -> Any:
        return answer

    return member


def answer_of(*said: Any, **options: Any) -> dict[str, Any]:
    flow = ensemble({f"m{n}": saying(answer) for n, answer in enumerate(said)}, **options)
    output: dict[str, Any] = flow.compile().invoke({"request": "?"})
    return output


def test_the_majority_counts_and_its_share_is_the_confidence() -> None:
    output = answer_of("Yes", "no", " yes", "yes")
    assert (output["value"], output["confidence"], output["disputed"]) == ("Yes", 0.75, False)
    assert output["verdict"]["differences"] == ["m1: 'no'"]


def test_a_tie_is_disputed_and_the_first_answer_stands() -> None:
    output = answer_of("a", "b")
    assert (output["value"], output["confidence"], output["disputed"]) == ("a", 0.5, True)


def test_what_is_the_same_can_be_said() -> None:
    output = answer_of(3.14, 3.1416, 2.7, same=lambda number: round(number, 1))
    assert (output["value"], output["confidence"]) == (3.14, 2 / 3)


def test_answers_that_cannot_be_hashed_are_compared_too() -> None:
    assert answer_of(["a"], ["b"], ["a"])["value"] == ["a"]


def test_equal_answers_agree_however_they_are_written() -> None:
    output = answer_of({"sky": "Blue", "birds": [1, 2]}, {"birds": [1, 2], "sky": "blue "}, {"sky": "grey"})
    assert output["confidence"] == pytest.approx(2 / 3)
    assert answer_of((1, [2]), (1, [2]))["confidence"] == 1.0
    assert answer_of({0, 8}, {8, 0})["confidence"] == 1.0


def test_one_model_asked_three_times_and_judged_by_another() -> None:
    model = ScriptedChatModel([AIMessage("4"), AIMessage("4"), AIMessage("five")])
    verdict = {"answer": "4", "agreement": 0.6, "differences": ["the last says five"]}
    judge = ScriptedChatModel([AIMessage("", tool_calls=[{"name": "Verdict", "args": verdict, "id": "1"}])])
    flow = ensemble({"model": model}, judge=judge, times=3)
    assert set(flow.nodes) == {"begin", "model 1", "model 2", "model 3", "judge", "respond"}
    output = flow.compile().invoke({"request": "2 + 2?"})
    assert (output["value"], output["confidence"], output["disputed"]) == ("4", 0.6, True)


@pytest.mark.parametrize(
    ("args", "options", "said"),
    [
        (([saying(1)],), {}, "one answer agrees with itself"),
        (([],), {}, "at least 1 is needed"),
        (([saying(1)],), {"times": 0}, "1 or more"),
        (([saying(1)],), {"times": 2, "judge": "majorty"}, '"majority", a function'),
        (([saying(1)],), {"times": 2, "agreed": 67}, "a number from 0 to 1"),
        (([saying(1)],), {"times": 2, "on_error": "skip"}, '"fail" or "collect"'),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused(args: Any, options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ensemble(*args, **options)
