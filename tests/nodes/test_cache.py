"""The same input is answered with what was answered before: never with where a run went from there."""

from __future__ import annotations

import operator
from collections import Counter
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command

from dalsegno import END, START, Cache, Loop, Runner, Workflow
from dalsegno.errors import DefinitionError, PolicyError
from dalsegno.nodes.policies import ManualClock, with_policies
from dalsegno.runtime.events import Event, PolicyActed


class State(TypedDict, total=False):
    topic: str
    notes: Annotated[list[Any], operator.add]
    rounds: Annotated[int, operator.add]


class Counting:
    __qualname__ = "counting"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, value: Any, **kwargs: Any) -> dict[str, Any]:
        self.calls.append(value)
        return {"notes": [value]}


@pytest.fixture(params=["memory", "store"])
def kept(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {} if request.param == "memory" else {"store": InMemoryStore()}


def test_the_same_input_is_answered_once(wrap: Any, kept: dict[str, Any], acted: list[Any]) -> None:
    node = Counting()
    call = wrap(node, cache=Cache(**kept))
    assert [call(1), call(2), call(1)] == [{"notes": [1]}, {"notes": [2]}, {"notes": [1]}]
    assert node.calls == [1, 2]
    assert [(a.policy, a.what) for a in acted] == [("cache", "hit")]


def test_keyword_arguments_are_part_of_the_input(wrap: Any, kept: dict[str, Any]) -> None:
    node = Counting()
    call = wrap(node, cache=Cache(**kept))
    call(1, mood="a"), call(1, mood="b"), call(1, mood="a")
    assert len(node.calls) == 2


def test_a_key_of_ones_own_decides_what_is_the_same(wrap: Any, kept: dict[str, Any]) -> None:
    node = Counting()
    call = wrap(node, cache=Cache(key=lambda text: text.casefold(), **kept))
    assert call("Rain") == call("RAIN") == {"notes": ["Rain"]}
    assert node.calls == ["Rain"]


def test_an_answer_is_good_for_its_time_to_live(wrap: Any, kept: dict[str, Any], clock: ManualClock) -> None:
    node = Counting()
    call = wrap(node, cache=Cache(ttl=10, clock=clock, **kept))
    for pause in (0, 9.9, 0.1):
        clock.advance(pause)
        call(1)
    assert len(node.calls) == 2


def test_an_answer_of_the_future_is_asked_for_again(
    wrap: Any, kept: dict[str, Any], clock: ManualClock
) -> None:
    node = Counting()
    call = wrap(node, cache=Cache(ttl=10, clock=clock, **kept))
    call(1)
    clock.advance(-500)
    call(1)
    call(1)
    assert len(node.calls) == 2


def test_what_is_done_to_an_answer_does_not_reach_the_cache(wrap: Any, kept: dict[str, Any]) -> None:
    call = wrap(Counting(), cache=Cache(**kept))
    call(1)["notes"].append("mine")
    call(1)["notes"].append("mine too")
    assert call(1) == {"notes": [1]}


def test_a_failure_is_not_kept(wrap: Any, failing: Any, kept: dict[str, Any]) -> None:
    call = wrap(failing(ValueError()), cache=Cache(**kept))
    with pytest.raises(ValueError):  # noqa: PT011 - the one given
        call()
    assert call() == "answer"


def test_a_fallbacks_answer_is_not_kept(wrap: Any, failing: Any, kept: dict[str, Any]) -> None:
    call = wrap(failing(ValueError()), cache=Cache(**kept), fallback="fallback")
    assert [call(), call(), call()] == ["fallback", "answer", "answer"]


def test_messages_come_back_from_a_store_as_they_were(wrap: Any, failing: Any) -> None:
    node = failing(answer=AIMessage("rain", id="1"))
    call = wrap(node, cache=Cache(store=InMemoryStore()))
    assert call() == call() == AIMessage("rain", id="1")
    assert node.calls == 1


def test_what_does_not_come_back_from_a_store_as_it_is_is_not_kept(
    wrap: Any, failing: Any, acted: list[Any]
) -> None:
    node = failing(answer=object())
    call = wrap(node, cache=Cache(store=InMemoryStore()))
    call(), call()
    assert node.calls == 2
    assert {a.what for a in acted} == {"not kept"}


class Weather(StrEnum):
    RAIN = "rain"


class Amount(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "answer",
    [Weather.RAIN, [Amount.ONE], {"a": (Weather.RAIN,)}, {Weather.RAIN: 1}, {Weather.RAIN}, Counter("ab")],
)
def test_what_would_come_back_from_a_store_as_something_equal_is_not_kept(
    wrap: Any, failing: Any, answer: Any
) -> None:
    """A router that asks `is Weather.RAIN` would go another way."""
    node = failing(answer=answer)
    call = wrap(node, cache=Cache(store=InMemoryStore()))
    assert [repr(call()), repr(call())] == [repr(answer)] * 2
    assert node.calls == 2


@pytest.mark.parametrize(
    "answer", [{"a": [1, None, {"b": [1.5, True]}]}, {1: b"x"}, {1, 2}, AIMessage("rain", id="1"), [], ""]
)
def test_plain_data_is_kept_in_a_store(wrap: Any, failing: Any, answer: Any) -> None:
    node = failing(answer=answer)
    call = wrap(node, cache=Cache(store=InMemoryStore()))
    assert [repr(call()), repr(call())] == [repr(answer)] * 2
    assert node.calls == 1


def test_in_memory_the_one_unused_for_the_longest_time_goes() -> None:
    node = Counting()
    call = with_policies(node, cache=Cache(max_entries=2))
    for value in (1, 2, 1, 3, 1, 2):
        call(value)
    assert node.calls == [1, 2, 3, 2]


@pytest.mark.parametrize("key", [lambda value: 1 / 0, lambda: 1, lambda value: (n for n in ())])
def test_a_key_function_that_raises_is_an_error_that_names_it(wrap: Any, key: Any) -> None:
    with pytest.raises(PolicyError, match=r"cache of `counting` found no key: its key function raised"):
        wrap(Counting(), cache=Cache(key=key), name="counting")(1)


def looping(node: Any, **options: Any) -> Workflow:
    """A loop whose router leaves in the second round: where a cached node went before must not matter."""
    flow = Workflow("loop", State)
    flow.add_node("count", lambda s: {"rounds": 1}).add_node("note", node, **options)
    flow.add_edge(START, "count").add_edge("count", "note")
    flow.add_conditional_edges(
        "note",
        lambda s: "again" if s["rounds"] < 3 else "done",
        {"again": Loop("count", max=9, on_exhausted=END), "done": END},
    )
    return flow


@pytest.mark.parametrize("cache", ["memory", "graph", "native"])
def test_a_cached_node_in_a_loop_routes_and_counts_anew_every_time(tmp_path: Path, cache: str) -> None:
    node, events, store = Counting(), list[Event](), InMemoryStore()

    def key(state: Any) -> Any:
        return state["topic"]

    options: dict[str, Any] = {
        "memory": {"cache": Cache(key=key)},
        "graph": {"cache": Cache(key=key, store="graph")},
        "native": {"cache_policy": CachePolicy(key_func=key)},
    }[cache]
    flow = looping(lambda state: node(state["topic"]), **options)
    runner = Runner(flow, db=tmp_path / "r.db", store=store, on_event=events.append)
    result = runner.run({"topic": "rain"})
    assert (result.output["rounds"], result.output["notes"], result.supersteps) == (3, ["rain"] * 3, 6)
    assert node.calls == ["rain"]
    hits = [e for e in events if isinstance(e, PolicyActed)]
    assert [(e.node, e.what, e.occurrence) for e in hits] == [("note", "hit", 2), ("note", "hit", 3)]


def test_a_command_is_not_kept_for_it_is_a_decision(tmp_path: Path) -> None:
    calls: list[int] = []

    def decide(state: State) -> Command[Any]:
        calls.append(1)
        return Command(update={"notes": ["x"]}, goto=END)

    flow = Workflow("deciding", State).add_node("decide", decide, destinations=(END,), cache=True)
    flow.add_edge(START, "decide")
    for _ in range(2):
        assert Runner(flow, db=tmp_path / "r.db").run({"topic": "rain"}).status == "completed"
    assert len(calls) == 2


@pytest.mark.parametrize("store", [None, InMemoryStore()])
def test_nodes_have_caches_of_their_own_whatever_they_are_called(tmp_path: Path, store: Any) -> None:
    cache = Cache(key=lambda state: state["topic"], store=store)
    for workflow, name in (("a/b", "c"), ("a", "b/c"), ("v1.0", "c"), ("v1%2E0", "c"), ("v1", "0.c")):
        said = f"{name} of {workflow}"
        flow = Workflow(workflow, State).add_node(name, lambda s, said=said: {"notes": [said]}, cache=cache)
        flow.add_edge(START, name).add_edge(name, END)
        for _ in range(2):
            result = Runner(flow, db=tmp_path / "r.db").run({"topic": "rain"}).raise_for_status()
            assert result.output["notes"] == [said]


def test_a_method_is_cached_in_a_store() -> None:
    class Weather:
        asked = 0

        def tell(self) -> str:
            self.asked += 1
            return "rain"

    weather = Weather()
    tell = with_policies(weather.tell, cache=Cache(store=InMemoryStore()), name="Weather.tell")
    assert (tell(), tell(), weather.asked) == ("rain", "rain", 1)


def test_a_cached_subworkflow_is_not_run_again_and_weighs_only_itself(tmp_path: Path) -> None:
    node = Counting()
    child = Workflow("child", State).add_node("note", lambda s: node(s["topic"]))
    child.add_edge(START, "note").add_edge("note", END)
    flow = Workflow("parent", State)
    flow.add_node("sub", child, inputs={"topic": "topic"}, outputs={"notes": "notes"}, cache=True)
    flow.add_edge(START, "sub").add_edge("sub", END)
    runner = Runner(flow, db=tmp_path / "r.db")
    assert [runner.run({"topic": "rain"}).supersteps for _ in range(2)] == [2, 1]
    assert node.calls == ["rain"]


def test_the_graphs_store_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    flow = Workflow("flow", State).add_node("note", lambda s: {}, cache=Cache(store="graph"))
    flow.add_edge(START, "note").add_edge("note", END)
    error = Runner(flow, db=tmp_path / "r.db").run({}).error
    assert error is not None
    assert "the graph has no store" in error["message"]


@pytest.mark.parametrize(
    "options", [{"key": "topic"}, {"ttl": 0}, {"ttl": -1}, {"store": "redis"}, {"max_entries": 0}]
)
def test_a_cache_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Cache"):
        Cache(**options)
