"""A name that a model is told in its prompt may have braces in it: they are no field of the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dalsegno import Workflow
from dalsegno.graphs.patterns import hybrid, intent_workflows, peer_to_peer, supervisor
from dalsegno.testing import ScriptedChatModel

NAME = "sum {of} all"


def lead(state: Any) -> Any:
    return {"tasks": [] if state.get("results") else [{"to": NAME, "task": "add"}]}


def other(state: Any) -> str:
    return "other"


def says(*answers: Any) -> ScriptedChatModel:
    return ScriptedChatModel(list(answers))


FLOWS: dict[str, tuple[Callable[[], Workflow], dict[str, Any], str]] = {
    "supervisor": (lambda: supervisor(lead, {NAME: says("three")}), {"request": "1 + 2"}, "answer"),
    "peer_to_peer": (
        lambda: peer_to_peer({NAME: says("three"), "other": other}),
        {"request": "1 + 2"},
        "answer",
    ),
    "hybrid": (
        lambda: hybrid([], says({"answer": NAME}), {NAME: lambda state: "three", "other": other}),
        {"value": "1 + 2"},
        "value",
    ),
    "intent_workflows": (
        lambda: intent_workflows(
            says({"answer": NAME}),
            {NAME: lambda state: "three", "other": other},
            lambda state: state["result"],
        ),
        {"message": "1 + 2"},
        "response",
    ),
}


@pytest.mark.parametrize(("make", "given", "key"), FLOWS.values(), ids=FLOWS)
def test_a_name_with_braces_is_no_field_of_a_prompt(
    make: Callable[[], Workflow], given: dict[str, Any], key: str
) -> None:
    assert "three" in str(make().compile().invoke(given)[key])
