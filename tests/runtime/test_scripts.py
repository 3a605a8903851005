"""A run goes on in a process that has another name for the file that its types are defined in: a script's is
`__main__`, that of a child process `__mp_main__`, and where the file is imported it has its own name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import enum, multiprocessing, sys
from dataclasses import dataclass
from typing import Optional, TypedDict

from langgraph.types import interrupt
from pydantic import BaseModel

from dalsegno import END, START, Runner, Workflow

class Color(enum.Enum):
    RED = "red"

@dataclass
class Shape:
    color: Color

class Picture(BaseModel):
    shape: Shape

class Note(TypedDict):
    text: str

class State(TypedDict, total=False):
    color: Color
    shapes: list[Shape]
    pictures: dict[str, Picture]
    note: Optional[Note]
    told: list[str]

def make(state: State):
    shape = Shape(Color.RED)
    return {"color": Color.RED, "shapes": [shape], "pictures": {"a": Picture(shape=shape)}, "note": {"text": "b"}}

def paint(state: State):
    shapes = [*state["shapes"], Shape(state["color"]), state["pictures"]["a"].shape]
    return {"shapes": shapes, "told": [interrupt("Well?")]}

def look(state: State):
    assert all(shape == Shape(Color.RED) for shape in state["shapes"])
    return {"told": [*state["told"], interrupt("Really?"), str(len(state["shapes"]))]}

flow = Workflow("pictures", State)
flow.add_node(make, calls=0).add_node(paint, calls=0, interrupts=1).add_node(look, calls=0, interrupts=1)
flow.add_edge(START, "make").add_edge("make", "paint").add_edge("paint", "look").add_edge("look", END)

def begin():
    with Runner(flow, db="runs.db", target="pictures.py:flow") as runner:
        assert runner.run({}, thread="t").status == "interrupted"

if __name__ == "__main__":
    if sys.argv[1] == "begin":
        child = multiprocessing.get_context("spawn").Process(target=begin)
        child.start()
        child.join()
        sys.exit(child.exitcode)
    with Runner(flow, db="runs.db") as runner:
        assert runner.difference("t").changes == ()
        print(runner.resume("t", "yes"))
"""


def run(folder: Path, *words: str) -> str:
    """What a Python process says, which has to end well."""
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode in (0, 3), ended.stderr
    return ended.stdout


def test_a_run_that_a_script_began_goes_on_where_it_is_imported_and_in_the_script_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "pictures.py").write_text(SCRIPT)
    run(tmp_path, "pictures.py", "begin")
    diff = ("diff", "pictures.py:flow", "t", "--db", "runs.db", "--json")
    assert json.loads(run(tmp_path, "-m", "dalsegno", *diff))["changes"] == []
    (elsewhere := tmp_path / "elsewhere").mkdir()  # the script said of its run what it is of
    resume = ("resume", "t", "--value", "well", "--db", "../runs.db", "--json")
    resumed = json.loads(run(elsewhere, "-m", "dalsegno", *resume))
    assert (resumed["status"], resumed["interrupts"][0]["value"]) == ("interrupted", "Really?")
    assert "'told': ['well', 'yes', '3']" in run(tmp_path, "pictures.py", "resume")
