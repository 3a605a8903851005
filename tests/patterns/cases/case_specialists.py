"""In series: all are asked, the second sees what the first said, and one fails."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import specialists


def coordinator(state: Any) -> list[dict[str, Any]]:
    return [{"to": to, "task": state["request"]} for to in ("second", "first", "thrid")]


def first(state: Any) -> str:
    return f"{state['task']} after {state['results'][-1]['to']}"


def second(state: Any) -> int:
    return int(state["task"])


def synthesizer(state: Any) -> dict[str, Any]:
    errors = [done["error"] for done in state["results"] if "error" in done]
    return {"answer": state["results"][-1].get("result"), "conflicts": errors}


def half(state: Any) -> dict[str, Any]:
    return {"answer": 1}


CASE = Case(
    pattern=specialists,
    args=(coordinator, [first, second], synthesizer),
    options={"order": "serial"},
    given={"request": "rain"},
    expect={
        "synthesis": {
            "answer": "rain after second",
            "conflicts": [
                "There is no `thrid` here.",
                "ValueError: invalid literal for int() with base 10: 'rain'",
            ],
        },
    },
    gives="synthesis",
    failing=Failing(
        args=(coordinator, [first, second], half),
        options={},
        given={"request": "rain"},
        error=("WrongAnswer", "`synthesizer` of the pattern `specialists` answered {'answer': 1}"),
    ),
    slot=lambda node, state: specialists(
        lambda s: [{"to": "inner", "task": s["request"]}], {"inner": node}, synthesizer, state=state
    ),
    slot_key="results",
    slot_given={"request": "rain"},
)
