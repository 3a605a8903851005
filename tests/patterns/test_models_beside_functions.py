"""A model that plays a role reads the input, also where functions of which only the answer is known write it anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dalsegno import Workflow
from dalsegno.graphs.patterns import hybrid, output_validation, prompt_optimization
from dalsegno.testing import ScriptedChatModel


def better(state: Any) -> str:
    return "better"


def says(answer: Any) -> ScriptedChatModel:
    return ScriptedChatModel([answer])


FLOWS: dict[str, tuple[Callable[[], Workflow], dict[str, Any]]] = {
    "hybrid": (
        lambda: hybrid([], says({"answer": "short"}), {"long": better, "short": None}),
        {"value": "good"},
    ),
    "output_validation": (
        lambda: output_validation(str, says({"problems": []}), better),
        {"request": "say it", "output": "good"},
    ),
    "prompt_optimization": (
        lambda: prompt_optimization(says("good"), lambda s: {"score": 1.0, "comments": ""}, better),
        {"goal": "to be good", "prompt": "say it"},
    ),
}


@pytest.mark.parametrize(("make", "given"), FLOWS.values(), ids=FLOWS)
def test_what_a_model_reads_of_the_input_is_there(
    make: Callable[[], Workflow], given: dict[str, Any]
) -> None:
    flow = make()
    assert flow.validate().ok
    assert "good" in flow.compile().invoke(given).values()
