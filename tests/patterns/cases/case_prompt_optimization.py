"""A better prompt, then one that is no better; and a score that is no number."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import prompt_optimization


def run(state: Any) -> str:
    return str(state["prompt"]).upper()


async def score(state: Any) -> dict[str, Any]:
    return {"score": {"A": 0.1, "AB": 0.5, "ABB": 0.3}[state["output"]], "comments": "more"}


def improve(state: Any) -> str:
    return f"{state['prompt']}b"


def not_a_number(state: Any) -> dict[str, Any]:
    return {"score": float("nan"), "comments": ""}


CASE = Case(
    pattern=prompt_optimization,
    args=(run, score, improve),
    options={"rounds": 2},
    given={"prompt": "a"},
    expect={
        "prompt": "ab",
        "output": "AB",
        "outcome": "best effort",
        "trials": [
            {"prompt": "a", "score": 0.1},
            {"prompt": "ab", "score": 0.5},
            {"prompt": "abb", "score": 0.3},
        ],
    },
    gives="prompt",
    failing=Failing(
        args=(run, not_a_number, improve),
        options={},
        given={"prompt": "a"},
        error=("WrongAnswer", "`scorer` of the pattern `prompt_optimization` answered"),
    ),
    slot=lambda node, state: prompt_optimization(
        node, lambda state: {"score": 0.5, "comments": ""}, improve, rounds=0, state=state
    ),
    slot_key="output",
    slot_given={"prompt": "a"},
)
