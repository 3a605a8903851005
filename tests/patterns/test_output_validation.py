"""Outputs are checked for their form first, then for their content, and repaired within a bound."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import output_validation


class Letter(BaseModel):
    to: str
    pages: int


def fine(state: Any) -> dict[str, list[str]]:
    return {"problems": []}


def test_the_content_of_what_has_not_even_the_form_is_not_checked() -> None:
    seen: list[str] = []

    def content(state: Any) -> dict[str, list[str]]:
        seen.append(state["output"])
        return {"problems": []}

    flow = output_validation(Letter, content, lambda s: '{"to": "Ada", "pages": 2}')
    result = flow.compile().invoke({"output": '{"to": "Ada"}'})
    assert result["outcome"] == "valid"
    assert seen == ['{"to": "Ada", "pages": 2}']


def test_a_type_says_in_words_what_does_not_fit() -> None:
    flow = output_validation(Letter, fine, lambda s: s["output"], repairs=0)
    result = flow.compile().invoke({"output": {"to": "Ada", "pages": "two"}})
    assert result["check"]["problems"] == [
        "pages: Input should be a valid integer, unable to parse string as an integer"
    ]


@pytest.mark.parametrize(
    ("form", "output", "outcome"),
    [
        (str, "It will rain.", "valid"),
        (Literal["yes", "no"], "yes", "valid"),
        (Literal["yes", "no"], '"no"', "valid"),
        (Literal["yes", "no"], "perhaps", "escalated"),
        (int | None, "5", "valid"),
        (int | None, "five", "escalated"),
        (Annotated[list[int], Field(max_length=2)], "[1, 2]", "valid"),
        (Annotated[list[int], Field(max_length=2)], "[1, 2, 3]", "escalated"),
        (bool, "yes", "escalated"),
    ],
)
def test_a_text_fits_a_type_as_json_or_as_it_is(form: Any, output: str, outcome: str) -> None:
    flow = output_validation(form, fine, lambda s: s["output"], repairs=0)
    assert flow.compile().invoke({"output": output})["outcome"] == outcome


def test_repairs_of_the_form_and_of_the_content_are_counted_together() -> None:
    repaired: list[Any] = []

    def repair(state: Any) -> Any:
        repaired.append(state["check"]["problems"])
        return {"to": "Ada", "pages": 1} if len(repaired) % 2 else "nothing"

    flow = output_validation(Letter, lambda s: {"problems": ["too short"]}, repair, repairs=3)
    result = flow.compile().invoke({"output": "nothing"})
    assert len(repaired) == 3
    assert result["outcome"] == "escalated"


def test_what_is_escalated_goes_to_whom_it_may_concern() -> None:
    def escalate(state: Any) -> dict[str, Any]:
        return {"output": f"to be looked at: {state['check']['problems'][0]}"}

    flow = output_validation(
        fine, lambda s: {"problems": ["rude"]}, lambda s: "x", escalate=escalate, repairs=1
    )
    assert flow.compile().invoke({"output": "y"})["output"] == "to be looked at: rude"


@pytest.mark.parametrize("repairs", [-1, True, 1.5, "3"])
def test_repairs_are_a_whole_number(repairs: Any) -> None:
    with pytest.raises(DefinitionError, match="a whole number, 0 or more"):
        output_validation(fine, fine, fine, repairs=repairs)
