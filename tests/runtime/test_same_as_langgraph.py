"""What a graph gives in a `Runner` is what it gives with LangGraph alone."""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.channels import BinaryOperatorAggregate, DeltaChannel, EphemeralValue, Topic
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.types import CachePolicy, Command, Overwrite, Send
from langgraph.types import RetryPolicy as NativeRetryPolicy

from dalsegno import END, START, Each, Runner, Workflow
from dalsegno.errors import InputInvalid


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def fan_out(graph: Any, *targets: Any) -> Any:
    graph.add_node("work", lambda sent: {"log": [sent["topic"]]})
    graph.add_conditional_edges(
        START, lambda state: [Send("work", {"topic": "rain"}), Send("work", {"topic": "sun"})], list(targets)
    )
    return graph.add_edge("work", END)


@pytest.mark.parametrize("mode", ["tasks", "debug"])
def test_what_was_sent_is_shown_as_it_was_sent(db: Path, mode: str) -> None:
    def sent(chunks: Any) -> list[Any]:
        told = [chunk.get("payload", chunk) for chunk in chunks]
        return [payload["input"] for payload in told if "input" in payload]

    alone = sent(fan_out(StateGraph(State), "work").compile().stream({}, stream_mode=mode))
    with Runner(fan_out(Workflow("w", State), Each("work", max=2)), db=db) as runner:
        assert sent(runner.stream({}, stream_mode=mode)) == alone == [{"topic": "rain"}, {"topic": "sun"}]


def test_a_sibling_that_is_done_is_not_lost_to_one_that_fails_in_the_same_moment(db: Path) -> None:
    done = asyncio.Event()

    async def first(state: State) -> dict[str, Any]:
        done.set()
        return {"log": ["first"]}

    async def second(state: State) -> dict[str, Any]:
        await done.wait()
        raise ValueError("second")

    graph: Any = StateGraph(State)
    graph.add_node("first", first).add_node("second", second)
    graph.add_edge(START, "first").add_edge(START, "second")
    with Runner(graph, db=db) as runner:
        failed = asyncio.run(runner.arun({}, thread="t"))
        assert sorted((e.node, e.status) for e in runner.ledger.executions(failed.run_id)) == [
            ("first", "done"),
            ("second", "failed"),
        ]
        assert runner.graph.get_state({"configurable": {"thread_id": "t"}}).values["log"] == ["first"]


def test_nodes_of_one_name_do_not_answer_for_each_other_in_a_cache(tmp_path: Path) -> None:
    def one(state: State) -> dict[str, Any]:
        return {"log": ["one"]}

    def other(state: State) -> dict[str, Any]:
        return {"log": ["other"]}

    cache: Any = InMemoryCache()

    def output(action: Any, name: str) -> Any:
        graph: Any = StateGraph(State).add_node("answer", action, cache_policy=CachePolicy())
        compiled = graph.add_edge(START, "answer").add_edge("answer", END).compile(cache=cache)
        with Runner(compiled, db=tmp_path / name) as runner:
            return runner.run({}).output["log"]

    assert output(one, "one.db") == output(one, "again.db") == ["one"]
    assert output(other, "other.db") == ["other"]


def test_a_graph_with_a_default_error_handler_is_given_to_several_runners(db: Path) -> None:
    def fail(state: State) -> None:
        raise ValueError("broken")

    def mend(state: State, error: NodeError) -> Command[Literal["last"]]:
        return Command(update={"log": [f"{error.node} mended"]}, goto="last")

    graph: Any = StateGraph(State).set_node_defaults(error_handler=mend)
    graph.add_node("first", fail).add_node("last", lambda state: {"log": ["last"]})
    graph.add_edge(START, "first").add_edge("last", END)
    for thread in ("a", "b"):
        with Runner(graph, db=db) as runner:
            assert runner.run({}, thread).output["log"] == ["first mended", "last"]
    assert graph.compile().invoke({})["log"] == ["first mended", "last"]


@pytest.mark.parametrize("kind", [StateGraph, lambda schema: Workflow("w", schema)])
def test_what_is_compiled_may_have_a_name_of_its_own(kind: Any) -> None:
    graph = (
        kind(State).add_node("go", lambda state: {"log": ["done"]}).add_edge(START, "go").add_edge("go", END)
    )
    assert graph.compile(name="mine").get_name() == "mine"
    assert graph.compile(name=None).get_name() in ("LangGraph", "w")
    assert graph.compile(name="mine").invoke({}) == {"log": ["done"]}


