"""What a role answers: nothing, which a watch makes a failed attempt; and mappings, which are answers or updates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dalsegno import RetryPolicy
from dalsegno.errors import WrongAnswer
from dalsegno.graphs.patterns import Node, ensemble, fallback_chain, function_calls, parallel, sequential


def nothing(state: Any) -> Any:
    return None


async def anothing(state: Any) -> Any:
    return None


def blank(state: Any) -> str:
    return "  "


def local(state: Any) -> str:
    return "from here"


@pytest.mark.parametrize("mute", [nothing, anothing, blank])
def test_who_answers_nothing_and_is_watched_has_failed_and_the_next_is_asked(mute: Any) -> None:
    flow = fallback_chain({"mute": Node(mute, watch=True), "local": local})
    output = asyncio.run(flow.compile().ainvoke({"request": 1}))
    assert (output["answered_by"], output["failures"][0]["error"]) == ("local", "EmptyAnswer")


def test_a_branch_that_answers_nothing_is_collected() -> None:
    flow = parallel({"mute": Node(nothing, watch=True), "local": local}, on_error="collect")
    output = flow.compile().invoke({"value": 1})
    assert output["results"] == {"local": "from here"}
    assert [failure["name"] for failure in output["failures"]] == ["mute"]


def test_a_step_that_answers_nothing_at_first_is_tried_again() -> None:
    answers = iter([None, "", "at last"])
    step = Node(lambda s: next(answers), name="slow", watch=True, retry=RetryPolicy(initial_interval=0))
    retry = RetryPolicy(initial_interval=0, jitter=False)
    flow = sequential([step], options={"slow": {"retry": retry}})
    assert flow.compile().invoke({"value": 1})["value"] == "at last"


def test_without_a_watch_an_answer_of_nothing_is_no_answer() -> None:
    with pytest.raises(WrongAnswer, match="answered None"):
        fallback_chain({"mute": nothing, "local": local}).compile().invoke({"request": 1})


def test_a_mapping_whose_keys_resemble_some_of_the_state_is_an_answer() -> None:
    def plan(state: Any) -> Any:
        return {"calls": []}

    def respond(state: Any) -> dict[str, Any]:
        return {"result": 5, "plans": 1}

    output = function_calls(plan, [abs_of], respond).compile().invoke({"request": 1})
    assert output["response"] == {"result": 5, "plans": 1}
    said = {"answer": "blue", "source": "sky"}
    output = ensemble([member(said), member(said, "other")]).compile().invoke({"request": 1})
    assert (output["value"], output["confidence"]) == (said, 1.0)


@pytest.mark.parametrize("update", [{"valeu": 1, "note": 2}, {"value": 1, "failurse": []}])
def test_an_update_with_a_misspelt_key_is_refused(update: Any) -> None:
    with pytest.raises(WrongAnswer, match="did you mean"):
        sequential({"step": lambda s: update}).compile().invoke({"value": 0})


def abs_of(number: int) -> int:
    return abs(number)


def member(answer: Any, name: str = "member") -> Node:
    return Node(lambda state: answer, name=name)
