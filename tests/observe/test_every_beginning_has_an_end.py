"""What listeners were told the beginning of, they are told the end of: turns whose database fails, calls given up."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.types import interrupt
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest

from dalsegno import END, START, RetryPolicy, Runner, Workflow
from dalsegno.errors import CheckpointError, NotSerializable
from dalsegno.nodes.agent import agent
from dalsegno.nodes.policies import ManualClock, Timeout
from dalsegno.observe import Prometheus, Traces
from dalsegno.runtime.events import CallFinished, CallStarted, Event, RunFinished, RunStarted
from dalsegno.testing import Reply, ScriptedChatModel
from tests.observe.test_metrics import samples
from tests.observe.test_traces import Recorded


class State(TypedDict, total=False):
    said: Any


class Heard:
    """The beginnings and ends of turns and calls."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


def test_a_turn_that_ends_because_its_state_cannot_be_kept_is_told_to_be_over(tmp_path: Path) -> None:
    flow = Workflow("lock", State).add_node("make", lambda state: {"said": threading.Lock()})
    heard, registry, recorded = Heard(), CollectorRegistry(), Recorded()
    listeners = (heard, Prometheus(registry), Traces(recorded.provider))
    flow.add_edge(START, "make").add_edge("make", END)
    with Runner(flow, db=tmp_path / "runs.db", on_event=listeners) as runner:
        for thread in ("a", "b"):
            with pytest.raises(NotSerializable):
                runner.run({}, thread=thread)
        assert runner.ledger.latest("a").status == "failed"  # type: ignore[union-attr]
    counted = samples(generate_latest(registry).decode())
    assert counted["workflow_active_executions", ("lock",)] == 0
    assert counted["workflow_executions_total", ("failed", "lock")] == 2
    assert [span.status.status_code for span in recorded.named("workflow lock")] == [StatusCode.ERROR] * 2
    told = heard.of(RunFinished)
    assert [(end.status, end.error["type"]) for end in told] == [("failed", "NotSerializable")] * 2


def test_a_turn_whose_database_is_gone_is_told_to_be_over_once(tmp_path: Path) -> None:
    def drop(state: State) -> dict[str, Any]:
        for part in tmp_path.glob("runs.db*"):
            part.unlink()
        return {"said": 1}

    flow = Workflow("gone", State).add_node(drop).add_edge(START, "drop").add_edge("drop", END)
    heard = Heard()
    with Runner(flow, db=tmp_path / "runs.db", on_event=heard) as runner, pytest.raises(CheckpointError):
        runner.run({}, thread="t")
    assert len(heard.of(RunStarted)) == len(heard.of(RunFinished)) == 1


class Stuck(ScriptedChatModel):
    """A model that does not answer while it is let wait; with a clock, longer than that gives it."""

    clock: Any = None

    async def _agenerate(self, *given: Any, **more: Any) -> Any:
        if self.clock is not None:
            self.clock.advance(6)
        await asyncio.Event().wait()


def test_a_call_that_is_cancelled_with_its_attempt_ends_with_it(tmp_path: Path) -> None:
    tries: list[int] = []
    clock = ManualClock()

    async def ask(state: State) -> dict[str, Any]:
        tries.append(1)
        if len(tries) == 1:
            await Stuck(["never"], clock=clock).ainvoke("Hello?")
        return {"said": "hello"}

    flow = Workflow("slow", State).add_edge(START, "ask").add_edge("ask", END)
    again = RetryPolicy(max_attempts=2, initial_interval=0.001)
    flow.add_node(ask, timeout=Timeout(attempt=5, clock=clock), retry=again)
    heard, registry, recorded = Heard(), CollectorRegistry(), Recorded()
    traces = Traces(recorded.provider)
    with Runner(flow, db=tmp_path / "runs.db", on_event=(heard, Prometheus(registry), traces)) as runner:
        assert runner.run({}, thread="t").output["said"] == "hello"
    assert [end.error for end in heard.of(CallFinished)] == ["Abandoned"]
    order = [type(event).__name__ for event in heard.events]
    assert order.index("CallFinished") < order.index("NodeFailed")
    (call,) = recorded.named("chat scripted")
    assert call.status.status_code is StatusCode.ERROR
    counted = samples(generate_latest(registry).decode())
    assert counted["dalsegno_model_calls_total", ("scripted", "failed", "slow")] == 1


def test_a_call_that_outlives_its_node_ends_with_the_turn(tmp_path: Path) -> None:
    kept: list[Any] = []

    async def ask(state: State) -> dict[str, Any]:
        kept.append(asyncio.create_task(Stuck(["never"]).ainvoke("Hello?")))
        await asyncio.sleep(0)
        while not heard.of(CallStarted):
            await asyncio.sleep(0.001)
        return {"said": "gone on"}

    flow = Workflow("left", State).add_node(ask).add_edge(START, "ask").add_edge("ask", END)
    heard, recorded = Heard(), Recorded()
    with Runner(flow, db=tmp_path / "runs.db", on_event=(heard, Traces(recorded.provider))) as runner:
        assert runner.run({}, thread="t").status == "completed"
    assert [end.error for end in heard.of(CallFinished)] == ["Abandoned"]
    assert len(recorded.named("chat scripted")) == 1
    kept.clear()
    gc.collect()


def buy(item: str) -> str:
    """Buy something."""
    return f"bought, {interrupt(f'Buy {item}?')}"


def test_a_tool_that_asks_a_human_has_not_failed(tmp_path: Path) -> None:
    model = ScriptedChatModel([Reply([{"name": "buy", "args": {"item": "rain"}}]), "done"])
    flow = Workflow("shop", State).add_edge(START, "ask").add_edge("ask", END)
    flow.add_node("ask", agent(model, "Go", tools=[buy], writes="said"), interrupts=1)
    registry, recorded = CollectorRegistry(), Recorded()
    listeners = (Prometheus(registry), Traces(recorded.provider))
    with Runner(flow, db=tmp_path / "runs.db", on_event=listeners) as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        assert runner.resume("t", "yes").status == "completed"
    asked, answered = recorded.named("execute_tool buy")
    assert [event.name for event in asked.events] == ["waits for a human"]
    assert {asked.status.status_code, answered.status.status_code} == {StatusCode.UNSET}
    counted = samples(generate_latest(registry).decode())
    of_the_tool = {labels: n for (name, labels), n in counted.items() if name == "dalsegno_tool_calls_total"}
    assert of_the_tool == {("interrupted", "buy", "shop"): 1, ("done", "buy", "shop"): 1}
