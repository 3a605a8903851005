"""Values as JSON has them: the same for the command line and the service, whatever they are."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from pydantic import BaseModel, model_serializer

from dalsegno.observe.plain import plain


@dataclasses.dataclass
class Point:
    x: float


class Broken(BaseModel):
    @model_serializer
    def fail(self) -> Any:
        raise RuntimeError("it cannot be written")


class Thing:
    def __repr__(self) -> str:
        return "<thing>"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, True, None, "ä"]}, {"a": [1, True, None, "ä"]}),
        ([math.inf, -math.inf, math.nan], ["Infinity", "-Infinity", "NaN"]),
        (Point(math.inf), {"x": "Infinity"}),
        (b"\xff", "_w=="),
        (Thing(), "<thing>"),
        ({"broken": Broken(), "whole": 1}, {"broken": "Broken()", "whole": 1}),
        ("\ud800", "\ud800"),
    ],
    ids=["JSON", "no numbers", "an object", "bytes", "anything", "a serialiser that fails", "half a pair"],
)
def test_a_value_is_plain_data(value: Any, shown: Any) -> None:
    assert plain(value) == shown
    json.dumps(plain(value), allow_nan=False)


def test_a_value_that_holds_itself_is_text() -> None:
    around: list[Any] = []
    around.append(around)
    assert plain(around) == "[[...]]"
