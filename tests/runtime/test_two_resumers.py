"""Of several processes that go on with a thread exactly one does; of a dead one the thread is taken over at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from typing import TypedDict
from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import RunError

class State(TypedDict, total=False):
    n: int

def first(state):
    return {"n": 1}

def second(state):
    print("inside", flush=True)
    if sys.stdin.readline().strip() == "fail":
        raise ValueError
    return {"n": state["n"] + 1}

flow = Workflow("two", State)
flow.add_sequence([("first", first), (sys.argv[2], second)]).add_edge(START, "first").add_edge(sys.argv[2], END)
runner = Runner(flow, db=sys.argv[1])
print("ready", flush=True)
words = sys.stdin.readline().split()
try:
    if words[0] == "run":
        result = runner.run({}, thread="t1")
    else:
        result = runner.resume("t1", rename=dict(word.split("=") for word in words[1:]))
    print(result.status, result.output, flush=True)
except RunError as error:
    print(type(error).__name__, getattr(getattr(error, "holder", None), "pid", None), flush=True)
"""


class Process:
    """A process that runs or resumes the thread, line by line."""

    def __init__(self, db: Path, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(db), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.pid = self._process.pid
        assert self.line() == "ready"

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def process(db: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(name: str = "second") -> Process:
        started.append(Process(db, name))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_of_three_resumers_one_runs_and_the_others_are_told_who(process: Any) -> None:
    beginner = process()
    beginner.say("run")
    assert beginner.line() == "inside"
    beginner.say("fail")
    assert beginner.line() == "failed None"
    resumers = [process() for _ in range(3)]
    for one in resumers:
        one.say("resume")
    said = {one: one.line() for one in resumers}
    (winner,) = (one for one, line in said.items() if line == "inside")
    assert {line for one, line in said.items() if one is not winner} == {f"ThreadBusy {winner.pid}"}
    winner.say("go on")
    assert winner.line() == "completed {'n': 2}"


def test_the_thread_of_a_killed_process_is_taken_over_at_once_also_in_a_changed_graph(process: Any) -> None:
    beginner = process()
    beginner.say("run")
    assert beginner.line() == "inside"
    other = process("later")
    other.say("resume second=later")
    assert other.line() == f"ThreadBusy {beginner.pid}"
    beginner.kill()
    mapped = process("later")
    mapped.say("resume second=later")
    assert mapped.line() == "inside"
    mapped.kill()
    again = process("later")  # the rename is kept with the run
    again.say("resume")
    assert again.line() == "inside"
    again.say("go on")
    assert again.line() == "completed {'n': 2}"
