"""Two fail, and the third answers."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import fallback_chain


def far(state: Any) -> str:
    raise ConnectionError("the line is busy")


def slow(state: Any) -> str:
    raise TimeoutError("nobody answers")


def near(state: Any) -> str:
    return str(state["request"]).upper()


class Mended:
    """Fails until it is mended."""

    good = False

    def __call__(self, state: Any) -> str:
        if not self.good:
            raise LookupError("nothing is kept here")
        return "kept"

    def mend(self) -> None:
        self.good = True


kept = Mended()

CASE = Case(
    pattern=fallback_chain,
    args=({"far": far, "slow": slow, "near": near},),
    given={"request": "rain"},
    expect={
        "value": "RAIN",
        "answered_by": "near",
        "failures": [
            {"name": "far", "error": "ConnectionError", "message": "the line is busy"},
            {"name": "slow", "error": "TimeoutError", "message": "nobody answers"},
        ],
    },
    gives="value",
    failing=Failing(
        args=({"far": far, "kept": kept},),
        given={"request": "rain"},
        error=("LookupError", "nothing is kept here"),
        mended=kept.mend,
    ),
    slot=lambda node, state: fallback_chain({"inner": node, "near": near}, state=state),
    slot_key="value",
    slot_given={"request": "rain"},
)
