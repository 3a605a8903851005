"""Two variants over two cases, of which each wins one; and an evaluator that gives no number."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import ab_test
from dalsegno.graphs.patterns.comparing import compared


def first(state: Any) -> str:
    return str(state["case"]).split()[0]


async def last(state: Any) -> str:
    return str(state["case"]).split()[-1]


def evaluate(state: Any) -> dict[str, float]:
    return {"length": len(state["output"]) / len(state["case"]), "case": float(state["output"].islower())}


def not_a_number(state: Any) -> dict[str, float]:
    return {"length": float("nan"), "case": 1.0}


def fair(state: Any) -> dict[str, float]:
    return {"quality": 0.5}


CRITERIA = {"length": 3.0, "case": 1.0}

CASE = Case(
    pattern=ab_test,
    args=([first, last], evaluate),
    options={"criteria": CRITERIA, "max_cases": 2},
    given={"cases": ["al fines", "from the"]},
    expect={
        "comparison": compared({"first": [0.4375, 0.625], "last": [0.71875, 0.53125]}),
        "failures": [],
    },
    gives="comparison",
    failing=Failing(
        args=([first, last], not_a_number),
        options={"criteria": CRITERIA},
        given={"cases": ["al fine"]},
        error=("WrongAnswer", "`length`: Input should be a finite number"),
    ),
    slot=lambda node, state: ab_test({"inner": node, "first": first}, fair, state=state),
    slot_key="outputs",
    slot_given={"cases": ["al fine"]},
)
