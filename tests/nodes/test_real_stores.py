"""What policies keep in a store: in stores of either colour, of another event loop, and in one that fails."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from dalsegno import END, START, Cache, CircuitBreaker, Runner, Workflow
from dalsegno.errors import DefinitionError
from dalsegno.nodes.policies import Action, keeping, with_policies
from dalsegno.nodes.policies.digest import digest
from dalsegno.runtime.events import Event, PolicyActed


class State(TypedDict, total=False):
    topic: str
    note: str


@contextmanager
def told(
    path: Path, nodes: str, cached_in: Any, store: BaseStore
) -> Iterator[tuple[Callable[[], Any], Callable[[], Awaitable[Any]], Callable[[], list[tuple[str, str]]]]]:
    """Ways to run a workflow of a cached node and one whose breaker opens, and what their policies did."""
    events: list[Event] = []

    def note(state: State) -> dict[str, str]:
        return {"note": state["topic"]}

    def fail(state: State) -> dict[str, str]:
        raise ConnectionError("no network")

    async def anote(state: State) -> dict[str, str]:
        return note(state)

    async def afail(state: State) -> dict[str, str]:
        return fail(state)

    flow = Workflow("v1.0", State)
    flow.add_node("note", anote if nodes == "async" else note, cache=Cache(store=cached_in))
    breaker = CircuitBreaker(failures=1)
    flow.add_node("fail", afail if nodes == "async" else fail, breaker=breaker, fallback={"note": "none"})
    flow.add_edge(START, "note").add_edge("note", "fail").add_edge("fail", END)
    with Runner(flow, db=path / "r.db", store=store, on_event=events.append) as runner:
        yield (
            lambda: runner.run({"topic": "rain"}).raise_for_status(),
            lambda: runner.arun({"topic": "rain"}),
            lambda: [
                (e.policy, e.what) for e in events if isinstance(e, PolicyActed) and e.policy != "fallback"
            ],
        )


FIRST_AND_SECOND = [("breaker", "opened"), ("cache", "hit"), ("breaker", "refused")]


@pytest.mark.parametrize("runs", ["sync", "async"])
@pytest.mark.parametrize("nodes", ["sync", "async"])
def test_a_store_for_sync_calls_is_used_in_every_run(tmp_path: Path, nodes: str, runs: str) -> None:
    with SqliteStore.from_conn_string(str(tmp_path / "s.db")) as store:
        store.setup()
        with told(tmp_path, nodes, "graph", store) as (run, arun, did):
            for _ in range(2):
                run() if runs == "sync" else asyncio.run(arun()).raise_for_status()  # type: ignore[arg-type]
            assert did() == FIRST_AND_SECOND
        assert store.get(("dalsegno", "breakers"), "v1.0/fail") is not None


@pytest.mark.parametrize("runs", ["in its loop", "in another"])
@pytest.mark.parametrize("nodes", ["sync", "async"])
@pytest.mark.parametrize("given", ["graph", "itself"])
def test_an_async_store_is_used_from_every_event_loop(
    tmp_path: Path, nodes: str, runs: str, given: str
) -> None:
    async def main() -> None:
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "s.db")) as store:
            await store.setup()
            cached_in = store if given == "itself" else "graph"
            with told(tmp_path, nodes, cached_in, store) as (run, arun, did):
                for _ in range(2):
                    result = await arun() if runs == "in its loop" else await asyncio.to_thread(run)
                    assert result.status == "completed"
                assert did() == FIRST_AND_SECOND

    asyncio.run(main())


def test_a_store_whose_event_loop_waits_for_the_run_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "PATIENCE", 0.05)

    async def main() -> None:
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "s.db")) as store:
            await store.setup()
            with told(tmp_path, "async", "graph", store) as (run, _, did):
                assert run().status == "completed"
                assert did()[:2] == [("cache", "not read"), ("cache", "not kept")]

    asyncio.run(main())


def test_a_store_whose_event_loop_is_closed_holds_nothing_up(tmp_path: Path) -> None:
    async def opened() -> AsyncSqliteStore:
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "s.db")) as store:
            await store.setup()
            return store

    store = asyncio.run(opened())
    for nodes in ("sync", "async"):
        with told(tmp_path, nodes, store, InMemoryStore()) as (run, _, did):
            assert run().status == "completed"
            assert did()[:2] == [("cache", "not read"), ("cache", "not kept")]


class Broken(InMemoryStore):
    """Its server is away."""

    def batch(self, ops: Any) -> Any:
        raise OSError("no route to the store")

    async def abatch(self, ops: Any) -> Any:
        raise OSError("no route to the store")


@pytest.mark.parametrize("nodes", ["sync", "async"])
def test_a_store_that_fails_takes_no_answer_with_it(tmp_path: Path, nodes: str) -> None:
    with told(tmp_path, nodes, "graph", Broken()) as (run, _, did):
        assert run().output["note"] == run().output["note"] == "none"
    assert did()[:5] == [
        ("cache", "not read"),
        ("cache", "not kept"),
        ("breaker", "not read"),
        ("breaker", "opened"),
        ("breaker", "not kept"),
    ]
    assert ("breaker", "refused") in did()


def test_what_no_cache_wrote_is_no_answer() -> None:
    store, acted = InMemoryStore(), list[Action]()
    tell = with_policies(lambda: "rain", cache=Cache(store=store), name="tell", on_action=acted.append)
    assert tell() == "rain"
    (item,) = store.search(("dalsegno", "cache"))
    store.put(item.namespace, item.key, {"what": "else"})
    assert tell() == "rain"
    assert [a.what for a in acted] == ["not read"]
    assert tell() == "rain"
    assert [a.what for a in acted] == ["not read", "hit"]


def fetch(what: str) -> str:
    return f"fetched {what}"


class Client:
    def __init__(self, host: str) -> None:
        self.host = host

    def get(self, what: str) -> str:
        return f"{what} of {self.host}"

    @classmethod
    def sort(cls, what: str) -> str:
        return f"{what} by {cls.__name__}"


class Other(Client):
    pass


def test_methods_of_several_objects_never_answer_for_each_other() -> None:
    cache = Cache()
    one, two = (with_policies(Client(host).get, cache=cache) for host in ("one", "two"))
    assert (one("x"), two("x"), one("x")) == ("x of one", "x of two", "x of one")


def made(answer: str) -> Callable[[str], str]:
    def inner(what: str) -> str:
        return f"{what} {answer}"

    return inner


@pytest.mark.parametrize(
    "function",
    [lambda what: what, Client("one").get, partial(fetch, "x"), made("x")],
    ids=["a lambda", "a method", "a partial", "one that was made"],
)
@pytest.mark.parametrize(
    "options", [{"cache": Cache(store=InMemoryStore())}, {"breaker": True, "store": InMemoryStore()}]
)
def test_what_has_no_name_that_is_its_own_is_kept_in_a_store_by_a_given_one(
    function: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(
        DefinitionError,
        match=r"Name it, so that they do not share their entries: with_policies\(..., name=...\)",
    ):
        with_policies(function, **options)
    assert with_policies(function, **options, name="it")
    assert with_policies(function, cache=True, breaker=True)


def test_functions_of_one_name_are_kept_apart_by_where_they_stand() -> None:
    store = InMemoryStore()
    for function in (fetch, json.dumps, Client.sort, Other.sort, pickle.dumps):
        kept = with_policies(function, cache=Cache(store=store))
        assert kept("x") == kept("x") == function("x")
    assert len(store.list_namespaces()) == 5


def test_positions_and_keywords_are_different_inputs() -> None:
    def said(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    kept = with_policies(said, cache=True)
    assert kept(("a", 1)) == ((("a", 1),), {})
    assert kept(a=1) == ((), {"a": 1})


def test_an_answer_that_cannot_be_copied_is_given_and_not_kept(wrap: Any, acted: list[Action]) -> None:
    call = wrap(lambda: {"lock": threading.Lock()}, cache=Cache())
    assert call()["lock"] is not call()["lock"]
    assert {a.what for a in acted} == {"not kept"}


VALUES = """
from dataclasses import dataclass
from langchain_core.messages import AIMessage
from pydantic import BaseModel
from dalsegno.nodes.policies.digest import digest

