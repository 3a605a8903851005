"""Policies, interrupts and crashes: what was retried, answered or spent is neither forgotten nor done twice."""

from __future__ import annotations

import asyncio
import operator
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from langgraph.types import RetryPolicy as NativeRetryPolicy

from dalsegno import (
    END,
    START,
    Budget,
    CircuitBreaker,
    Fallback,
    RateLimit,
    RetryPolicy,
    Runner,
    Timeout,
    Workflow,
    effect,
    human,
)
from dalsegno.errors import DefinitionError, RemoteError
from dalsegno.nodes.policies import ManualClock
from dalsegno.runtime.events import Event, PolicyActed


class State(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


AT_ONCE = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)


def one(node: Any, **options: Any) -> Workflow:
    return Workflow("one", State).add_node("a", node, **options).add_edge(START, "a").add_edge("a", END)


def acted(events: list[Event]) -> list[tuple[str, str]]:
    return [(e.policy, e.what) for e in events if isinstance(e, PolicyActed)]


PROGRAM = """
import os, sys
from dalsegno import END, START, Budget, RetryPolicy, Runner, Workflow, effect
from dalsegno.nodes import current_execution
from dalsegno.nodes.policies import spend
from typing import TypedDict

class State(TypedDict, total=False):
    receipt: str

def charge(log):
    with open(log, "a") as file:
        print(current_execution().attempt, file=file)
    return "receipt"

def pay(state: State):
    spend(model_calls=1)
    receipt = effect("charge", charge, sys.argv[2])
    if sys.argv[3] == "crash":
        if current_execution().attempt == 1:
            raise ConnectionError("the first attempt fails after its effect")
        os._exit(9)
    return {"receipt": receipt}

flow = Workflow("paying", State)
flow.add_node("pay", pay, retry=RetryPolicy(max_attempts=3, initial_interval=0, jitter=False))
flow.add_edge(START, "pay").add_edge("pay", END)
runner = Runner(flow, db=sys.argv[1])
if sys.argv[3] == "crash":
    runner.run({}, "t1", budget=Budget(model_calls=3))
else:
    result = runner.resume("t1")
    print(result.status, result.output, result.usage["model_calls"], result.usage["budget"])
"""


def test_a_process_that_dies_in_a_retry_goes_on_with_its_effects_and_its_budget(tmp_path: Path) -> None:
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(textwrap.dedent(PROGRAM))

    def start(how: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, str(program), str(tmp_path / "r.db"), str(log), how]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)

    crashed = start("crash")
    assert crashed.returncode == 9, crashed.stderr
    resumed = start("resume")
    assert resumed.stdout.strip() == "completed {'receipt': 'receipt'} 3 {'model_calls': 3}", resumed.stderr
    assert log.read_text().split() == ["1"], "the card was charged once"


def test_attempts_begin_anew_with_a_resume(tmp_path: Path) -> None:
    calls: list[int] = []

    def flaky(state: State) -> dict[str, Any]:
        calls.append(1)
        if len(calls) < 6:
            raise ValueError(f"failure {len(calls)}")
        return {"notes": ["done"]}

    runner = Runner(one(flaky, retry=AT_ONCE), db=tmp_path / "r.db")
    first = runner.run({}, "t1")
    assert first.error is not None
    assert (first.error["message"], first.error["attempt"]) == ("failure 3", 3)
    assert runner.resume("t1").output == {"notes": ["done"]}
    assert len(calls) == 6


