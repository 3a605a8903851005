"""A long text is shortened on its way; a check that says what nobody knows fails the run."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import hybrid


def words(state: Any) -> list[str]:
    return str(state["value"]).split()


def length(state: Any) -> str:
    return {5: "long", 2: "shrot"}.get(len(state["value"]), "short")


def shorten(state: Any) -> list[str]:
    return list(state["value"][:3])


def joined(state: Any) -> str:
    return " ".join(map(str, state["value"]))


CASE = Case(
    pattern=hybrid,
    args=([words], length, {"long": shorten, "short": None}),
    options={"after": [joined]},
    given={"value": "from the sign to end"},
    expect={"value": "from the sign", "label": "long"},
    gives="value",
    failing=Failing(
        given={"value": "the sign"},
        error=("WrongAnswer", "`check` of the pattern `hybrid` answered 'shrot'"),
    ),
    slot=lambda node, state: hybrid([words], lambda s: "long", {"long": node, "short": None}, state=state),
    slot_key="value",
    slot_given={"value": "from the sign to end"},
)
