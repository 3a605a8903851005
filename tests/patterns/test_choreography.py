"""Pattern 8: who hears what, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dalsegno.errors import DefinitionError, WrongAnswer
from dalsegno.graphs.patterns import Node, Subscriber, choreography, sequential
from dalsegno.testing import Reply, ScriptedChatModel


def silent(state: Any) -> None:
    return None


def said(*events: str) -> Any:
    return lambda state: [{"type": event} for event in events]


def types(output: Any) -> list[str]:
    return [event["type"] for event in output["published"]]


def test_all_who_hear_an_event_react_side_by_side() -> None:
    met = threading.Barrier(3, timeout=20)

    def wait(state: Any) -> None:
        met.wait()

    flow = choreography({name: Subscriber(wait, on="go") for name in "abc"})
    output = asyncio.run(flow.compile().ainvoke({"events": [{"type": "go"}]}))
    assert output["outcome"] == "quiet"


def test_events_stand_in_the_order_of_their_causes() -> None:
    flow = choreography({"z": Subscriber(said("1", "2"), on="go"), "a": Subscriber(said("3"), on="go")})
    assert types(flow.compile().invoke({"events": [{"type": "go"}]})) == ["go", "1", "2", "3"]


def test_nobody_hears_it() -> None:
    output = choreography([Subscriber(silent, on="go")]).compile().invoke({"events": [{"type": "stop"}]})
    assert (output["outcome"], types(output)) == ("quiet", ["stop"])


def test_no_events_are_quiet_at_once() -> None:
    assert choreography([Subscriber(silent, on="*")]).compile().invoke({"events": []})["outcome"] == "quiet"


def test_events_that_multiply_end() -> None:
    flow = choreography({"rabbits": Subscriber(said("rabbit", "rabbit"), on="rabbit")}, max_events=8)
    output = flow.compile().invoke({"events": [{"type": "rabbit"}]})
    assert output["outcome"] == "too many events"
    assert len(output["published"]) == 1 + 2 + 4 + 8 + 16


def test_one_failure_does_not_stop_the_others() -> None:
    def broken(state: Any) -> None:
        raise ValueError("no")

    flow = choreography({"broken": Subscriber(broken, on="go"), "fine": Subscriber(said("ok"), on="go")})
    output = flow.compile().invoke({"events": [{"type": "go"}]})
    assert types(output) == ["go", "failed", "ok"]
    assert output["failures"] == [{"name": "broken", "error": "ValueError", "message": "no"}]


def test_what_a_subscriber_calls_failed_is_an_event_and_no_failure_of_its_own() -> None:
    flow = choreography(
        {
            "pay": Subscriber(lambda state: {"type": "failed", "data": {"order": 7}}, on="go"),
            "tell": Subscriber(said("told"), on="failed"),
        }
    )
    output = flow.compile().invoke({"events": [{"type": "go"}]})
    assert types(output) == ["go", "failed", "told"]
    assert output["failures"] == []


def test_a_workflow_and_a_model_subscribe() -> None:
    def answer(state: Any) -> list[dict[str, Any]]:
        return [{"type": "told", "data": state["value"]["data"]}]

    inner = sequential([answer])
    node = Node(inner, inputs={"value": "event"}, outputs={"published": "value"})
    with ScriptedChatModel([Reply({"answer": [{"type": "end", "data": "ok"}]}, expect="rain")]) as model:
        flow = choreography(
            {"inner": Subscriber(node.actor, on="go", **node.options), "model": Subscriber(model, on="told")}
        )
        assert flow.validate().findings == ()
        output = flow.compile().invoke({"events": [{"type": "go", "data": "rain"}]})
    assert types(output) == ["go", "told", "end"]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("go", "was given 'go' as `events`.*should be a valid list"),
        (["go"], "`0`: Input should be a valid dictionary"),
        ([{"type": "go"}, {"data": 1}], "`1.type`: Field required"),
        (None, "was given None as `events`"),
    ],
)
def test_a_beginning_that_is_no_events_is_said(events: Any, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        choreography([Subscriber(silent, on="go")]).compile().invoke({"events": events})


@pytest.mark.parametrize(
    ("subscribers", "options", "message"),
    [
        ([], {}, "no subscribers"),
        ([silent], {}, "`silent` hears nothing"),
        ([Subscriber(silent, on="a")], {"rounds": 0}, "rounds=0"),
        ([Subscriber(silent, on="a")], {"max_events": 0}, "max_events=0"),
    ],
)
def test_what_cannot_be_meant_is_refused(subscribers: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        choreography(subscribers, **options)
