"""A pattern's state as a pydantic class or a dataclass: its keys are fields, and what nobody wrote yet is None."""

from __future__ import annotations

import dataclasses
from inspect import signature
from typing import Any, get_type_hints

import pytest
from pattern_case import Case, cases
from pydantic import BaseModel, TypeAdapter

from dalsegno.graphs.patterns import grounded_answer

CASES = cases()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_pydantic_takes_every_key_of_a_state(case: Case) -> None:
    schema = signature(case.pattern).parameters["state"].default
    for hint in get_type_hints(schema, include_extras=True).values():
        TypeAdapter(hint)  # a typing.TypedDict in it is an error on Python 3.11


class Asked(BaseModel):
    question: str
    passages: list[Any] | None = None
    quality: float | None = None
    answer: Any = None
    judgement: Any = None
    attempt: int | None = None
    outcome: str | None = None


@dataclasses.dataclass
class Wanted:
    question: str
    passages: list[Any] | None = None
    quality: float | None = None
    answer: Any = None
    judgement: Any = None
    attempt: int | None = None
    outcome: str | None = None


@pytest.mark.parametrize("schema", [Asked, Wanted])
def test_what_is_counted_begins_at_nothing(schema: Any) -> None:
    flow = grounded_answer(
        lambda state: ["a", "b"][: (state.attempt or 0) + 1],
        lambda state: float("b" in state.passages),
        lambda state: state.passages[-1],
        lambda state: {"grounded": state.answer == "b", "reason": ""},
        rerank=lambda state: state.passages,
        state=schema,
    )
    output = flow.compile().invoke({"question": "which?"})
    assert (output["answer"], output["outcome"]) == ("b", "answered")
