"""A team and a worker beside it: the team's lead fails over a task, which is told to the lead above."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import Team, hierarchy


def top(state: Any) -> dict[str, Any]:
    return {"tasks": [{"to": "texts", "task": state["request"]}, {"to": "alone", "task": 1}]}


def middle(state: Any) -> dict[str, Any]:
    return {"tasks": [{"to": name, "task": state["request"].lower()} for name in ("size", "upper")]}


def size(state: Any) -> int:
    return len(state["task"])


def upper(state: Any) -> str:
    return str(state["task"]).upper()


def alone(state: Any) -> int:
    return int(state["task"])


def answers(state: Any) -> list[Any]:
    return [done.get("result", "?") for done in state["results"]]


def team() -> Team:
    return Team(middle, [size, upper], aggregate=answers, rounds=1)


CASE = Case(
    pattern=hierarchy,
    args=(top, {"texts": team(), "alone": alone}),
    options={"rounds": 1, "aggregate": answers},
    given={"request": "Rain"},
    expect={"answer": [[4, "RAIN"], 1], "outcome": "out of rounds"},
    gives="answer",
    failing=Failing(
        args=(top, {"texts": team(), "alone": alone}),
        options={"rounds": 1},
        given={"request": 7},
        expect={
            "answer": [
                {
                    "number": 1,
                    "to": "texts",
                    "task": 7,
                    "error": "AttributeError: 'int' object has no attribute 'lower'",
                },
                {"number": 2, "to": "alone", "task": 1, "result": 1},
            ]
        },
    ),
    slot=lambda node, state: hierarchy(
        lambda s: {"tasks": [] if s["results"] else [{"to": "inner", "task": s["request"]}]},
        {"inner": node, "texts": team()},
        state=state,
    ),
    slot_key="results",
    slot_given={"request": "rain"},
)
