"""Pattern 4: a sequence that does one thing more, or another, where a check asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.patterns import hybrid
from dalsegno.testing import ScriptedChatModel


def double(state: Any) -> int:
    return int(state["value"]) * 2


def size(state: Any) -> str:
    return {8: "large", 2: "lagre"}.get(state["value"], "small")


def halve(state: Any) -> int:
    return int(state["value"]) // 2


def told(state: Any) -> str:
    return f"it is {state['value']}"


def test_only_the_branch_that_is_asked_for_runs_and_the_rest_follows() -> None:
    graph = hybrid([double], size, {"large": halve, "small": None}, after=[told]).compile()
    assert graph.invoke({"value": 4})["value"] == "it is 4"
    assert graph.invoke({"value": 3})["value"] == "it is 6"


def test_a_label_that_nobody_knows_takes_the_default_or_fails_the_run() -> None:
    branches = {"large": halve, "small": told}
    output = hybrid([double], size, branches, default="small").compile().invoke({"value": 1})
    assert (output["label"], output["value"]) == ("small", "it is 2")
    with pytest.raises(WrongAnswer, match=r"answered 'lagre'.*large.*small"):
        hybrid([double], size, branches).compile().invoke({"value": 1})


def test_a_check_that_says_nothing_takes_the_default() -> None:
    flow = hybrid([double], lambda state: None, {"large": halve, "small": None}, default="large")
    assert flow.compile().invoke({"value": 4})["value"] == 4


def test_nothing_need_come_before_or_after() -> None:
    flow = hybrid([], size, {"large": halve, "small": None})
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"value": 8})["value"] == 4
    assert flow.compile().invoke({"value": 3})["value"] == 3


def test_a_model_may_check() -> None:
    model = ScriptedChatModel([{"answer": "large"}])
    flow = hybrid([double], model, {"large": halve, "small": None})
    assert flow.compile().invoke({"value": 5})["label"] == "large"


@pytest.mark.parametrize(
    ("branches", "default", "message"),
    [
        ({"large": None}, None, "nothing to check"),
        ([halve], None, "a mapping by label"),
        ({"large": halve, "small": None}, "smal", "not one of the branches; did you mean `small`"),
    ],
)
def test_what_cannot_be_meant_is_refused(branches: Any, default: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        hybrid([double], size, branches, default=default)
