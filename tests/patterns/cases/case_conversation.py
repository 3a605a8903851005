"""A turn that comes to a phase, and a manager that knows another phase than there are."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import conversation
from dalsegno.nodes.policies.clock import ManualClock


def track(state: Any) -> dict[str, Any]:
    facts = {**state["known"]["facts"], "drink": state["message"]}
    return {"goal": "to drink", "facts": facts, "open": ["how much?"], "phase": "analysis"}


def astray(state: Any) -> dict[str, Any]:
    return {"goal": "", "facts": {}, "open": [], "phase": "dessert"}


def answer(state: Any) -> str:
    return f"{state['known']['facts']['drink']}: {state['known']['open'][0]}"


CASE = Case(
    pattern=conversation,
    args=(track, answer),
    options={"clock": ManualClock(100.0)},
    given={"message": "tea"},
    expect={"response": "tea: how much?", "seen": 100.0},
    gives="response",
    failing=Failing(
        args=(astray, answer),
        options={},
        given={"message": "tea"},
        error=("WrongAnswer", "`phase`: Input should be 'discovery', 'analysis' or 'recommendation'"),
    ),
    slot=lambda node, state: conversation(track, node, state=state, clock=ManualClock(100.0)),
    slot_key="response",
    slot_given={"message": "tea"},
)
