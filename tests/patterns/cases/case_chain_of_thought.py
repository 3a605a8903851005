"""It thinks until the rounds are spent, and answers from what it has."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import chain_of_thought


def think(state: Any) -> dict[str, Any]:
    return {"steps": [f"{state['request']} {len(state['steps']) + 1}"], "enough": False}


def count(state: Any) -> int:
    return len(state["steps"])


def again(state: Any) -> dict[str, Any]:
    return {"steps": ["as I said"], "enough": False}


CASE = Case(
    pattern=chain_of_thought,
    args=(think, count),
    options={"rounds": 3},
    given={"request": "rain"},
    expect={"steps": ["rain 1", "rain 2", "rain 3"], "answer": 3, "outcome": "out of rounds"},
    gives="answer",
    failing=Failing(
        args=(again, count),
        options={},
        given={"request": "rain"},
        expect={"steps": ["as I said"], "answer": 1, "outcome": "stuck"},
    ),
    slot=lambda node, state: chain_of_thought(think, node, rounds=1, state=state),
    slot_key="answer",
    slot_given={"request": "rain"},
)