class Held(ManualClock):
    """A clock whose pauses end when they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.may = threading.Event(), threading.Event()

    def sleep(self, seconds: float) -> None:
        self.held.set()
        assert self.may.wait(60)


@pytest.mark.parametrize("where", ["in its pause", "in its attempt"])
def test_what_goes_on_in_a_thread_after_its_run_was_cancelled_is_not_tried_again(
    tmp_path: Path, where: str
) -> None:
    clock, called = Held(), list[str]()

    def work(state: State) -> dict[str, Any]:
        called.append("work")
        if len(called) > 1:
            return {"notes": ["done"]}
        if where == "in its attempt":
            clock.sleep(0)
        raise ConnectionError("gone")

    def other(state: State) -> dict[str, Any]:
        called.append("other")
        return {}

    policy = RetryPolicy(max_attempts=2, initial_interval=1, jitter=False, clock=clock)
    options: dict[str, Any] = {"retry": policy} if where == "in its pause" else {"fallback": Fallback(other)}

    async def main() -> Any:
        with Runner(one(work, **options), db=tmp_path / "r.db") as runner:
            first = asyncio.create_task(runner.arun({}, "t1"))
            assert await asyncio.to_thread(clock.held.wait, 60)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            result = await runner.aresume("t1")
            clock.may.set()
            await asyncio.get_running_loop().shutdown_default_executor()
            return result

    assert asyncio.run(main()).output == {"notes": ["done"]}
    assert called == ["work", "work"], "by the run, and by its resume"


def test_a_node_whose_run_was_cancelled_while_it_waited_for_its_turn_is_not_called(tmp_path: Path) -> None:
    clock, called = Held(), list[str]()

    def work(state: State) -> dict[str, Any]:
        called.append("work")
        return {}

    async def main() -> None:
        limit = RateLimit(calls=1, per=1, clock=clock)
        with Runner(one(work, rate_limit=limit), db=tmp_path / "r.db") as runner:
            await runner.arun({}, "t1")
            second = asyncio.create_task(runner.arun({}, "t2"))
            assert await asyncio.to_thread(clock.held.wait, 60)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            clock.may.set()
            await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(main())
    assert called == ["work"]


class Asking:
    """Asks a human, and fails the first time it has the answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.failed = False

    def __call__(self, state: State) -> dict[str, Any]:
        self.asked += 1
        answer = interrupt("go on?")
        if not self.failed:
            self.failed = True
            raise ValueError("after the answer")
        return {"notes": [answer]}


def test_a_node_that_says_that_it_waits_is_retried_without_asking_again(tmp_path: Path) -> None:
    runner = Runner(one(Asking(), interrupts=1, retry=AT_ONCE), db=tmp_path / "r.db")
    assert runner.run({}, "t1").status == "interrupted"
    assert runner.resume("t1", "yes").output == {"notes": ["yes"]}


@pytest.mark.parametrize("kind", [RetryPolicy, NativeRetryPolicy])
@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        ({"unknown": "key"}, 1),
        (RemoteError("it refused", agent="far"), 1),
        (RemoteError("it is busy", agent="far", retryable=True), 3),
        (ConnectionError("no network"), 3),
    ],
    ids=["a breach of what is declared", "what asking again does not help", "what it may help", "any other"],
)
def test_a_node_that_waits_is_tried_again_after_the_same_errors_as_any_other(
    kind: Any, failure: Any, attempts: int, tmp_path: Path
) -> None:
    tried = []

    def node(state: State) -> Any:
        tried.append(state)
        if isinstance(failure, Exception):
            raise failure
        return failure

    retry = kind(max_attempts=3, initial_interval=0, jitter=False)
    for options in ({}, {"interrupts": 1}):
        tried.clear()
        assert Runner(one(node, retry=retry, **options), db=tmp_path / "r.db").run({}).status == "failed"
        assert len(tried) == attempts


def test_a_node_that_does_not_say_that_it_waits_is_not_retried_and_that_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    runner = Runner(one(Asking(), retry=AT_ONCE), db=tmp_path / "r.db", on_event=events.append)
    assert runner.run({}, "t1").status == "interrupted"
    failed = runner.resume("t1", "yes")
    assert failed.error is not None
    assert "declare `interrupts=1`" in failed.error["traceback"]
    assert acted(events) == [("retry", "refused")]
    assert runner.resume("t1").output == {"notes": ["yes"]}, "the answer is kept"


