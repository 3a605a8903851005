"""A step whose calls or steps are made again, round after round; and calls in a row with a budget of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.types import Overwrite

from dalsegno.graphs.definition import Step
from dalsegno.graphs.documents.calls import OWN, Settings
from dalsegno.graphs.documents.composites import Composite, Outcome
from dalsegno.graphs.documents.conditions import parse_condition
from dalsegno.graphs.documents.levels import Level, Make
from dalsegno.graphs.documents.problems import FieldPath
from dalsegno.graphs.documents.scopes import Needs
from dalsegno.graphs.documents.states import Inside
from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.states import Failure
from dalsegno.graphs.workflow import Workflow


def loop_step(step: Step, at: FieldPath, needs: Needs, settings: Settings, make: Make) -> Composite:
    """Rounds of calls or of steps, until a condition holds or there were `max` of them."""
    flow = Workflow(step.name, Inside)
    level = Level(flow, settings, make, END)
    most = step.max or 1
    fails = step.on_exhausted == "error"

    def begin(state: Any) -> dict[str, Any]:
        return {"results": Overwrite({}), "failed": None}

    level.cast.own("next round", begin, writes=("results", "failed"), timeout=OWN)
    flow.add_edge(START, "next round")
    if step.steps:
        level.build(step.steps, (*at, "steps"), source="next round", end="round done")
    else:
        level.calls(step.name, step.call_names(), step.agent_calls, at, source="next round", end="round done")

    condition, view = (None if step.until is None else parse_condition(step.until)), level.view

    def done(state: Any) -> dict[str, Any]:
        return {"failed": None}

    def until(state: Any) -> str:
        return "done" if condition is not None and condition.holds(view.scope(state)) else "again"

    level.cast.own("round done", done, writes=("failed",), timeout=OWN)
    spent: str = END
    if fails:
        spent = level.cast.own(
            "rounds spent", _spent(step.name, most), writes=("failed", "failures"), timeout=OWN
        )
        flow.add_edge("rounds spent", END)
    again: Any = Loop("next round", max=most - 1, on_exhausted=spent) if most > 1 else spent
    ways = {"again": again} if condition is None else {"done": END, "again": again}
    flow.add_conditional_edges("round done", until, ways)
    return _composite(flow, step, needs)


def row_step(step: Step, at: FieldPath, needs: Needs, settings: Settings, make: Make) -> Composite:
    """Calls one after the other that have a budget together."""
    flow = Workflow(step.name, Inside)
    Level(flow, settings, make, END).calls(
        step.name, step.call_names(), step.agent_calls, at, source=START, end=END
    )
    return _composite(flow, step, needs)


def _composite(flow: Workflow, step: Step, needs: Needs) -> Composite:
    soft = any(inner.on_failure != "fail" for inner in step.steps) or step.on_exhausted == "error"
    outputs = {name: name for name in ("results", "current", "failures", "undone", "not_undone")}
    if soft:
        outputs["failed"] = "failed"

    def read(state: Mapping[str, Any], given: dict[str, Any]) -> Outcome:
        own = given.get("results") or {}
        told: dict[str, Any] = {
            "failures": tuple(given.get("failures") or ()),
            "undone": tuple(given.get("undone") or ()),
            "not_undone": tuple(given.get("not_undone") or ()),
        }
        failed: Failure | None = given.get("failed")
        inner = own if step.steps else {}
        if failed is not None:
            return Outcome(failed=failed, results=inner, **told)
        return Outcome(given.get("current"), results=inner, **told)

    return Composite(flow, outputs, read, needs.handed, soft=soft)


def _spent(name: str, most: int) -> Any:
    times = "once" if most == 1 else f"{most} times"
    said = f"it went round {times}, and `until` does not hold"
    failed: Failure = {"name": name, "error": "LoopExhausted", "message": said}

    def rounds_spent(state: Any) -> dict[str, Any]:
        return {"failed": failed, "failures": [failed]}

    return rounds_spent
