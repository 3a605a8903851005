"""A journey of which the last leg cannot be paid: what was booked is undone, the rooms last of all."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import SagaStep, saga


def noon() -> float:
    """The same in every process that it is run in."""
    return 1_000_000.0


def room(state: Any) -> str:
    return f"a room for {state['request']}"


def train(state: Any) -> str:
    return "a seat"


def car(state: Any) -> str:
    return "a small one"


def pay(state: Any) -> str:
    raise PermissionError("the card was refused")


def give_back(state: Any) -> None:
    """Undoes whatever it was."""


def not_given_back(state: Any) -> None:
    raise ConnectionError("nobody answers")


CASE = Case(
    pattern=saga,
    args=(
        [
            SagaStep(room, compensate=give_back),
            [SagaStep(train, compensate=give_back), SagaStep(car, compensate=give_back)],
            pay,
        ],
    ),
    options={"clock": noon},
    given={"request": "Ada"},
    expect={"outcome": "undone", "not_undone": []},
    gives="outcome",
    failing=Failing(
        args=([SagaStep(room, compensate=not_given_back), SagaStep(train, compensate=give_back), pay],),
        given={"request": "Ada"},
        expect={
            "outcome": "partly undone",
            "undone": ["train"],
            "not_undone": [{"name": "room", "error": "ConnectionError", "message": "nobody answers"}],
        },
    ),
    slot=lambda node, state: saga(
        [SagaStep(node.actor, name="inner", compensate=give_back, **node.options)], clock=noon, state=state
    ),
    slot_key="results",
    slot_given={"request": "Ada"},
)
