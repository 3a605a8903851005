"""One publishes its own event for ever; another one fails, and a third hears of it."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import Subscriber, choreography


def echo(state: Any) -> dict[str, Any]:
    return {"type": "call", "data": state["event"]["data"] + 1}


def fragile(state: Any) -> None:
    if state["event"]["data"] == 0:
        raise OSError("it broke")


def mourner(state: Any) -> list[dict[str, Any]]:
    return [{"type": "heard", "data": state["event"]["data"]["name"]}]


def wordless(state: Any) -> Any:
    return "call"


CASE = Case(
    pattern=choreography,
    args=([Subscriber(echo, on="call"), Subscriber(fragile, on="*"), Subscriber(mourner, on="failed")],),
    options={"rounds": 3},
    given={"events": [{"type": "call", "data": 0}]},
    expect={
        "published": [
            {"place": [0, 0, 0], "by": None, "type": "call", "data": 0},
            {"place": [1, 0, 0], "by": "echo", "type": "call", "data": 1},
            {
                "place": [1, 1, 0],
                "by": "fragile",
                "type": "failed",
                "data": {"name": "fragile", "error": "OSError", "message": "it broke"},
            },
            {"place": [2, 0, 0], "by": "echo", "type": "call", "data": 2},
            {"place": [2, 2, 0], "by": "mourner", "type": "heard", "data": "fragile"},
            {"place": [3, 0, 0], "by": "echo", "type": "call", "data": 3},
        ],
        "failures": [{"name": "fragile", "error": "OSError", "message": "it broke"}],
        "outcome": "out of rounds",
    },
    gives="published",
    failing=Failing(
        args=([Subscriber(wordless, on="call")],),
        given={"events": [{"type": "call"}]},
        error=("WrongAnswer", "`wordless` of the pattern `choreography` answered 'call'"),
    ),
    slot=lambda node, state: choreography(
        {"inner": Subscriber(node.actor, on="call", **node.options), "fragile": Subscriber(fragile, on="*")},
        state=state,
    ),
    slot_key="published",
    slot_given={"events": [{"type": "call", "data": 1}]},
)
