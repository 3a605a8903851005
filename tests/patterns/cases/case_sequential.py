"""Words are counted; the second step fails, and the first is undone."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import Node, Step, sequential


def words(state: Any) -> list[str]:
    return list(state["value"].split())


def count(state: Any) -> int:
    return len(state["value"])


def refuse(state: Any) -> int:
    raise ValueError("no words are counted today")


def put_back(state: Any) -> dict[str, Any]:
    return {"value": " ".join(state["value"])}


CASE = Case(
    pattern=sequential,
    args=([words, count],),
    given={"value": "from the sign to the end"},
    expect={"value": 6},
    gives="value",
    failing=Failing(
        args=([Step(words, compensate=put_back), Step(refuse, on_error="compensate")],),
        given={"value": "al fine"},
        expect={
            "value": "al fine",
            "failures": [{"name": "refuse", "error": "ValueError", "message": "no words are counted today"}],
        },
    ),
    slot=lambda node, state: sequential([words, Node(node.actor, name="inner", **node.options)], state=state),
    slot_key="value",
    slot_given={"value": "two words"},
)
