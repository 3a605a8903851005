"""A draft that never gets good enough: every revision is spent, and the validator refuses the last one."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import generate_critique_revise


def write(state: Any) -> str:
    return f"{state['request']}!"


def judge(state: Any) -> dict[str, Any]:
    return {"score": 0.2, "comments": "louder"}


def louder(state: Any) -> str:
    return state["draft"] + "!" if state["review"]["comments"] == "louder" else state["draft"]


def refuse(state: Any) -> dict[str, Any]:
    return {"valid": False, "reason": "too loud"}


def not_a_number(state: Any) -> dict[str, Any]:
    return {"score": float("nan"), "comments": ""}


CASE = Case(
    pattern=generate_critique_revise,
    args=(write, judge, louder),
    options={"validator": refuse, "revisions": 2},
    given={"request": "rain"},
    expect={"draft": "rain!!!", "outcome": "invalid", "validation": {"valid": False, "reason": "too loud"}},
    gives="draft",
    failing=Failing(
        args=(write, not_a_number, louder),
        options={},
        given={"request": "rain"},
        error=("WrongAnswer", "`critic` of the pattern `generate_critique_revise` answered"),
    ),
    slot=lambda node, state: generate_critique_revise(node, judge, louder, revisions=0, state=state),
    slot_key="draft",
    slot_given={"request": "rain"},
)
