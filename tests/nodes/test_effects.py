"""An effect is done once for an execution of its node, however often the node is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import Send

from dalsegno import END, START, Each, Loop, RetryPolicy, Runner, Workflow, aeffect, effect
from dalsegno.errors import KernelError
from dalsegno.nodes import current_execution
from dalsegno.nodes.execution import CURRENT, Execution


class State(TypedDict, total=False):
    receipts: Annotated[list[str], operator.add]
    keys: Annotated[list[str], operator.add]


class Bank:
    def __init__(self) -> None:
        self.charged: list[int] = []
        self.broken = True

    def charge(self, amount: int) -> str:
        self.charged.append(amount)
        return f"receipt {len(self.charged)}"

    async def acharge(self, amount: int) -> str:
        return self.charge(amount)

    def fail_once(self) -> None:
        if self.broken:
            self.broken = False
            raise ValueError("after the effect")


def paying(bank: Bank, *, is_async: bool = False, **options: Any) -> Workflow:
    def pay(state: State) -> dict[str, Any]:
        receipt = effect("charge", bank.charge, amount=5)
        bank.fail_once()
        return {"receipts": [receipt]}

    async def apay(state: State) -> dict[str, Any]:
        receipt = await aeffect("charge", bank.acharge, amount=5)
        bank.fail_once()
        return {"receipts": [receipt]}

    flow = Workflow("paying", State)
    flow.add_node("pay", apay if is_async else pay, **options)
    return flow.add_edge(START, "pay").add_edge("pay", END)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_resumed_node_reads_the_recorded_result(tmp_path: Path, is_async: bool) -> None:
    bank = Bank()
    runner = Runner(paying(bank, is_async=is_async), db=tmp_path / "runs.db")
    assert runner.run({}, thread="t1").status == "failed"
    assert runner.resume("t1").output == {"receipts": ["receipt 1"], "keys": []}
    assert bank.charged == [5]


def test_a_retried_node_reads_the_recorded_result(tmp_path: Path) -> None:
    bank = Bank()
    flow = paying(bank, retry=RetryPolicy(max_attempts=2, initial_interval=0, jitter=False))
    assert Runner(flow, db=tmp_path / "runs.db").run({}).output == {"receipts": ["receipt 1"], "keys": []}
    assert bank.charged == [5]


def test_another_run_does_it_again(tmp_path: Path) -> None:
    bank = Bank()
    bank.broken = False
    runner = Runner(paying(bank), db=tmp_path / "runs.db")
    runner.run({}, thread="t1")
    runner.run({}, thread="t1")
    assert bank.charged == [5, 5]


def test_an_effect_whose_name_is_no_text_is_not_done(tmp_path: Path) -> None:
    done: list[Any] = []

    def pay(state: State) -> dict[str, Any]:
        effect(None, done.append, 1)  # type: ignore[arg-type]  # the mistake
        return {}

    flow = Workflow("nameless", State).add_node(pay).add_edge(START, "pay").add_edge("pay", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({})
    assert result.error is not None
    assert "names an effect None: its name is a text" in result.error["message"]
    assert done == []


def test_a_name_is_used_once_in_a_node(tmp_path: Path) -> None:
    def twice(state: State) -> dict[str, Any]:
        effect("same", list)
        effect("same", list)
        return {}

    flow = Workflow("twice", State).add_node(twice).add_edge(START, "twice").add_edge("twice", END)
    result = Runner(flow, db=tmp_path / "runs.db").run({})
    assert result.error is not None
    assert result.error["type"] == KernelError.__name__
    assert "uses the effect name `same` twice" in result.error["message"]


def test_outside_of_a_run_the_function_is_called() -> None:
    bank = Bank()
    assert effect("charge", bank.charge, amount=1) == "receipt 1"
    assert asyncio.run(aeffect("charge", bank.acharge, amount=1)) == "receipt 2"


def note_key(state: State) -> dict[str, Any]:
    execution = current_execution()
    assert execution is not None
    return {"keys": [execution.idempotency_key]}


def test_the_key_differs_between_executions_and_is_the_same_when_repeated(tmp_path: Path) -> None:
    broken = [True]

    def node(state: State) -> dict[str, Any]:
        update = note_key(state)
        seen.append(update["keys"][0])
        if broken and len(seen) == 2:
            broken.clear()
            raise ValueError
        return update

    seen: list[str] = []
    flow = Workflow("keys", State).add_node("node", node).add_edge(START, "node")
    flow.add_conditional_edges(
        "node", lambda s: "again", {"again": Loop("node", max=2, on_exhausted=END), "end": END}
    )
    runner = Runner(flow, db=tmp_path / "runs.db")
    runner.run({}, thread="t1")
    keys = runner.resume("t1").output["keys"]
    assert len(set(keys)) == 3
    assert seen[1] == seen[2]


def test_every_send_and_every_entry_of_a_subworkflow_has_a_key_of_its_own(tmp_path: Path) -> None:
    child = Workflow("child", State).add_node("node", note_key).add_edge(START, "node").add_edge("node", END)
    flow = Workflow("parent", State)
    flow.add_node("sub", child, outputs={"keys": "keys"})
    flow.add_node("sent", lambda item: note_key({}))
    flow.add_edge(START, "sub")
    flow.add_conditional_edges(
        "sub", lambda s: "again", {"again": Loop("sub", max=2, on_exhausted="fan"), "end": END}
    )
    flow.add_node("fan", lambda s: {})
    flow.add_conditional_edges("fan", lambda s: [Send("sent", i) for i in range(3)], [Each("sent", max=3)])
    flow.add_edge("sent", END)
    result = Runner(flow, db=tmp_path / "runs.db").run({})
    assert result.status == "completed"
    assert len(set(result.output["keys"])) == 6


def test_of_two_threads_of_a_node_one_may_use_a_name() -> None:
    node, done, in_step = Execution("run", ("node",), 1), list[int](), threading.Barrier(2)

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_name == "_claim" and event == "line":
            with contextlib.suppress(threading.BrokenBarrierError):
                in_step.wait(0.3)  # each goes to its next line when the other one does, while it can
        return line

    def use() -> None:
        CURRENT.set(node)
        sys.settrace(line)
        try:
            effect("same", done.append, 1)
        finally:
            sys.settrace(None)

    with ThreadPoolExecutor(2) as threads:
        failures = [one.exception() for one in [threads.submit(use) for _ in range(2)]]
    assert done == [1]
    assert sorted(map(type, failures), key=str) == [type(None), KernelError]
