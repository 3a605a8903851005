"""Pattern 15: handovers, beside other tools and to nobody, and what ends a task that is passed to and fro."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Peer, peer_to_peer
from dalsegno.nodes.labels import tool_name
from dalsegno.testing import Reply, ScriptedChatModel


def over(to: str) -> dict[str, Any]:
    return {"name": f"hand_over_to_{to}", "args": {"message": "yours"}}


def look(at: str) -> str:
    """Looks at something."""
    return f"{at} is blue"


def always(*said: Any) -> Any:
    """A peer that says this, and then the last of it for ever."""
    left = list(said)
    return lambda state: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("number", [None, "", "1"])
def test_a_handover_is_found_where_calls_share_an_id_or_have_none(number: str | None) -> None:
    def desk(state: Any) -> AIMessage:
        calls = [
            ("look", {"at": "sky"}),
            ("look", {"at": "sea"}),
            ("hand_over_to_bert", {"message": "yours"}),
        ]
        return AIMessage(
            "", tool_calls=[{"name": n, "args": a, "id": number, "type": "tool_call"} for n, a in calls]
        )

    def bert(state: Any) -> list[str]:
        return [message.text for message in state["messages"] if message.type == "tool"]

    flow = peer_to_peer([Peer(desk, tools=[look]), bert])
    output = flow.compile().invoke({"request": "?"})
    assert (output["answered_by"], output["outcome"]) == ("bert", "answered")
    assert output["answer"] == ["sky is blue", "sea is blue", "`bert` has it now."]


def test_a_handover_beside_another_tool_comes_after_it() -> None:
    first = always([over("b"), {"name": "look", "args": {"at": "it"}}])
    flow = peer_to_peer({"a": Peer(first, tools=[look]), "b": lambda state: state["messages"][1].text})
    for output in (
        flow.compile().invoke({"request": ""}),
        asyncio.run(flow.compile().ainvoke({"request": ""})),
    ):
        assert (output["answer"], output["answered_by"]) == ("it is blue", "b")
        assert [m.text for m in output["messages"]][:3] == ["", "it is blue", "`b` has it now."]


def test_of_two_handovers_the_first_counts() -> None:
    flow = peer_to_peer({"a": always([over("b"), over("c")]), "b": always("b!"), "c": always("c!")})
    output = flow.compile().invoke({"request": ""})
    assert output["answer"] == "b!"
    assert output["messages"][2].text == "Not done: there is one handover at a time."


def test_a_handover_to_nobody_goes_back_to_who_tried() -> None:
    flow = peer_to_peer({"anna": always(over("bart"), over("bert")), "bert": always("here")})
    output = flow.compile().invoke({"request": ""})
    assert "did you mean `hand_over_to_bert`" in output["messages"][1].text
    assert output["answer"] == "here"


def test_ping_pong_is_detected() -> None:
    flow = peer_to_peer({"a": always(over("b")), "b": always(over("a"))})
    output = flow.compile().invoke({"request": ""})
    assert output["outcome"] == "ping-pong"
    assert len(output["handovers"]) == 4


def test_handing_back_after_some_work_is_no_ping_pong() -> None:
    works = [over("b"), {"name": "look", "args": {"at": "it"}}]
    flow = peer_to_peer(
        {"a": Peer(always(works), tools=[look]), "b": Peer(always([over("a"), works[1]]), tools=[look])},
        max_turns=7,
    )
    assert flow.compile().invoke({"request": ""})["outcome"] == "out of turns"


def test_going_round_among_three_ends_by_the_turns() -> None:
    flow = peer_to_peer({"a": always(over("b")), "b": always(over("c")), "c": always(over("a"))}, max_turns=5)
    output = flow.compile().invoke({"request": ""})
    assert (output["outcome"], len(output["handovers"])) == ("out of turns", 5)


def test_models_hand_over_with_tools() -> None:
    with (
        ScriptedChatModel([Reply(over("poet"), expect="poet: writes verse")]) as desk,
        ScriptedChatModel([Reply("O rain", expect=["You are `poet`", "`poet` has it now."])]) as poet,
    ):
        flow = peer_to_peer({"desk": desk, "poet": Peer(poet, about="writes verse")})
        assert flow.validate().findings == ()
        output = flow.compile().invoke({"request": "rain"})
    assert (output["answer"], output["answered_by"]) == ("O rain", "poet")
    assert output["messages"][-1].name == "poet"


@pytest.mark.parametrize(
    ("peers", "options", "message"),
    [
        ([look], {}, "1 peer, and at least 2 are needed"),
        ({"a": look, "b": look}, {"max_turns": 1}, "max_turns=1"),
        ({"a": look, "b": look}, {"max_returns": -1}, "max_returns=-1"),
        ({"a": Peer(look, tools=[look, look]), "b": look}, {}, "Two tools are called `look`"),
    ],
)
def test_what_cannot_be_meant_is_refused(peers: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        peer_to_peer(peers, **options)


@pytest.mark.parametrize("peer", ["Prüfung v1.0 🎉", "n" * 300, "front desk", "🎉"])
def test_a_model_is_told_names_that_it_can_call(peer: str) -> None:
    called = tool_name(f"hand_over_to_{peer}")
    assert re.fullmatch(r"hand_over_to_[A-Za-z0-9_-]{1,51}", called)
    with ScriptedChatModel([Reply({"name": called, "args": {"message": "yours"}})]) as model:
        flow = peer_to_peer({"first & last": model, peer: lambda state: state["messages"][0].name})
        output = flow.compile().invoke({"request": "?"})
    assert output["answered_by"] == peer
    assert output["answer"] == tool_name("first & last")


def test_a_function_hands_over_by_the_name_as_it_is() -> None:
    flow = peer_to_peer(
        {"a": lambda state: over("b.1 ü"), "b.1 ü": lambda state: state["messages"][0].tool_calls[0]["name"]}
    )
    output = flow.compile().invoke({"request": "?"})
    assert output["answered_by"] == "b.1 ü"
    assert output["handovers"] == [{"by": "a", "to": "b.1 ü", "message": "yours"}]
    assert output["answer"].isascii()
