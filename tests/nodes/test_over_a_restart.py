"""What breakers, caches and budgets know is known to the next process too: in the store, or in the run's database."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """
import json, sys
from typing import TypedDict

from langgraph.store.sqlite import SqliteStore

from dalsegno import END, START, Budget, Cache, CircuitBreaker, Runner, Workflow
from dalsegno.nodes.policies import ManualClock, spend, with_policies


class State(TypedDict, total=False):
    n: int


def work(state):
    print("called", flush=True)
    if sys.argv[2] == "fail":
        raise ConnectionError("gone")
    return {"n": 7}


def spending(state):
    spend(model_calls=1)
    return {"n": state.get("n", 0) + 1}


clock = ManualClock(float(sys.argv[3]))
flow = Workflow("restarted", State)
if sys.argv[1] == "breaker":
    flow.add_node("work", work, breaker=CircuitBreaker(failures=1, recovery=30, clock=clock))
elif sys.argv[1] == "cache":
    flow.add_node("work", work, cache=Cache(store="graph", ttl=60, clock=clock))
else:
    child = Workflow("child", State).add_node("a", spending).add_node("b", spending)
    child.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    flow.add_node("work", child)
flow.add_edge(START, "work").add_edge("work", END)
with SqliteStore.from_conn_string("store.db") as store:
    store.setup()
    with Runner(flow, db="runs.db", store=None if sys.argv[4:] else store) as runner:
        if sys.argv[1] != "budget":
            result = runner.run({})
        elif sys.argv[2] == "run":
            result = runner.run({}, "t1", budget=Budget(model_calls=1))
        else:
            more = int(sys.argv[2])
            result = runner.resume("t1", budget=Budget(model_calls=more) if more else None)
        print(json.dumps(result.to_dict()))
"""


def process(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """How often the node was called in a process of its own, and the run's result."""
    done = subprocess.run(
        [sys.executable, "-c", APP, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    *called, result = done.stdout.splitlines()
    return len(called), json.loads(result)


@pytest.mark.parametrize("kept", [(), ("in the database",)])
def test_a_breaker_that_opened_is_open_in_the_next_process_and_closes_for_good(
    tmp_path: Path, kept: tuple[str, ...]
) -> None:
    assert process(tmp_path, "breaker", "fail", "1000", *kept)[0] == 1
    called, refused = process(tmp_path, "breaker", "answer", "1010", *kept)
    assert (called, refused["error"]["type"]) == (0, "CircuitOpen")
    assert "open for 20 seconds more" in refused["error"]["message"]
    called, probed = process(tmp_path, "breaker", "answer", "1031", *kept)
    assert (called, probed["status"]) == (1, "completed")
    assert probed["usage"]["policies"] == {"work": {"breaker probe": 1, "breaker closed": 1}}
    called, closed = process(tmp_path, "breaker", "answer", "1032", *kept)
    assert (called, "policies" in closed["usage"]) == (1, False)


def test_a_cached_answer_is_given_by_the_next_process_while_it_is_good(tmp_path: Path) -> None:
    assert process(tmp_path, "cache", "answer", "1000")[0] == 1
    called, hit = process(tmp_path, "cache", "fail", "1059")
    assert (called, hit["output"]) == (0, {"n": 7})
    called, stale = process(tmp_path, "cache", "fail", "1060")
    assert (called, stale["status"]) == (1, "failed")


def test_a_budget_is_inherited_by_a_subworkflow_and_kept_by_the_next_process(tmp_path: Path) -> None:
    _, stopped = process(tmp_path, "budget", "run", "0")
    assert stopped["error"]["type"] == "BudgetExceeded"
    assert "has spent 1 of 1 model calls (`work/a` 1), and `work/b` needs more" in stopped["error"]["message"]
    _, again = process(tmp_path, "budget", "0", "0")
    assert again["error"]["message"] == stopped["error"]["message"]
    _, done = process(tmp_path, "budget", "2", "0")
    assert (done["status"], done["output"]) == ("completed", {"n": 2})
    assert done["usage"]["model_calls"] == 2


KILLED = """
import os, signal, sys, time
from typing import TypedDict

from dalsegno import END, START, Budget, Runner, Workflow
from dalsegno.checkpoints import Ledger
from dalsegno.nodes.policies import ManualClock

clock = ManualClock(0)


class State(TypedDict, total=False):
    n: int


def long(state):
    clock.advance(100)
    limit = time.monotonic() + 50
    while time.monotonic() < limit:
        if runner.ledger.last("t1").usage.get("seconds", 0) >= 100:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)


flow = Workflow("long", State).add_node("long", long).add_edge(START, "long").add_edge("long", END)
with Runner(flow, db="runs.db") as runner:
    runner.ledger = Ledger(runner.checkpointer.database, runner.checkpointer.serde, heartbeat=0.01)
    if sys.argv[1] == "run":
        runner.run({}, "t1", budget=Budget(seconds=60, clock=clock))
    else:
        print(runner.resume("t1", budget=Budget(clock=clock)).error["message"])
"""


def test_the_time_of_a_node_in_flight_is_not_forgotten_when_its_process_is_killed(tmp_path: Path) -> None:
    def started(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, how]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    killed = started("run")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "The run has spent 100 of 60 seconds, and `long` needs more." in started("resume").stdout
