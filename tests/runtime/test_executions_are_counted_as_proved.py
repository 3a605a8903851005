"""What a run says it executed is never more than its certificate, whatever was tried, asked or killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal, TypedDict

from langgraph.types import Command, interrupt

from dalsegno import END, START, RetryPolicy, Runner, Workflow


class State(TypedDict, total=False):
    text: str


def test_what_waits_for_a_human_is_executed_once(tmp_path: Path) -> None:
    flow = Workflow("asks", State)
    flow.add_node("ask", lambda state: {"text": interrupt("a?") + interrupt("b?")}, interrupts=2)
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        assert runner.run({}, thread="t").usage["executions"] == 0
        assert runner.resume("t", "x").status == "interrupted"
        result = runner.resume("t", "y")
        assert result.output == {"text": "xy"}
        assert result.usage["executions"] == runner.report.certificate.executions == 1


def test_what_is_tried_again_and_handled_is_executed_once(tmp_path: Path) -> None:
    def fails(state: State) -> Any:
        raise ValueError("no")

    def handle(state: State) -> Command[Literal["after"]]:
        return Command(goto="after")

    flow = Workflow("tries", State)
    retry = RetryPolicy(max_attempts=3, initial_interval=0.001, retry_on=ValueError)
    flow.add_node("try", fails, retry=retry, error_handler=handle)
    flow.add_node("after", lambda state: {"text": "done"})
    flow.add_edge(START, "try").add_edge("try", "after").add_edge("after", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({}, thread="t")
        assert result.status == "completed"
        assert result.usage["executions"] == runner.report.certificate.executions == 2


def test_a_failure_that_was_resumed_is_executed_once(tmp_path: Path) -> None:
    broken = [True]

    def sometimes(state: State) -> State:
        if broken:
            raise OSError("no")
        return {"text": "yes"}

    flow = Workflow("fails", State).add_node("first", lambda state: {}).add_node(sometimes)
    flow.add_edge(START, "first").add_edge("first", "sometimes").add_edge("sometimes", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        assert runner.run({}, thread="t").usage["executions"] == 1
        broken.clear()
        assert runner.resume("t").usage["executions"] == 2


def test_what_ended_beside_a_failure_and_was_not_taken_is_executed_once(tmp_path: Path) -> None:
    failing, failed = [True], threading.Event()

    def fails(state: State) -> Any:
        if failing:
            failed.set()
            raise OSError("no")

    def ends_later(state: State) -> Any:
        failed.wait(60)
        return {"text": "late"}

    flow = Workflow("beside", State).add_node(fails).add_node(ends_later)
    flow.add_edge(START, "fails").add_edge(START, "ends_later").add_edge("fails", END).add_edge(
        "ends_later", END
    )
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        failure = runner.run({}, thread="t")
        done = sum(e.status == "done" for e in runner.ledger.executions(failure.run_id))
        assert failure.usage["executions"] == done
        failing.clear()
        result = runner.resume("t")
        assert result.status == "completed"
        assert result.usage["executions"] == runner.report.certificate.executions == 2


def test_a_handler_that_is_called_once_more_beside_a_question_is_executed_once(tmp_path: Path) -> None:
    calls: list[str] = []

    def fails(state: State) -> Any:
        raise OSError("no")

    def handle(state: State) -> Command[Literal["after"]]:
        calls.append("handle")
        return Command(goto="after")

    flow = Workflow("handled", State).add_node(fails, error_handler=handle)
    flow.add_node("asks", lambda state: {"text": interrupt("now?")}, interrupts=1).add_node(
        "after", lambda state: {}
    )
    flow.add_edge(START, "fails").add_edge(START, "asks")
    flow.add_edge("fails", "after").add_edge("asks", END).add_edge("after", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        for number in range(20):  # mostly the handler has ended before the question is kept
            assert runner.run({}, thread=f"t{number}").status == "interrupted"
            result = runner.resume(f"t{number}", "yes")
            assert result.usage["executions"] == runner.report.certificate.executions == 3
    assert len(calls) == 40


APP = """
import os, signal
from pathlib import Path
from typing import TypedDict
from dalsegno import END, START, Each, Workflow
from langgraph.types import Send

class State(TypedDict, total=False):
    text: str

def step(state):
    return {"text": "x"}

def dies(state):
    if not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)

inner = Workflow("inner", State).add_node("a", step).add_node("dies", dies)
inner.add_edge(START, "a").add_edge("a", "dies").add_edge("dies", END)
flow = Workflow("flow", State).add_node("begin", step).add_node("worker", lambda sent: {}).add_node("inner", inner)
flow.add_conditional_edges(START, lambda state: "begin", ["begin"])
flow.add_conditional_edges("begin", lambda state: [Send("worker", n) for n in range(3)], [Each("worker", max=3)])
flow.add_edge("worker", "inner").add_edge("inner", END)
"""


def test_executions_before_a_kill_are_counted_with_those_after_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)

    def dalsegno(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-m", "dalsegno", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    assert dalsegno("run", "app.py:flow", "--thread", "t").returncode == -signal.SIGKILL
    result = json.loads(dalsegno("resume", "t", "--json").stdout)
    proved = json.loads(dalsegno("check", "app.py:flow", "--json").stdout)["certificate"]["executions"]
    assert (result["status"], result["usage"]["executions"]) == ("completed", proved)
