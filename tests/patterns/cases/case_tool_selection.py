"""Two selections of two steps; the first one's second step fails, and so does the last one's."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import tool_selection


def upper(text: str) -> str:
    """A text in capitals."""
    return text.upper()


async def number(text: str) -> int:
    """A text as a number."""
    return int(text)


def step(id: str, tool: str, text: str) -> dict[str, Any]:
    return {"id": id, "tool": tool, "arguments": {"text": text}, "why": "it may help"}


def select(state: Any) -> dict[str, Any]:
    turn = len(state["failures"])
    return {"steps": [step(f"up {turn}", "upper", state["request"]), step(f"n {turn}", "number", "x")]}


def unknown(state: Any) -> dict[str, Any]:
    return {"steps": [step("a", "uper", "x")]}


def nothing(state: Any) -> dict[str, Any]:
    return {"steps": []}


def answer(state: Any) -> str:
    return ", ".join(state["results"].values())


REFUSED = "invalid literal for int() with base 10: 'x'"

CASE = Case(
    pattern=tool_selection,
    args=(select, [upper, number], answer),
    options={"max_steps": 2, "reselections": 1},
    given={"request": "rain"},
    expect={
        "response": "RAIN, RAIN",
        "outcome": "failed",
        "failures": [{"name": f"n {turn}", "error": "ValueError", "message": REFUSED} for turn in range(2)],
    },
    gives="response",
    failing=Failing(
        args=(unknown, [upper, number], answer),
        given={"request": "rain"},
        error=("WrongAnswer", "the step `a`: there is no `uper`; did you mean `upper`?"),
    ),
    slot=lambda node, state: tool_selection(nothing, [upper], node, state=state),
    slot_key="response",
    slot_given={"request": "rain"},
)
