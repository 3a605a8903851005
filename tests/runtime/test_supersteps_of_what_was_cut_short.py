"""What a run had used when its process died is told by its journal, as the certificate counts it."""

from __future__ import annotations

import json
import operator
import os
import runpy
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from dalsegno import END, START, Runner, Workflow
from dalsegno.runtime.executions import executions_of, longest_walk
from dalsegno.runtime.seeing import Seeing
from dalsegno.runtime.view import as_journalled, history_of
from dalsegno.viz.timeline import score

APP = """
import os, signal
from typing import TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    text: str

def step(state):
    return {"text": "x"}

def dies(state):
    os.kill(os.getpid(), signal.SIGKILL)

deep = Workflow("deep", State).add_node("a", step).add_node("b", step).add_node("c", dies)
deep.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c").add_edge("c", END)
mid = Workflow("mid", State).add_node("first", step).add_node("deep", deep)
mid.add_edge(START, "first").add_edge("first", "deep").add_edge("deep", END)
flow = Workflow("flow", State).add_node("begin", step).add_node("mid", mid)
flow.add_edge(START, "begin").add_edge("begin", "mid").add_edge("mid", END)
"""


def _dalsegno(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dalsegno", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_run_that_was_killed_inside_of_subworkflows_has_used_what_it_did_there(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    assert _dalsegno(tmp_path, "run", "app.py:flow", "--thread", "t").returncode == -signal.SIGKILL
    shown = _dalsegno(tmp_path, "show", "t")
    # begin, mid, first, deep, a and b; c is not known to have begun.
    assert "proved 7 · used 6" in shown.stdout
    assert json.loads(_dalsegno(tmp_path, "show", "t", "--json").stdout)["status"] == "stopped"


def test_what_was_done_in_a_subworkflow_of_a_subworkflow_is_seen_where_nothing_else_was_done_around_it(
    tmp_path: Path,
) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.replace('add_node("first", step).', "").replace('"first").add_edge("first", ', ""))
    killed = _dalsegno(tmp_path, "run", "app.py:flow", "--thread", "t", "--db", "runs.db")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    flow = runpy.run_path(str(app))["flow"]
    with Seeing(flow, tmp_path / "runs.db") as seeing:
        view = seeing.view(seeing.ledger.latest("t"))
        assert view.supersteps == 5
        assert [(n.node, n.status) for n in score(view.executions).notes] == [
            ("begin", "done"), ("mid/deep/a", "done"), ("mid/deep/b", "done"), ("mid/deep", "pending"),
            ("mid", "pending"),
        ]  # fmt: skip
        assert {name: node.status for name, node in view.nodes.items() if node.count == 0} == {
            "mid": "pending",
            "mid/deep": "pending",
        }
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.cancel("t")
    with Seeing(flow, tmp_path / "runs.db") as seeing:
        assert (view := seeing.view(seeing.ledger.latest("t"))).status == "cancelled"
        assert view.supersteps == 5
        assert not [e for e in view.executions if e.status == "running"]


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]


def chain(name: str, *names: str, last: Any = None) -> Workflow:
    flow = Workflow(name, State)
    for each in names:
        flow.add_node(each, last if last is not None and each == names[-1] else _step)
    for source, target in zip((START, *names), (*names, END), strict=True):
        flow.add_edge(source, target)
    return flow


def _step(state: State) -> State:
    return {"path": ["x"]}


@pytest.mark.parametrize("shape", ["side by side", "one after the other"])
def test_the_journals_walk_is_the_one_that_was_counted(tmp_path: Path, shape: str) -> None:
    flow = Workflow("flow", State)
    flow.add_node("long", chain("long", "a", "b", "c")).add_node("short", chain("short", "a"))
    flow.add_node("x", _step).add_node("y", _step).add_node("z", _step)
    if shape == "side by side":  # neither walk takes both of the long ways
        flow.add_node("late", chain("late", "a", "b", "c"))
        flow.add_edge(START, "long").add_edge("long", "x").add_edge("x", END)
        flow.add_edge(START, "y").add_edge("y", "late").add_edge("late", "z").add_edge("z", "short")
        flow.add_edge("short", END)
    else:
        names = ("long", "x", "short", "y", "z")
        for source, target in zip((START, *names), (*names, END), strict=True):
            flow.add_edge(source, target)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = runner.run({}).raise_for_status()
        assert longest_walk(executions_of(runner.ledger.executions(result.run_id))) == result.supersteps


def test_what_was_given_up_is_no_superstep_of_a_run_that_was_stopped(tmp_path: Path) -> None:
    def stop(state: State) -> State:
        raise KeyboardInterrupt

    flow = Workflow("flow", State)
    flow.add_node("outer", chain("inner", "a", "b", "stop", last=stop)).add_node("first", _step)
    flow.add_edge(START, "first").add_edge("first", "outer").add_edge("outer", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.run({}, thread="in a subworkflow")
        alone = Runner(chain("alone", "a", "stop", last=stop), db=runner.checkpointer)
        with pytest.raises(KeyboardInterrupt):
            alone.run({}, thread="alone")
        used = {}
        for thread in ("in a subworkflow", "alone"):
            run = runner.ledger.last(thread)
            assert run is not None
            assert run.status == "stopped"
            used[thread] = as_journalled(
                run, history_of(runner.ledger.executions(run.run_id), flow.spec)
            ).supersteps
    assert used == {"in a subworkflow": 4, "alone": 1}  # first, outer, a and b; a


DYING = """
import os, pathlib, signal
from typing import TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    text: str

def step(state):
    return {"text": "x"}

def dies_once(name):
    def node(state):
        died = pathlib.Path(name)
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"text": name}
    return node

flow = Workflow("flow", State)
flow.add_sequence([("a", step), ("b", dies_once("b")), ("c", step), ("d", dies_once("d"))])
flow.add_edge(START, "a").add_edge("d", END)
"""


def test_every_resume_and_the_seconds_of_killed_processes_are_known(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(DYING)

    def dalsegno(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dalsegno", *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    database = tmp_path / ".dalsegno" / "runs.db"
    assert dalsegno("run", "app.py:flow", "--thread", "t").returncode == -signal.SIGKILL
    with sqlite3.connect(database) as connection:  # as if `a` had been long
        connection.execute("UPDATE executions SET started_at = started_at - 100, seconds = 100")
    assert json.loads(dalsegno("show", "t", "--json").stdout)["usage"]["seconds"] >= 100
    refused = dalsegno("resume", "t", "--budget", "seconds=99", "--json")
    assert json.loads(refused.stdout)["error"]["type"] == "BudgetExceeded"
    assert dalsegno("resume", "t", "--budget", "seconds=200").returncode == -signal.SIGKILL
    done = json.loads(dalsegno("resume", "t", "--json").stdout)
    assert (done["status"], done["supersteps"]) == ("completed", 4)
    assert 100 <= done["usage"]["seconds"] < 200
    assert "3 times in all, after supersteps 1 and 3\n" in dalsegno("show", "t").stdout
