"""An output that has the form and never the content: every repair is spent, and it is escalated."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import output_validation


def produce(state: Any) -> str:
    return f'{{"answer": "{state["request"]}"}}'


def has_source(state: Any) -> dict[str, list[str]]:
    return {"problems": [] if "source" in state["output"] else ["no source is named"]}


def repair(state: Any) -> str:
    return state["output"].replace("}", " }")


def drop(state: Any) -> str:
    return "no JSON any more"


CASE = Case(
    pattern=output_validation,
    args=(dict[str, str], has_source, repair),
    options={"producer": produce, "repairs": 2},
    given={"request": "rain"},
    expect={
        "output": '{"answer": "rain"  }',
        "check": {"problems": ["no source is named"]},
        "outcome": "escalated",
    },
    gives="output",
    failing=Failing(
        args=(dict[str, str], has_source, drop),
        options={"producer": produce, "repairs": 1},
        given={"request": "rain"},
        expect={
            "outcome": "escalated",
            "check": {"problems": ["Invalid JSON: expected ident at line 1 column 2"]},
        },
    ),
    slot=lambda node, state: output_validation(
        str, lambda s: {"problems": []}, repair, producer=node, repairs=0, state=state
    ),
    slot_key="output",
    slot_given={"request": "rain"},
)
