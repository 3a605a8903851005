"""A result that will not do is served again by the other intent, which will not do either."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import intent_workflows


def classify(state: Any) -> str:
    return "small" if state["check"] else "large"


def large(state: Any) -> str:
    return str(state["message"]).upper()


async def small(state: Any) -> str:
    return str(state["message"]).lower()


def refuse(state: Any) -> dict[str, Any]:
    return {"valid": False, "problem": f"{state['result']} will not do"}


def respond(state: Any) -> str:
    return f"{state['intent']}: {state['result']}" + (
        f" ({state['check']['problem']})" if state["check"] else ""
    )


def unknown(state: Any) -> str:
    return "medium"


CASE = Case(
    pattern=intent_workflows,
    args=(classify, {"large": large, "small": small}, respond),
    options={"validator": refuse, "keep": 1},
    given={"message": "Rain"},
    expect={
        "response": "small: rain (rain will not do)",
        "outcome": "invalid",
        "turns": [{"message": "Rain", "intent": "small", "response": "small: rain (rain will not do)"}],
    },
    gives="response",
    failing=Failing(
        args=(unknown, {"large": large, "small": small}, respond),
        options={},
        given={"message": "Rain"},
        error=("WrongAnswer", "`classifier` of the pattern `intent_workflows` answered 'medium' (str)"),
    ),
    slot=lambda node, state: intent_workflows(
        classify, {"large": node, "small": small}, respond, state=state
    ),
    slot_key="result",
    slot_given={"message": "Rain"},
)
