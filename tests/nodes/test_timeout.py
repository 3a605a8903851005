"""What takes too long is ended, or given up where it cannot be; nothing comes of it then."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.config import get_stream_writer
from langgraph.types import TimeoutPolicy

from dalsegno import END, START, RetryPolicy, Runner, Workflow, effect
from dalsegno.errors import AttemptAbandoned, DefinitionError, NodeTimeout
from dalsegno.nodes.cancelling import ended
from dalsegno.nodes.policies import ManualClock, Timeout, with_policies
from dalsegno.nodes.policies.metering import spend
from dalsegno.nodes.policies.workers import WORKERS, Job
from dalsegno.runtime.events import Event, PolicyActed


class State(TypedDict, total=False):
    said: str


def test_a_call_in_time_gives_its_answer_or_its_error(wrap: Any, failing: Any, clock: ManualClock) -> None:
    timeout = Timeout(attempt=5, clock=clock)
    assert wrap(failing(), timeout=timeout)() == "answer"
    with pytest.raises(KeyError, match="its own"):
        wrap(failing(KeyError("its own")), timeout=timeout)()
    with pytest.raises(TimeoutError, match="its own"):
        wrap(failing(TimeoutError("its own")), timeout=timeout)()


def test_a_sync_call_that_takes_too_long_is_abandoned(clock: ManualClock, acted: list[Any]) -> None:
    release = threading.Event()

    def slow() -> str:
        clock.advance(6)
        release.wait()
        return "too late"

    call = with_policies(slow, timeout=Timeout(attempt=5, clock=clock), name="slow", on_action=acted.append)
    with pytest.raises(NodeTimeout, match=r"`slow` took longer than 5 seconds; .* abandoned") as caught:
        call()
    release.set()
    assert (caught.value.node, caught.value.seconds) == ("slow", 5)
    assert [(a.policy, a.what) for a in acted] == [("timeout", "abandoned")]


def test_a_call_is_timed_from_its_start_and_not_from_when_somebody_waits_for_it() -> None:
    moved, release = threading.Event(), threading.Event()

    class WaitsLate(ManualClock):
        def wait(self, *args: Any, **how: Any) -> bool:
            assert moved.wait(60)
            return super().wait(*args, **how)

    clock = WaitsLate()

    def slow() -> None:
        clock.advance(6)
        moved.set()
        release.wait()

    with pytest.raises(NodeTimeout, match="took longer than 5 seconds"):
        with_policies(slow, timeout=Timeout(attempt=5, clock=clock), name="slow")()
    release.set()


def test_an_async_call_that_takes_too_long_is_cancelled(clock: ManualClock, acted: list[Any]) -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            clock.advance(6)
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    call = with_policies(slow, timeout=Timeout(attempt=5, clock=clock), on_action=acted.append)
    with pytest.raises(NodeTimeout, match="it was cancelled"):
        asyncio.run(call())
    assert ended == ["cleaned up"]
    assert acted[0].what == "cancelled"


def test_the_systems_clock_ends_calls_of_both_colours() -> None:
    release = threading.Event()

    async def aslow() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NodeTimeout):
        with_policies(release.wait, timeout=0.01)()
    release.set()
    with pytest.raises(NodeTimeout):
        asyncio.run(with_policies(aslow, timeout=0.01)())


def test_what_loses_its_cancellation_is_cancelled_again() -> None:
    """As `asyncio.wait_for` of Python 3.11 does, when a piece of a stream comes at the very moment."""
    cleaned_up: list[str] = []

    async def loses_one() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.append("to the end")

    async def main() -> int:
        with pytest.raises(NodeTimeout):
            await with_policies(loses_one, timeout=0.01)()
        task = asyncio.ensure_future(loses_one())
        await asyncio.sleep(0)
        await ended(task)
        assert task.cancelled()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(main()) == 0
    assert cleaned_up == ["to the end"] * 2


def test_a_timeout_of_centuries_is_one(wrap: Any, failing: Any) -> None:
    assert wrap(failing(), timeout=1e12)() == "answer"
    assert wrap(failing(), timeout=Timeout(attempt=1e300, total=1e301))() == "answer"


def test_the_total_bounds_attempts_and_pauses(wrap: Any, failing: Any, clock: ManualClock) -> None:
    node = failing(*[ValueError()] * 9)
    retry = RetryPolicy(max_attempts=9, initial_interval=4, backoff_factor=1, jitter=False, clock=clock)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - which one it is does not matter
        wrap(node, retry=retry, timeout=Timeout(attempt=2, total=10, clock=clock))()
    assert (node.calls, clock.slept) == (3, [4, 4])
    assert "its total time would be over" in caught.value.__notes__[0]


def test_the_last_attempt_has_only_what_is_left_of_the_total(clock: ManualClock) -> None:
    left: list[float] = []
    release = threading.Event()

    def slow() -> None:
        left.append(0)
        clock.advance(7)
        release.wait()

    retry = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False, clock=clock)
    with pytest.raises(NodeTimeout, match="longer than 3 seconds"):
        with_policies(slow, retry=retry, timeout=Timeout(attempt=5, total=10, clock=clock))()
    release.set()
    assert len(left) == 2


def test_a_worker_thread_sees_the_context_of_its_caller() -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable")
    variable.set("of the caller")
    assert with_policies(variable.get, timeout=5)() == "of the caller"


def test_what_an_abandoned_job_gives_goes_nowhere() -> None:
    release, told = threading.Event(), threading.Event()

    def work() -> str:
        release.wait()
        told.set()
        return "too late"

    job = WORKERS.start(Job(work))
    assert job.abandon()
    release.set()
    assert told.wait(5)
    assert not job.done.is_set()


@pytest.mark.parametrize("with_runner", [True, False])
def test_no_model_is_called_for_an_abandoned_attempt(
    tmp_path: Path, clock: ManualClock, with_runner: bool
) -> None:
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    chat, go_on, ended = FakeListChatModel(responses=["rain"]), threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def ask(state: State) -> dict[str, Any]:
        clock.advance(6)
        go_on.wait()
        try:
            chat.invoke("?")
        except AttemptAbandoned as error:
            raised.append(error)
        finally:
            ended.set()
        return {}

    flow = Workflow("flow", State).add_node("ask", ask, timeout=Timeout(attempt=5, clock=clock))
    flow.add_edge(START, "ask").add_edge("ask", END)
    if with_runner:
        assert Runner(flow, db=tmp_path / "r.db").run({}).status == "failed"
    else:
        with pytest.raises(NodeTimeout):
            flow.compile().invoke({})
    go_on.set()
    assert ended.wait(5)
    assert "no model is called for it" in str(raised[0])


class Late:
    """A sync node whose first attempt is given up, and then tries to act on the world."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.attempts = 0
        self.charged: list[str] = []
        self.refused: list[BaseException] = []

    def __call__(self, state: State) -> dict[str, Any]:
        self.attempts += 1
        if self.attempts > 1:
            return {"said": effect("charge", self.charge, "in time")}
        write = get_stream_writer()
        write("early")
        self.clock.advance(6)
        self.go_on.wait()
        write("late")
        try:
            effect("charge", self.charge, "too late")
        except AttemptAbandoned as error:
            self.refused.append(error)
        self.ended.set()
        return {"said": "too late"}

    def charge(self, when: str) -> str:
        self.charged.append(when)
        return when


