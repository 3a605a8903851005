"""A tool is called wrongly, then rightly; the answer comes in the last turn."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import react


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


def reason(state: Any) -> Any:
    done = [message for message in state["messages"] if message.type == "tool"]
    if not done:
        return {"name": "double", "args": {"nummer": state["request"]}}
    if done[-1].status == "error" and "did you mean `number`" in done[-1].text:
        return [{"name": "double", "args": {"number": state["request"]}}]
    return {"value": int(done[-1].text)}


def never(state: Any) -> Any:
    return {"name": "double", "args": {"number": len(state["messages"])}}


CASE = Case(
    pattern=react,
    args=(reason, [double]),
    options={"max_turns": 3},
    given={"request": 21},
    expect={"answer": {"value": 42}, "outcome": "answered"},
    gives="answer",
    failing=Failing(
        args=(never, [double]),
        options={"max_turns": 2},
        given={"request": 21},
        expect={"answer": None, "outcome": "out of turns"},
    ),
    slot=lambda node, state: react(node, [double], state=state),
    slot_key="said",
    slot_given={"request": "rain"},
)
