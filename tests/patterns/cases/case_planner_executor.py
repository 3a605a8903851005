"""The first plan goes round in a circle; the second is a chain, which takes longest."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import planner_executor


def planner(state: Any) -> list[dict[str, Any]]:
    first: dict[str, Any] = {"id": "a", "kind": "upper", "task": state["request"], "needs": ["b"]}
    if state.get("problems"):
        first["needs"] = []
    return [first, {"id": "b", "kind": "count", "task": None, "needs": ["a"], "success": "five"}]


def upper(state: Any) -> str:
    return str(state["task"]).upper()


def count(state: Any) -> int:
    return sum(map(len, state["inputs"].values()))


def verify(state: Any) -> list[dict[str, str]]:
    found = state["results"].get("b", {}).get("result", 5)
    return [] if found == 5 else [{"id": "b", "why": f"it is {found}"}]


def circle(state: Any) -> list[dict[str, Any]]:
    return [{"id": "a", "kind": "upper", "task": "", "needs": ["a"]}]


CASE = Case(
    pattern=planner_executor,
    args=(planner, [upper, count]),
    options={"verify": verify, "max_subtasks": 2, "replans": 1},
    given={"request": "rain"},
    expect={
        "results": {"a": {"result": "RAIN"}, "b": {"error": "no success: it is 4"}},
        "skipped": [],
        "outcome": "in part",
    },
    gives="answer",
    failing=Failing(
        args=(circle, [upper, count]),
        options={"replans": 1},
        given={"request": "rain"},
        expect={
            "problems": ["These need each other in a circle: `a`."],
            "outcome": "impossible",
            "answer": None,
            "results": {},
        },
    ),
    slot=lambda node, state: planner_executor(
        lambda s: [{"id": "a", "kind": "inner", "task": s["request"]}], {"inner": node}, state=state
    ),
    slot_key="results",
    slot_given={"request": "rain"},
)