@pytest.mark.parametrize("is_async", [False, True])
def test_an_abandoned_node_has_no_effects_emits_nothing_and_its_answer_is_not_taken(
    tmp_path: Path, clock: ManualClock, is_async: bool
) -> None:
    late, events = Late(clock), list[Event]()
    flow = Workflow("late", State)
    retry = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    flow.add_node("pay", late, timeout=Timeout(attempt=5, clock=clock), retry=retry)
    flow.add_edge(START, "pay").add_edge("pay", END)
    runner = Runner(flow, db=tmp_path / "r.db", on_event=events.append)

    async def stream() -> list[Any]:
        return [chunk async for chunk in made]

    if is_async:
        made = runner.astream({}, stream_mode="custom")
        chunks = asyncio.run(stream())
    else:
        made = runner.stream({}, stream_mode="custom")
        chunks = list(made)
    late.go_on.set()
    assert late.ended.wait(5)
    assert made.result is not None
    assert made.result.output == {"said": "in time"}
    assert (late.charged, chunks) == (["in time"], ["early"])
    assert isinstance(late.refused[0], AttemptAbandoned)
    acted = [(e.policy, e.what, e.attempt) for e in events if isinstance(e, PolicyActed)]
    assert acted == [("timeout", "abandoned", 1), ("retry", "again", 1)]


