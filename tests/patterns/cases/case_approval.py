"""A human says yes and it is done; at a deadline that is over, the default says no."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import approval


def write(state: Any) -> str:
    return f"Dear {state['request']}"


async def send(state: Any) -> str:
    return f"sent: {state['proposal']}"


CASE = Case(
    pattern=approval,
    args=(write, send),
    given={"request": "Ada"},
    answers={"ask": {"approved": True}},
    expect={"result": "sent: Dear Ada", "outcome": "approved", "decision": {"approved": True}},
    gives="proposal",
    failing=Failing(
        options={"deadline": 0.0, "default": {"approved": False}},
        given={"request": "Ada"},
        expect={"outcome": "rejected", "decision": {"approved": False}, "proposal": "Dear Ada"},
    ),
    slot=lambda node, state: approval(
        node, send, deadline=0.0, default={"approved": True}, question="?", state=state
    ),
    slot_key="proposal",
    slot_given={"request": "Ada"},
)
