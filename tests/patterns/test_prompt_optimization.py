"""Pattern 26: the better prompt is kept, and it is left as soon as nothing is to be gained."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.patterns import prompt_optimization
from dalsegno.testing import ScriptedChatModel


def run(state: Any) -> str:
    return str(state["prompt"])


def improve(state: Any) -> str:
    return f"{state['prompt']}{len(state['trials'])}"


def optimized(scores: dict[str, float], **options: Any) -> dict[str, Any]:
    def score(state: Any) -> dict[str, Any]:
        return {"score": scores.get(state["output"], 0.0), "comments": ""}

    output: dict[str, Any] = (
        prompt_optimization(run, score, improve, **options).compile().invoke({"prompt": "p"})
    )
    return output


def test_it_leaves_as_soon_as_the_prompt_is_good_enough() -> None:
    output = optimized({"p": 0.2, "p1": 0.95})
    assert (output["prompt"], output["outcome"], len(output["trials"])) == ("p1", "good", 2)


def test_a_good_prompt_is_not_touched() -> None:
    output = optimized({"p": 1.0})
    assert (output["prompt"], output["outcome"], len(output["trials"])) == ("p", "good", 1)


def test_a_worse_one_is_dropped_and_the_next_begins_at_the_best() -> None:
    output = optimized({"p": 0.5, "p1": 0.4, "p2": 0.6}, rounds=2)
    assert [trial["prompt"] for trial in output["trials"]] == ["p", "p1", "p2"]
    assert (output["prompt"], output["output"], output["evaluation"]["score"]) == ("p2", "p2", 0.6)


def test_it_leaves_when_it_gets_no_better() -> None:
    output = optimized({"p": 0.5, "p1": 0.5}, rounds=9, patience=2)
    assert (output["prompt"], output["outcome"], len(output["trials"])) == ("p", "stalled", 3)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1.5, -0.1, "good"])
def test_a_score_that_is_none_is_refused(score: Any) -> None:
    with pytest.raises(WrongAnswer, match="`score`"):
        prompt_optimization(run, lambda state: {"score": score, "comments": ""}, improve).compile().invoke(
            {"prompt": "p"}
        )


def test_models_play_all_roles() -> None:
    def said(score: float) -> AIMessage:
        args = {"score": score, "comments": "shorter"}
        return AIMessage("", tool_calls=[{"name": "Evaluation", "args": args, "id": "1"}])

    model = ScriptedChatModel(
        [AIMessage("long"), said(0.3), AIMessage("Be brief: sum up."), AIMessage("short"), said(0.9)]
    )
    flow = prompt_optimization(model, model, model)
    output = flow.compile().invoke({"goal": "brevity", "prompt": "Sum up."})
    assert (output["prompt"], output["output"]) == ("Be brief: sum up.", "short")


@pytest.mark.parametrize("options", [{"rounds": -1}, {"patience": 0}, {"good_enough": 9}])
def test_what_cannot_be_meant_is_refused(options: Any) -> None:
    with pytest.raises(DefinitionError):
        optimized({}, **options)
