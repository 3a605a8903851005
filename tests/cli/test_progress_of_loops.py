"""How often a loop was taken is told as it is counted, also where a run goes on in the middle of a subworkflow."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

APP = """
import os
from typing import TypedDict
from dalsegno import END, START, Loop, Workflow

class State(TypedDict, total=False):
    entry: int
    tries: int

def enter(state: State):
    return {"entry": state.get("entry", 0) + 1, "tries": 0}

def attempt(state: State):
    if (state["entry"], state["tries"]) == (2, 2) and os.path.exists("broken"):
        raise ValueError("broken")
    return {"tries": state["tries"] + 1}

def enough(state: State):
    return "good" if state["tries"] == 4 else "again"

def whole(state: State):
    return "good" if state["entry"] == 3 else "enter"

inner = Workflow("inner", State).add_node("NAME", attempt).add_edge(START, "NAME")
inner.add_conditional_edges("NAME", enough, {"good": END, "again": Loop("NAME", max=5, on_exhausted=END)})
flow = Workflow("outer", State).add_node(enter).add_node("OUTER", inner)
flow.add_edge(START, "enter").add_edge("enter", "OUTER")
flow.add_conditional_edges("OUTER", whole, {"good": END, "enter": Loop("enter", max=4, on_exhausted=END)})
"""


def app(folder: Path, outer: str, inner: str) -> None:
    (folder / "looping.py").write_text(APP.replace("OUTER", outer).replace("NAME", inner))
    sys.modules.pop("looping", None)


def ways(err: str) -> list[str]:
    """Node and way of each line that tells of a way."""
    lines = [line.split() for line in err.splitlines() if "→" in line]
    return [f"{words[2]} {' '.join(words[6:])}" for words in lines]


@pytest.mark.parametrize(("outer", "inner"), [("sub", "attempt"), ("part", "toil")])
def test_a_run_that_goes_on_in_a_subworkflow_counts_on(
    folder: Path, dalsegno: Any, outer: str, inner: str
) -> None:
    app(folder, "sub", "attempt")
    (folder / "broken").touch()
    first = dalsegno("run", "looping.py:flow", "--thread", "t")
    assert first.code == 1
    counted = ["again → attempt 1/5", "again → attempt 2/5", "again → attempt 3/5", "good → END"]
    begun = [f"sub/attempt {way}" for way in counted]
    assert ways(first.err) == [*begun, "sub → enter 1/4", *begun[:2]]

    (folder / "broken").unlink()
    app(folder, outer, inner)
    renamed = (
        ("--rename", f"sub={outer}", "--rename", f"sub/attempt={outer}/{inner}") if outer != "sub" else ()
    )
    resumed = dalsegno("resume", "t", *renamed)
    assert resumed.code == 0, resumed.err
    rest = [f"{outer}/{inner} {way.replace('attempt', inner)}" for way in counted]
    assert ways(resumed.err) == [*rest[2:], f"{outer} → enter 2/4", *rest, f"{outer} good → END"]


BESIDE = """
from typing import TypedDict
from langgraph.types import Send
from dalsegno import END, START, Each, Loop, Workflow

class State(TypedDict, total=False):
    tries: int

def attempt(state: State):
    return {"tries": state.get("tries", 0) + 1}

def enough(state: State):
    return "good" if state["tries"] == 3 else "again"

deep = Workflow("deep", State).add_node(attempt).add_edge(START, "attempt")
deep.add_conditional_edges("attempt", enough, {"good": END, "again": Loop("attempt", max=3, on_exhausted=END)})
part = Workflow("part", State).add_node("deep", deep).add_edge(START, "deep").add_edge("deep", END)
flow = Workflow("beside", State).add_node("spread", lambda state: {}).add_node("part", part, outputs={})
flow.add_edge(START, "spread").add_edge("part", END)
flow.add_conditional_edges("spread", lambda state: [Send("part", {})] * 3, {"all": Each("part", max=3)})
"""


def test_parallel_entries_of_a_subworkflow_count_their_loops_apart(folder: Path, dalsegno: Any) -> None:
    (folder / "beside.py").write_text(BESIDE)
    ran = dalsegno("run", "beside.py:flow", "--thread", "t")
    assert ran.code == 0, ran.err
    counted = Counter(line.split("  ")[-1] for line in ran.err.splitlines() if "again" in line)
    assert counted == {"again → attempt 1/3": 3, "again → attempt 2/3": 3}