@pytest.mark.parametrize("kind", [StateGraph, lambda schema: Workflow("w", schema)])
def test_defaults_are_those_of_the_nodes_too_that_were_added_before(kind: Any) -> None:
    """They were of the later ones alone, and a graph that came from LangGraph had none, without a word."""
    tried: list[str] = []

    def fail(name: str) -> Any:
        def node(state: State) -> None:
            tried.append(name)
            raise ConnectionError(name)

        return node

    def mend(state: State, error: NodeError) -> Command[Literal["last"]]:
        return Command(update={"log": [f"{error.node} mended"]}, goto="last")

    twice = NativeRetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    graph: Any = kind(State)
    graph.add_node("own", fail("own"), retry_policy=twice._replace(max_attempts=3), error_handler=mend)
    graph.add_node("first", fail("first"), error_handler=mend)
    graph.set_node_defaults(retry_policy=twice._replace(max_attempts=5))
    graph.set_node_defaults(retry_policy=twice)
    graph.add_node("last", lambda state: {"log": ["last"]})
    graph.add_edge(START, "own").add_edge(START, "first").add_edge("own", END).add_edge("first", END)
    graph.add_edge("last", END)
    assert sorted(graph.compile().invoke({})["log"]) == ["first mended", "last", "own mended"]
    assert (tried.count("own"), tried.count("first")) == (3, 2)


@pytest.mark.parametrize("kind", [StateGraph, lambda schema: Workflow("w", schema)])
def test_a_command_writes_a_key_as_often_as_it_says(tmp_path: Path, kind: Any) -> None:
    pairs = [("log", ["one"]), ("log", ["two"]), ("log", ["three"])]
    graph = kind(State).add_node(
        "go", lambda state: Command(update=pairs, goto="last"), destinations=("last",)
    )
    graph.add_node("last", lambda state: [{"log": ["four"]}, Command(update=[("log", ["five"])])])
    graph.add_edge(START, "go").add_edge("last", END)
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        assert runner.run({}).output["log"] == ["one", "two", "three", "four", "five"]


@pytest.mark.parametrize("kind", [StateGraph, lambda schema: Workflow("w", schema)])
def test_an_input_may_overwrite_what_the_thread_has_of_a_key(db: Path, kind: Any) -> None:
    graph = (
        kind(State).add_node("go", lambda state: {"log": ["done"]}).add_edge(START, "go").add_edge("go", END)
    )
    with Runner(graph, db=db) as runner:
        runner.run({"log": ["one"]}, "t")
        assert runner.run({"log": Overwrite(["two"])}, "t").output["log"] == ["two", "done"]
        with pytest.raises(InputInvalid, match=r"Expected list.*, got int"):
            runner.run({"log": Overwrite(3)}, "t")
        at = runner.pending("t").checkpoint_id
        assert at is not None
        runner.fork("t", at, into="fork", values={"log": Overwrite(["set"])})
        assert runner.pending("fork").values["log"] == ["set"]


def listed(items: list[str], update: Any) -> list[str]:
    return [*items, *(update if isinstance(update, list) else [update])]


def all_listed(items: list[str], updates: list[Any]) -> list[str]:
    return [item for update in [items, *updates] for item in listed([], update)]


class Channels(TypedDict, total=False):
    topic: Annotated[list[str], Topic(str, accumulate=True)]
    delta: Annotated[list[str], DeltaChannel(all_listed)]
    reduced: Annotated[list[str], BinaryOperatorAggregate(list, listed)]
    added: Annotated[list[str], BinaryOperatorAggregate(list, operator.add)]
    passing: Annotated[int, EphemeralValue]


@pytest.mark.parametrize(
    "given",
    [
        {"topic": "one"},
        {"topic": ["one", "two"]},
        {"delta": "one"},
        {"delta": Overwrite(["one"])},
        {"reduced": "one"},
        {"reduced": Overwrite(["one"])},
        {"added": Overwrite(["one"])},
    ],
)
def test_an_input_may_be_whatever_the_channel_of_a_key_takes(db: Path, given: dict[str, Any]) -> None:
    graph: Any = StateGraph(Channels).add_node("go", lambda state: {}).add_edge(START, "go")
    with Runner(graph, db=db) as runner:
        assert runner.run(given, "t").output == graph.compile().invoke(given)
        for wrong in ({"added": "one"}, {"added": Overwrite(3)}, {"passing": "one"}):
            with pytest.raises(InputInvalid, match="does not fit"):
                runner.run(wrong, "t")
