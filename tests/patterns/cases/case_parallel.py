"""Three branches read one text; one of them fails, and the others are collected."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import parallel


def longest(state: Any) -> str:
    return max(state["value"].split(), key=len)


async def vowels(state: Any) -> int:
    return sum(letter in "aeiou" for letter in state["value"])


def shout(state: Any) -> dict[str, Any]:
    return {"results": {"shout": state["value"].upper()}}


def together(state: Any) -> str:
    return " ".join(f"{name}={answer}" for name, answer in state["results"].items())


def mute(state: Any) -> str:
    raise OSError("no voice")


CASE = Case(
    pattern=parallel,
    args=([vowels, longest, shout],),
    options={"combine": together},
    given={"value": "from the sign"},
    expect={"value": "vowels=3 longest=from shout=FROM THE SIGN"},
    gives="results",
    failing=Failing(
        args=([vowels, mute],),
        options={"on_error": "collect"},
        given={"value": "from the sign"},
        expect={
            "results": {"vowels": 3},
            "failures": [{"name": "mute", "error": "OSError", "message": "no voice"}],
        },
    ),
    slot=lambda node, state: parallel({"longest": longest, "inner": node}, state=state),
    slot_key="results",
    slot_given={"value": "from the sign"},
)
