"""What commands say of nodes whose names have a ``/``: the names as they were written, each for itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FLOW = """
from typing import TypedDict
from dalsegno import END, START, Loop, Workflow

class State(TypedDict, total=False):
    n: int

def add(s: State):
    return {"n": s.get("n", 0) + 1}

def fail(s: State):
    raise ValueError("not yet")

def make(last="</script>"):
    inner = Workflow("inner", State).add_node("b", add).add_edge(START, "b")
    inner.add_conditional_edges("b", lambda s: s["n"] % 2, {0: END, 1: Loop("b", max=2, on_exhausted=END)})
    made = Workflow("slashes", State).add_node("a/b", add).add_node("a", inner).add_node(last, fail)
    made.add_edge(START, "a/b").add_edge("a/b", "a").add_edge("a", last)
    return made.add_conditional_edges(last, lambda s: "on", {"on": END, "back": Loop("a/b", max=1, on_exhausted=END)})

flow, later = make(), make("<b>end</b>")
"""


@pytest.fixture
def ran(folder: Path, dalsegno: Any) -> str:
    """What was said of a run that failed."""
    (folder / "slashes.py").write_text(FLOW)
    return dalsegno("run", "slashes.py:flow", "--input", '{"n": 1}', "--thread", "t").err


def test_the_progress_numbers_a_subworkflows_supersteps_and_no_others(ran: str) -> None:
    lines = [" ".join(line.split()) for line in ran.splitlines() if line.startswith("superstep")]
    assert [" ".join(line.split()[:4]) for line in lines] == [
        "superstep 1 a/b done", "superstep 2.1 a/b done", "superstep 2.2 a/b done", "superstep 2 a done",
        "superstep 3 </script> failed",
    ]  # fmt: skip
    assert "1 → b 1/2" in lines[1]


def test_every_command_shows_the_names_as_they_were_written(ran: str, folder: Path, dalsegno: Any) -> None:
    shown = json.loads(dalsegno("show", "t", "--json").out)
    assert [(n["node"], n["times"], n["status"]) for n in shown["nodes"]] == [
        ("a/b", 1, "done"), ("a/b", 2, "done"), ("a", 1, "done"), ("</script>", 1, "failed"),
    ]  # fmt: skip
    assert (shown["error"]["node"], shown["supersteps"]) == ("</script>", 4)
    assert dalsegno("draw", "slashes.py:flow", "--thread", "t", "-o", "run.txt").code == 0
    (folder / "show.txt").write_text(dalsegno("show", "t").out)
    for name in ("run.svg", "run.html", "run.mmd", "run.dot"):
        assert dalsegno("draw", "slashes.py:flow", "--thread", "t", "--fold", "a", "-o", name).code == 0
    for file in ("show.txt", "run.txt", "run.svg", "run.html", "run.mmd", "run.dot"):
        assert "|2F" not in (folder / file).read_text()


def test_what_is_gone_is_renamed_as_the_refusal_says(ran: str, dalsegno: Any) -> None:
    refused = dalsegno("resume", "t", "--target", "slashes.py:later")
    assert "--rename '</script>=<b>end</b>'" in refused.err  # as a shell reads it: > would be a redirection
    gone_on = dalsegno(
        "resume", "t", "--target", "slashes.py:later", "--rename", "</script>=<b>end</b>", "--json"
    )
    assert json.loads(gone_on.out)["error"]["node"] == "<b>end</b>"
    assert json.loads(dalsegno("show", "t", "--json").out)["supersteps"] == 4
