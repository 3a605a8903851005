"""What failed again and again is not called for a while, and a restart does not forget it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.errors import GraphInterrupt
from langgraph.store.memory import InMemoryStore

from dalsegno import END, START, CircuitBreaker, Runner, Workflow
from dalsegno.errors import CircuitOpen, DefinitionError
from dalsegno.nodes.policies import Action, ManualClock, with_policies
from dalsegno.runtime.events import Event, PolicyActed


class State(TypedDict, total=False):
    said: str


def broken(clock: ManualClock, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(**{"failures": 2, "window": 60, "recovery": 30, **options}, clock=clock)


def fail(call: Any, times: int = 1, error: type[BaseException] = ValueError) -> None:
    for _ in range(times):
        with pytest.raises(error):
            call()


def test_it_opens_after_so_many_failures_and_then_does_not_call(
    wrap: Any, failing: Any, clock: ManualClock, acted: list[Any]
) -> None:
    node, breaker = failing(*[ValueError()] * 2), broken(clock)
    call = wrap(node, breaker=breaker)
    fail(call, 2)
    assert breaker.state.name == "open"
    with pytest.raises(
        CircuitOpen, match="open for 30 seconds more, after 2 failures within 60 seconds"
    ) as caught:
        call()
    assert (node.calls, caught.value.seconds) == (2, 30)
    assert [a.what for a in acted] == ["opened", "refused"]


def test_failures_count_only_within_the_window(wrap: Any, failing: Any, clock: ManualClock) -> None:
    call = wrap(failing(*[ValueError()] * 3), breaker=broken(clock))
    fail(call)
    clock.advance(61)
    fail(call)
    clock.advance(59)
    fail(call)
    fail(call, error=CircuitOpen)


def test_after_the_recovery_one_probe_closes_it_or_opens_it_again(
    wrap: Any, failing: Any, clock: ManualClock, acted: list[Any]
) -> None:
    node, breaker = failing(*[ValueError()] * 3), broken(clock)
    call = wrap(node, breaker=breaker)
    fail(call, 2)
    clock.advance(30)
    fail(call)
    fail(call, error=CircuitOpen)
    clock.advance(30)
    assert call() == "answer"
    assert breaker.state.name == "closed"
    assert [a.what for a in acted] == ["opened", "probe", "opened", "refused", "probe", "closed"]


def test_while_the_probe_is_under_way_others_are_refused(clock: ManualClock) -> None:
    breaker, entered, release = broken(clock, failures=1), threading.Event(), threading.Event()

    def probe() -> str:
        entered.set()
        release.wait()
        return "back"

    bad = with_policies(lambda: 1 / 0, breaker=breaker)
    fail(bad, error=ZeroDivisionError)
    clock.advance(31)
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(with_policies(probe, breaker=breaker)()))
    thread.start()
    entered.wait()
    assert breaker.state.name == "half open"
    with pytest.raises(CircuitOpen, match="until its probe has an answer"):
        bad()
    release.set()
    thread.join()
    assert (results, breaker.state.name) == (["back"], "closed")


def test_an_interrupted_probe_proves_nothing_and_the_next_call_is_one(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    node = failing(ValueError(), GraphInterrupt(()))
    call = wrap(node, breaker=broken(clock, failures=1))
    fail(call)
    clock.advance(31)
    fail(call, error=GraphInterrupt)
    assert call() == "answer"


def test_a_probe_whose_error_the_filter_fails_at_proves_nothing_too(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    def meant(error: Exception) -> bool:
        return bool(error.args[0])  # the second error has none

    call = wrap(failing(ValueError("one"), ValueError()), breaker=broken(clock, failures=1, on=meant))
    fail(call)
    clock.advance(31)
    fail(call, error=IndexError)
    assert call() == "answer"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_probe_that_a_listener_fails_at_is_made_by_the_next_call(
    failing: Any, clock: ManualClock, is_async: bool
) -> None:
    errors = [OSError("the disk is full")]

    def listen(action: Action) -> None:
        if action.what == "probe" and errors:
            raise errors.pop()

    node = failing(ValueError())

    async def anode() -> Any:
        return node()

    called = with_policies(
        anode if is_async else node, breaker=broken(clock, failures=1), on_action=listen, name="node"
    )
    call = (lambda: asyncio.run(called())) if is_async else called
    fail(call)
    clock.advance(31)
    fail(call, error=OSError)
    assert call() == "answer"


def test_only_the_errors_that_are_meant_count(wrap: Any, failing: Any, clock: ManualClock) -> None:
    call = wrap(failing(*[KeyError()] * 3), breaker=broken(clock, on=ConnectionError))
    fail(call, 3, KeyError)
    assert call() == "answer"


def test_a_clock_that_goes_back_keeps_it_open_for_one_recovery_at_most(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    call = wrap(failing(ValueError()), breaker=broken(clock, failures=1))
    fail(call)
    clock.advance(-500)
    fail(call, error=CircuitOpen)
    clock.advance(30)
    assert call() == "answer"


def test_breakers_of_one_name_share_their_state_and_others_do_not(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    name = f"shared {uuid.uuid4()}"  # breakers of a process are found by their names, also by the next test
    fail(wrap(failing(ValueError()), breaker=broken(clock, failures=1, name=name)))
    fail(wrap(failing(), breaker=broken(clock, failures=1, name=name)), error=CircuitOpen)
    assert wrap(failing(), breaker=broken(clock, failures=1))() == "answer"


def test_a_new_process_finds_it_open_in_the_store(wrap: Any, failing: Any, clock: ManualClock) -> None:
    store, options = InMemoryStore(), {"name": "service"}
    fail(wrap(failing(ValueError()), breaker=broken(clock, failures=1), store=store, **options))
    restarted = wrap(failing(), breaker=broken(clock, failures=1), store=store, **options)
    fail(restarted, error=CircuitOpen)
    clock.advance(31)
    assert restarted() == "answer"
    assert wrap(failing(), breaker=broken(clock, failures=1), store=store, **options)() == "answer"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("store", [InMemoryStore, lambda: None], ids=["store", "database"])
def test_a_nodes_breaker_is_shared_by_runs_and_kept_in_the_graphs_store_or_in_the_database(
    tmp_path: Path, failing: Any, clock: ManualClock, is_async: bool, store: Any
) -> None:
    node, store, events = failing(*[ValueError()] * 2, answer={"said": "yes"}), store(), list[Event]()

    async def anode(state: State) -> Any:
        return node(state)

    def runner() -> Runner:
        flow = Workflow("calling", State)
        flow.add_node("call", anode if is_async else lambda s: node(s), breaker=broken(clock))
        flow.add_edge(START, "call").add_edge("call", END)
        return Runner(flow, db=tmp_path / "r.db", store=store, on_event=events.append)

    first = runner()
    assert [first.run({}).status for _ in range(3)] == ["failed"] * 3
    assert node.calls == 2
    refused = runner().run({}, thread="t1")
    assert refused.error is not None
    assert (refused.error["type"], node.calls) == ("CircuitOpen", 2)
    clock.advance(31)
    assert runner().resume("t1").output == {"said": "yes"}
    assert [(e.node, e.what) for e in events if isinstance(e, PolicyActed)] == [
        ("call", what) for what in ("opened", "refused", "refused", "probe", "closed")
    ]


def test_processes_on_one_database_see_within_a_second_what_becomes_of_a_breaker(
    tmp_path: Path, failing: Any, clock: ManualClock
) -> None:
    def runner(node: Any) -> Runner:
        flow = Workflow("calling", State).add_node(
            "call", lambda s: node(s), breaker=broken(clock, failures=1)
        )
        return Runner(flow.add_edge(START, "call").add_edge("call", END), db=tmp_path / "r.db")

    one, other = failing(ValueError(), answer={"said": "yes"}), failing(answer={"said": "yes"})
    with runner(one) as here, runner(other) as there:  # breakers of their own, as in two processes
        assert there.run({}).status == "completed"
        clock.advance(1)
        assert here.run({}).status == "failed"
        clock.advance(1)
        refused = there.run({})
        assert refused.error is not None
        assert (refused.error["type"], other.calls) == ("CircuitOpen", 1)
        clock.advance(30)
        assert here.run({}).status == "completed"  # its probe
        assert there.run({}, "t").status == "completed"
        assert (one.calls, other.calls) == (2, 2)


def test_an_async_probe_that_is_cancelled_gives_its_place_back(failing: Any, clock: ManualClock) -> None:
    breaker = broken(clock, failures=1)

    async def hang() -> None:
        await asyncio.Event().wait()

    async def scenario() -> str:
        with pytest.raises(ValueError):  # noqa: PT011 - the one given
            with_policies(failing(ValueError()), breaker=breaker)()
        clock.advance(31)
        task = asyncio.ensure_future(with_policies(hang, breaker=breaker)())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return breaker.state.name

    assert asyncio.run(scenario()) == "open"


@pytest.mark.parametrize(
    "options",
    [
        {"failures": 0},
        {"failures": 1.5},
        {"window": 0},
        {"recovery": -1},
        {"recovery": float("nan")},
        {"name": ""},
        {"on": "ValueError"},
    ],
)
def test_a_breaker_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="CircuitBreaker"):
        CircuitBreaker(**options)