@pytest.mark.parametrize("given", [5, 5.0, timedelta(seconds=5), TimeoutPolicy(run_timeout=5)])
def test_a_timeout_is_taken_in_every_form(given: Any) -> None:
    flow = Workflow("flow", State).add_node("a", lambda s: {}, timeout=given)
    assert flow.spec.nodes["a"].timeout == 5


@pytest.mark.parametrize("given", [0, -1, True, "5", float("nan"), TimeoutPolicy(idle_timeout=5)])
def test_a_timeout_that_cannot_be_meant_is_refused(given: Any) -> None:
    with pytest.raises(DefinitionError, match="timeout="):
        Workflow("flow", State).add_node("a", lambda s: {}, timeout=given)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attempt": 0},
        {"total": -1},
        {"attempt": 5, "total": 4},
        {"attempt": True},
        {"total": float("inf")},
    ],
)
def test_a_timeout_that_contradicts_itself_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Timeout"):
        Timeout(**options)


def test_a_subworkflow_that_takes_too_long_is_cancelled(tmp_path: Path) -> None:
    async def wait(state: State) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    child = Workflow("child", State).add_node("wait", wait).add_edge(START, "wait").add_edge("wait", END)
    flow = Workflow("parent", State).add_node("sub", child, timeout=0.05)
    flow.add_edge(START, "sub").add_edge("sub", END)
    result = Runner(flow, db=tmp_path / "r.db").run({})
    assert result.status == "failed"
    assert result.error is not None
    assert "Timeout" in result.error["type"]


def test_a_thread_in_a_subworkflow_that_was_given_up_has_no_effects_calls_no_model_and_is_not_retried(
    tmp_path: Path, drive: Callable[..., Any], clock: ManualClock
) -> None:
    is_over, is_done = threading.Event(), threading.Event()
    charged: list[str] = []
    refused: list[BaseException] = []

    def pay(state: State) -> dict[str, Any]:
        clock.advance(6)
        assert is_over.wait(60)
        for late in (lambda: effect("charge", charged.append, "late"), lambda: spend(model_calls=1)):
            try:
                late()
            except AttemptAbandoned as error:
                refused.append(error)
        is_done.set()
        raise ConnectionError("a retry would help, if anybody waited")

    def instead(state: State) -> dict[str, Any]:
        is_over.set()
        assert is_done.wait(60)
        return {"said": "instead"}

    retry = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)
    inner = Workflow("inner", State).add_node("pay", pay, retry=retry, calls=1)
    inner.add_edge(START, "pay").add_edge("pay", END)
    child = Workflow("child", State).add_node("inner", inner).add_edge(START, "inner").add_edge("inner", END)
    flow = Workflow("parent", State).add_node(
        "sub", child, timeout=Timeout(attempt=5, clock=clock), fallback={"said": "given up"}
    )
    flow.add_node(instead).add_edge(START, "sub").add_edge("sub", "instead").add_edge("instead", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = drive(runner, "run", {}, thread="t").raise_for_status()
    assert (result.output["said"], charged, len(refused)) == ("instead", [], 2)
    assert result.usage["model_calls"] == 0