class Person(BaseModel):
    name: str
    tags: set[str]

@dataclass
class Pair:
    left: object
    right: frozenset

words = "one two three four five six".split()
person = Person(name="Ada", tags=words)
said = {"messages": [AIMessage("hi", id="1")]}
for value in (set(words), person, Pair(person, frozenset(words)), said, {1: set(words), "a": person}):
    print(digest(value))
"""


def test_the_same_value_has_the_same_digest_in_every_process() -> None:
    def process(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", VALUES], env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = process("1")
    assert len(set(first.split())) == 5
    assert process("2") == first


@dataclass
class Held:
    """Something in an object."""

    what: Any


def test_equal_values_have_equal_digests_and_others_others() -> None:
    text, same = "hello world", "".join(["hello ", "world"])
    day = date(2026, 11, 21)
    assert digest([day, text, text]) == digest([day, text, same])
    others: list[Any] = [
        {1, 2},
        {1: {2}},
        {(1, 2): 3},
        {1: 2},
        {"1": 2},
        {True: 2},
        {None: 2},
        [{1.5: 2}],
        [{"1.5": 2}],
        Held({1: 2}),
        Held({"1": 2}),
        {1: 2, "1": 2},
        {1: 2, "1": 3},
        AIMessage("a"),
        AIMessage("b"),
        HumanMessage("a"),
        "\ud800",
        1,
        "1",
        True,
        None,
        [],
        {},
        day,
    ]
    assert len({digest(value) for value in others}) == len(others)
    loop: list[Any] = []
    loop.append(loop)
    assert digest(loop) == digest(loop)
