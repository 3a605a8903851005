"""Three words, split from a text; one of them fails and is skipped, or fails the run."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import map_reduce


def words(state: Any) -> list[str]:
    return state["value"].split()


async def inverse(state: Any) -> float:
    return 12 / (len(state["item"]) - 3)


def together(state: Any) -> str:
    return " ".join(str(result) for result in state["results"])


CASE = Case(
    pattern=map_reduce,
    args=(inverse,),
    options={"splitter": words, "reducer": together, "on_error": "skip"},
    given={"value": "from the signs"},
    expect={
        "value": "12.0 6.0",
        "results": [12.0, 6.0],
        "failures": [{"name": "item 2", "error": "ZeroDivisionError", "message": "division by zero"}],
    },
    gives="results",
    failing=Failing(
        options={},
        given={"items": ["from", "the"]},
        error=("ZeroDivisionError", "division by zero"),
    ),
    slot=lambda node, state: map_reduce(inverse, reducer=node, state=state),
    slot_key="value",
    slot_given={"items": ["rain", "signs"]},
)