@pytest.mark.parametrize(
    "options",
    [
        {"fallback": Fallback({"notes": ["made up"]})},
        {"breaker": CircuitBreaker()},
        {"timeout": Timeout(total=5)},
        {"retry": RetryPolicy(max_elapsed=5)},
    ],
    ids=["fallback", "breaker", "total timeout", "max_elapsed"],
)
def test_what_would_count_a_humans_time_as_failure_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="interrupts=1"):
        one(Asking(), interrupts=1, **options)


def test_a_human_is_no_fallback_for_the_node_would_be_called_again_with_the_answer() -> None:
    ask = human("What now?", answer=str, writes="said")
    with pytest.raises(
        DefinitionError, match=r"the fallback `human` waits for a human\. When the answer comes"
    ):
        Workflow("asking", State).add_node("work", lambda state: {}, fallback=Fallback(ask, {}))


@pytest.mark.parametrize("where", ["fallback", "breaker", "retry", "cache", "rate_limit", "timeout"])
def test_an_interrupt_passes_every_policy(where: str) -> None:
    def ask(state: State) -> dict[str, Any]:
        return {"notes": [interrupt("?")]}

    from dalsegno import Cache, RateLimit

    policies: dict[str, Any] = {
        "fallback": {"notes": ["made up"]},
        "breaker": CircuitBreaker(failures=1),
        "retry": AT_ONCE,
        "cache": Cache(),
        "rate_limit": RateLimit(concurrency=1),
        "timeout": 5,
    }
    graph = one(ask, **{where: policies[where]}).compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    assert graph.invoke({}, config)["__interrupt__"][0].value == "?"
    assert graph.invoke(Command(resume="yes"), config)["notes"] == ["yes"]


def test_a_retry_of_a_subworkflow_is_refused_and_a_default_one_is_for_its_nodes() -> None:
    child = one(lambda s: {})
    with pytest.raises(DefinitionError, match="Put `retry` on the nodes inside it"):
        Workflow("parent", State).add_node("sub", child, retry=AT_ONCE)
    with pytest.raises(DefinitionError, match="no total"):
        Workflow("parent", State).add_node("sub", child, timeout=Timeout(total=5))
    flow = Workflow("parent", State).set_node_defaults(retry_policy=AT_ONCE).add_node("sub", child)
    assert flow.spec.nodes["sub"].attempts == 1


def test_a_nested_node_is_retried_where_it_is(tmp_path: Path) -> None:
    calls: list[str] = []

    def first(state: State) -> dict[str, Any]:
        calls.append("first")
        return {}

    def second(state: State) -> dict[str, Any]:
        calls.append("second")
        if calls.count("second") < 3:
            raise ValueError
        return {"notes": ["done"]}

    child = Workflow("child", State).add_node("first", first).add_node("second", second, retry=AT_ONCE)
    child.add_edge(START, "first").add_edge("first", "second").add_edge("second", END)
    flow = one(child)
    events: list[Event] = []
    result = Runner(flow, db=tmp_path / "r.db", on_event=events.append).run({})
    assert result.output == {"notes": ["done"]}
    assert calls == ["first", "second", "second", "second"]
    told = [(e.node, e.attempt) for e in events if isinstance(e, PolicyActed)]
    assert told == [("a/second", 1), ("a/second", 2)]


def test_a_fallback_of_a_subworkflow_answers_when_it_fails(tmp_path: Path) -> None:
    def fail(state: State) -> dict[str, Any]:
        raise ValueError

    flow = one(one(fail), fallback={"notes": ["instead"]})
    assert Runner(flow, db=tmp_path / "r.db").run({}).output == {"notes": ["instead"]}


def test_a_failed_attempts_effect_is_read_back_by_the_fallback(tmp_path: Path) -> None:
    charged: list[str] = []

    def charge(who: str) -> str:
        charged.append(who)
        return who

    def pay(state: State) -> dict[str, Any]:
        effect("charge", charge, "node")
        raise ValueError

    def instead(state: State) -> dict[str, Any]:
        return {"notes": [effect("charge", charge, "fallback")]}

    flow = one(pay, fallback=instead, budget=Budget(seconds=60))
    assert Runner(flow, db=tmp_path / "r.db").run({}).output == {"notes": ["node"]}
    assert charged == ["node"]
