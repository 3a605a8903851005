"""No rule holds, and the one who chooses names nobody, twice: the default answers."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import router


def is_sum(state: Any) -> bool:
    return "+" in state["value"]


def reckon(state: Any) -> int:
    return sum(int(number) for number in state["value"].split("+"))


def shout(state: Any) -> str:
    return str(state["value"]).upper()


def whisper(state: Any) -> str:
    return str(state["value"]).lower()


def nobody(state: Any) -> str:
    return "sing"


CASE = Case(
    pattern=router,
    args=([reckon, shout, whisper],),
    options={"rules": [(is_sum, "reckon")], "choose": nobody, "default": "whisper"},
    given={"value": "Rain"},
    expect={"value": "rain", "route": "whisper", "wrong": 2},
    gives="value",
    failing=Failing(
        given={"value": "3+x"},
        error=("ValueError", "invalid literal for int() with base 10: 'x'"),
    ),
    slot=lambda node, state: router(
        {"inner": node, "shout": shout}, rules=[(is_sum, "shout")], default="inner", state=state
    ),
    slot_key="value",
    slot_given={"value": "Rain"},
)
