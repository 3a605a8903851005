"""Three peers; a tool is called beside a handover; the answer comes in the last turn that acts: none is left."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import Peer, peer_to_peer


def over(to: str, message: str = "yours") -> dict[str, Any]:
    return {"name": f"hand_over_to_{to}", "args": {"message": message}}


def count(text: str) -> int:
    """How long a text is."""
    return len(text)


def desk(state: Any) -> Any:
    return [over("clerk", "count it"), {"name": "count", "args": {"text": state["request"]}}]


def clerk(state: Any) -> Any:
    return over("judge")


def judge(state: Any) -> Any:
    return over("desk")


def back(state: Any) -> Any:
    return over("desk")


PEERS = {"desk": Peer(desk, tools=[count]), "clerk": clerk, "judge": judge}

CASE = Case(
    pattern=peer_to_peer,
    args=(PEERS,),
    options={"max_turns": 3},
    given={"request": "rain"},
    expect={
        "handovers": [
            {"by": "desk", "to": "clerk", "message": "count it"},
            {"by": "clerk", "to": "judge", "message": "yours"},
            {"by": "judge", "to": "desk", "message": "yours"},
        ],
        "answer": None,
        "outcome": "out of turns",
    },
    gives="answer",
    failing=Failing(
        args=({"desk": clerk, "clerk": back, "judge": back},),
        options={"max_returns": 0},
        given={"request": "rain"},
        expect={
            "outcome": "ping-pong",
            "answer": None,
            "handovers": [
                {"by": "desk", "to": "judge", "message": "yours"},
                {"by": "judge", "to": "desk", "message": "yours"},
            ],
        },
    ),
    slot=lambda node, state: peer_to_peer({"desk": node, "clerk": clerk}, state=state),
    slot_key="said",
    slot_given={"request": "rain"},
)
