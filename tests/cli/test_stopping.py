"""Ctrl-C and SIGTERM leave a run that goes on from its mark; one process has a thread at a time."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

SLOW = """
import asyncio, json, os, sys, threading, time
from typing import TypedDict
from dalsegno import END, START, RetryPolicy, Workflow

class State(TypedDict, total=False):
    done: list[str]

def first(state: State):
    return {"done": ["first"]}

def last(state: State):
    return {"done": [*state["done"], "last"]}

def waiting():
    print("waiting", flush=True)
    return not os.environ.get("PASS")

def held(state: State):
    if waiting():
        threading.Event().wait(60)
    return {"done": [*state["done"], "middle"]}

async def aheld(state: State):
    if waiting():
        await asyncio.sleep(60)
    return {"done": [*state["done"], "middle"]}

def told(state: State):
    waiting()
    sys.stdin.readline()
    return {"done": [*state["done"], "middle"]}

def failing(state: State):
    if os.environ.get("PASS"):
        return {}
    os.write(1, b"waiting\\n")  # at once: two do it side by side
    os.read(0, 1)
    raise ConnectionError("gone")

def ending(state: State):
    if not os.environ.get("PASS"):
        if "END" not in os.environ:
            raise KeyboardInterrupt
        sys.exit(json.loads(os.environ["END"]))
    return {"done": [*state["done"], "middle"]}

async def aending(state: State):
    return ending(state)


def of(middle):
    made = Workflow("slow", State).add_node(first).add_node("middle", middle).add_node(last)
    return made.add_edge(START, "first").add_edge("first", "middle").add_edge("middle", "last").add_edge("last", END)

sync, coloured, listening = of(held), of(aheld), of(told)
leaving, aleaving = of(ending), of(aending)

