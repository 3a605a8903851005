"""A text is divided as deep as may be, and what is deepest is solved, simple or not."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import recursive_decomposition


def simple(state: Any) -> bool:
    return len(state["problem"]) < 2


def solve(state: Any) -> str:
    return str(state["problem"]).upper()


def divide(state: Any) -> list[str]:
    text = state["problem"]
    return [text[:1], text[1:]]


def combine(state: Any) -> str:
    return "".join(state["results"])


def nothing(state: Any) -> list[str]:
    return []


CASE = Case(
    pattern=recursive_decomposition,
    args=(simple, solve, divide, combine),
    options={"depth": 2, "breadth": 2},
    given={"request": "rain"},
    expect={"answer": "RAIN"},
    gives="answer",
    failing=Failing(
        args=(simple, solve, nothing, combine),
        options={},
        given={"request": "rain"},
        error=("WrongAnswer", "`divide` of the pattern `recursive_decomposition` answered []"),
    ),
    slot=lambda node, state: recursive_decomposition(
        lambda s: True, node, divide, combine, depth=1, state=state
    ),
    slot_key="tree",
    slot_given={"request": "rain"},
)
