"""The first step fails, is planned around, and the steps are spent before the plan is."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import plan_and_execute


def plan(state: Any) -> list[str]:
    return list(state["request"].split())


def execute(state: Any) -> str:
    if state["step"] == "dig":
        raise RuntimeError("the ground is frozen")
    return f"{state['step']}!"


def wait_first(state: Any) -> list[str]:
    failed = "error" in state["done"][-1]
    return ["wait", *state["plan"]] if failed else state["plan"]


def no_plan(state: Any) -> Any:
    return "sow"


CASE = Case(
    pattern=plan_and_execute,
    args=(plan, execute),
    options={"replan": wait_first, "max_steps": 3, "conclude": lambda state: len(state["done"])},
    given={"request": "dig sow reap"},
    expect={
        "done": [
            {"step": "dig", "error": "RuntimeError: the ground is frozen"},
            {"step": "wait", "result": "wait!"},
            {"step": "sow", "result": "sow!"},
        ],
        "plan": ["reap"],
        "answer": 3,
        "outcome": "out of steps",
    },
    gives="answer",
    failing=Failing(
        args=(no_plan, execute),
        options={},
        given={"request": "sow"},
        error=("WrongAnswer", "`planner` of the pattern `plan_and_execute` answered 'sow'"),
    ),
    slot=lambda node, state: plan_and_execute(plan, node, state=state),
    slot_key="done",
    slot_given={"request": "rain"},
)
