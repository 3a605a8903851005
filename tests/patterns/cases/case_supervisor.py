"""Two workers at once, one of which fails; a task for nobody; in the last round it would still go on."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import supervisor


def lead(state: Any) -> dict[str, Any]:
    if not state["results"]:
        return {"tasks": [{"to": "upper", "task": state["request"]}, {"to": "count", "task": 7}]}
    return {"tasks": [{"to": "cuont", "task": state["request"]}]}


def upper(state: Any) -> str:
    return str(state["task"]).upper()


def count(state: Any) -> int:
    return len(state["task"])


def shortest(state: Any) -> str:
    return str(min((done["result"] for done in state["results"] if "result" in done), key=len))


def no_tasks(state: Any) -> dict[str, Any]:
    return {"task": "work!"}


CASE = Case(
    pattern=supervisor,
    args=(lead, [upper, count]),
    options={"rounds": 2, "aggregate": shortest},
    given={"request": "rain"},
    expect={
        "results": [
            {"number": 1, "to": "upper", "task": "rain", "result": "RAIN"},
            {"number": 2, "to": "count", "task": 7, "error": "TypeError: object of type 'int' has no len()"},
            {
                "number": 3,
                "to": "cuont",
                "task": "rain",
                "error": "There is no `cuont` here; did you mean `count`?",
            },
        ],
        "answer": "RAIN",
        "outcome": "out of rounds",
    },
    gives="answer",
    failing=Failing(
        args=(no_tasks, [upper, count]),
        options={},
        given={"request": "rain"},
        error=("WrongAnswer", "`lead` of the pattern `supervisor` answered"),
    ),
    slot=lambda node, state: supervisor(
        lambda s: {"tasks": [] if s["results"] else [{"to": "inner", "task": s["request"]}]},
        {"inner": node, "upper": upper},
        state=state,
    ),
    slot_key="results",
    slot_given={"request": "rain"},
)