quick = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)
beside = Workflow("beside", State).add_node("a", failing, retry=quick).add_node("b", failing, retry=quick)
beside.add_edge(START, "a").add_edge(START, "b").add_edge("a", END).add_edge("b", END)
"""


@pytest.fixture
def slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "slow.py").write_text(SLOW)
    return folder


def until(process: Any, stream: Any, word: str) -> str:
    """Read lines until one has that word in it."""
    read = ""
    for line in stream:
        read += line
        if word in line:
            return read
    raise AssertionError(f"{word!r} never came: {read}{process.stderr.read()}")


def resumed(dalsegno: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("PASS", "1")
    got = dalsegno("resume", "t1", "--json")
    assert got.code == 0, got.err
    document: dict[str, Any] = json.loads(got.out)
    shown = json.loads(dalsegno("show", "t1", "--json").out)
    assert {n["node"]: n["times"] for n in shown["nodes"]} == {"first": 1, "middle": 1, "last": 1}
    return document


@pytest.mark.parametrize("name", ["sync", "coloured"])
def test_ctrl_c_stops_at_once_and_the_run_goes_on_later(
    slow: Path, start: Any, dalsegno: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    process = start("run", f"slow.py:{name}", "--thread", "t1")
    until(process, process.stdout, "waiting")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "○ slow stopped · proved 3 · used 1 superstep" in out
    assert "go on   dalsegno resume t1" in out
    assert "Traceback" not in out + err
    (run,) = json.loads(dalsegno("runs", "--json").out)
    assert run["status"] == "stopped"
    assert resumed(dalsegno, monkeypatch)["output"] == {"done": ["first", "middle", "last"]}


def test_what_fails_in_a_thread_after_ctrl_c_is_not_tried_again(
    slow: Path, start: Any, dalsegno: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("run", "slow.py:beside", "--thread", "t1")
    for _ in "ab":
        until(process, process.stdout, "waiting")
    process.send_signal(signal.SIGINT)
    until(process, process.stderr, "stopping; Ctrl-C again stops at once")
    out, _ = process.communicate("ab" * 3, timeout=60)
    assert process.returncode == 130
    assert "waiting" not in out
    monkeypatch.setenv("PASS", "1")
    assert dalsegno("resume", "t1", "--quiet").code == 0


def test_sigterm_lets_the_superstep_end_and_the_run_goes_on_after_it(
    slow: Path, start: Any, dalsegno: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("run", "slow.py:listening", "--thread", "t1")
    until(process, process.stdout, "waiting")
    process.send_signal(signal.SIGTERM)
    until(process, process.stderr, "stopping after this superstep")
    out, err = process.communicate("go on\n", timeout=30)
    assert process.returncode == 143
    assert "used 2 supersteps" in out
    assert "last" not in err
    assert resumed(dalsegno, monkeypatch)["output"] == {"done": ["first", "middle", "last"]}


@pytest.mark.parametrize(
    ("name", "end", "said"),
    [("leaving", "null", "the node ended the program"), ("leaving", "0", "0"), ("aleaving", '"bye"', "bye")],
    ids=["nothing", "0", "words"],
)
def test_a_node_that_ends_the_program_does_not_say_that_the_run_is_completed(
    slow: Path, start: Any, dalsegno: Any, monkeypatch: pytest.MonkeyPatch, name: str, end: str, said: str
) -> None:
    monkeypatch.setenv("END", end)
    process = start("run", f"slow.py:{name}", "--thread", "t1", "--quiet")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")
    assert f"slow failed in `middle`: SystemExit: {said} · proved 3 · used 1 superstep" in out
    assert "go on   dalsegno resume t1" in out
    process = start("resume", "t1", "--json")
    document = json.loads(process.communicate(timeout=30)[0])
    assert (process.returncode, document["status"]) == (1, "stopped")
    assert document["error"] == {"type": "SystemExit", "message": said, "node": "middle", "attempt": 1}
    assert resumed(dalsegno, monkeypatch)["output"] == {"done": ["first", "middle", "last"]}


def test_a_node_that_is_interrupted_by_itself_stops_the_run_as_ctrl_c_does(
    slow: Path, start: Any, dalsegno: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("run", "slow.py:leaving", "--thread", "t1", "--quiet")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "○ slow stopped" in out
    assert resumed(dalsegno, monkeypatch)["output"] == {"done": ["first", "middle", "last"]}


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "killed"])
def test_what_a_run_has_used_is_told_while_it_goes_on_and_after_a_kill(
    slow: Path, start: Any, dalsegno: Any, ends: bool
) -> None:
    process = start("run", "slow.py:sync", "--thread", "t1")
    until(process, process.stdout, "waiting")
    if ends:
        process.kill()
        process.wait()
    status = "stopped" if ends else "running"
    (listed,) = json.loads(dalsegno("runs", "--json").out)
    shown = json.loads(dalsegno("show", "t1", "--json").out)
    for run in (listed, shown):
        assert (run["status"], run["supersteps"], run["proved"]) == (status, 1, 3)
    assert "1/3" in dalsegno("runs").out
    assert "proved 3 · used 1\n" in dalsegno("show", "t1").out


def test_a_second_sigterm_ends_the_process_and_until_then_nobody_else_has_the_thread(
    slow: Path, start: Any, dalsegno: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("run", "slow.py:sync", "--thread", "t1")
    until(process, process.stdout, "waiting")
    busy = dalsegno("resume", "t1")
    assert (busy.code, busy.out) == (4, "")
    assert f"held by process {process.pid} on " in busy.err
    assert f"held by     process {process.pid} on " in dalsegno("show", "t1").out
    process.send_signal(signal.SIGTERM)
    until(process, process.stderr, "a second SIGTERM stops at once")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err.endswith("stopped; go on with: dalsegno resume t1\n")
    assert resumed(dalsegno, monkeypatch)["output"] == {"done": ["first", "middle", "last"]}


def test_only_the_document_is_on_stdout_whatever_nodes_and_their_programs_print(
    slow: Path, start: Any
) -> None:
    (slow / "noisy.py").write_text(
        "import os, subprocess\nfrom typing import TypedDict\nfrom dalsegno import END, START, Workflow\n"
        "print('imported')\n"
        "class State(TypedDict, total=False):\n    x: int\n"
        "def shout(state: State):\n"
        "    print('printed'); os.write(1, b'written\\n'); subprocess.run(['echo', 'echoed'])\n"
        "flow = Workflow('noisy', State).add_node(shout).add_edge(START, 'shout').add_edge('shout', END)\n"
    )
    process = start("run", "noisy.py:flow", "--json")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out)["status"] == "completed"
    assert sorted(err.split()) == ["echoed", "imported", "printed", "written"]


def test_on_a_terminal_the_running_node_is_shown_and_the_cursor_comes_back(
    slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import pty
    import subprocess
    import sys

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dalsegno", "run", "slow.py:sync", "--thread", "t1"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", "COLUMNS": "90"},
    )
    os.close(theirs)
    seen = ""
    try:
        while "of at most 3  middle " not in seen:
            seen += os.read(ours, 4096).decode("utf-8", "ignore")
        process.send_signal(signal.SIGINT)
        while "go on" not in seen:
            seen += os.read(ours, 4096).decode("utf-8", "ignore")
        assert process.wait(30) == 130
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    assert "superstep 1  first" in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "dalsegno resume t1" in seen
