"""`dalsegno diff` and `resume` after the workflow was changed; `fork` goes back in time."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """
import operator, os
from typing import Annotated, TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    topic: str
    path: Annotated[list[str], operator.add]

def node(name):
    def run(state: State):
        if os.path.exists("broken") and name == open("broken").read():
            raise ValueError(f"{name} is broken")
        return {"path": [name]}
    return run

flow = Workflow("article", State)
names = NAMES
flow.add_sequence([(name, node(does)) for name, does in names])
flow.add_edge(START, names[0][0]).add_edge(names[-1][0], END)
"""


def app(folder: Path, *names: str) -> None:
    """Write the workflow; ``"new:old"`` is a node called new that does what old did."""
    pairs = [(name.partition(":")[0], name.partition(":")[2] or name) for name in names]
    (folder / "changing.py").write_text(APP.replace("NAMES", repr(pairs)))
    sys.modules.pop("changing", None)


@pytest.fixture
def stuck(folder: Path, dalsegno: Any) -> Path:
    """A folder with a run on thread t1 that failed in `review`."""
    app(folder, "write", "review", "publish")
    (folder / "broken").write_text("review")
    assert dalsegno("run", "changing.py:flow", "-i", '{"topic": "x"}', "--thread", "t1", "-q").code == 1
    (folder / "broken").unlink()
    return folder


def test_nothing_changed(stuck: Path, dalsegno: Any) -> None:
    got = dalsegno("diff", "changing.py:flow", "t1")
    assert got.code == 0
    assert "nothing changed" in got.out


def test_a_compatible_change_is_shown_and_told_by_resume(stuck: Path, dalsegno: Any) -> None:
    app(stuck, "write", "review", "publish", "archive")
    got = dalsegno("diff", "changing.py:flow", "t1")
    assert (got.code, "`archive` is new" in got.out, "compatible" in got.out) == (0, True, True)
    resumed = dalsegno("resume", "t1")
    assert resumed.code == 0
    assert "the graph has changed since: `archive` is new" in resumed.err
    assert 'path    ["write", "review", "publish", "archive"]' in resumed.out


def test_a_renamed_node_is_refused_with_the_option_that_would_do(stuck: Path, dalsegno: Any) -> None:
    app(stuck, "write", "check:review", "publish")
    refused = dalsegno("resume", "t1")
    assert refused.code == 1
    assert "dalsegno resume t1 --rename review=check" in refused.err
    got = dalsegno("diff", "changing.py:flow", "t1")
    assert got.code == 1
    assert "go on with: dalsegno resume --rename review=check t1" in got.out
    document = json.loads(dalsegno("diff", "changing.py:flow", "t1", "--json").out)
    assert (document["verdict"], document["rename"]) == ("needs mapping", {"review": "check"})
    assert document["options"] == "--rename review=check"
    assert {change["kind"] for change in document["changes"]} >= {"pending"}
    assert dalsegno("diff", "changing.py:flow", "t1", "--rename", "review=check").code == 0
    done = dalsegno("resume", "t1", "--rename", "review=check", "--json")
    assert json.loads(done.out)["output"]["path"] == ["write", "review", "publish"]


def test_a_run_that_went_on_under_a_rename_is_shown_in_todays_names(stuck: Path, dalsegno: Any) -> None:
    app(stuck, "write", "check:review", "publish")
    assert dalsegno("resume", "t1", "--rename", "review=check", "-q").code == 0
    shown = dalsegno("show", "t1").out
    assert "▢ check  ✓" in shown
    assert "review" not in shown
    assert [node["node"] for node in json.loads(dalsegno("show", "t1", "--json").out)["nodes"]] == [
        "write",
        "check",
        "publish",
    ]
    app(stuck, "write", "check:review", "publish", "archive")
    drawn = dalsegno("draw", "changing.py:flow", "--thread", "t1").out
    assert "▢ check  ✓" in drawn, "drawn as it was then, and by the names of today"


def test_an_unsafe_change_is_refused_unless_it_is_accepted(stuck: Path, dalsegno: Any) -> None:
    app(stuck, "write", "translate", "review", "publish")
    got = dalsegno("diff", "changing.py:flow", "t1")
    assert (got.code, "`translate` was inserted before `review`" in got.out) == (1, True)
    assert dalsegno("resume", "t1").code == 1
    done = dalsegno("resume", "t1", "--accept-changes", "--json")
    assert json.loads(done.out)["output"]["path"] == ["write", "review", "publish"]


@pytest.mark.parametrize("given", ["review", "=check", "review="])
def test_a_rename_has_two_sides(stuck: Path, dalsegno: Any, given: str) -> None:
    got = dalsegno("resume", "t1", "--rename", given)
    assert (got.code, "OLD=NEW" in got.err) == (2, True)


def test_what_was_used_before_a_change_is_not_held_against_what_is_proved_after_it(
    stuck: Path, dalsegno: Any
) -> None:
    app(stuck, "review")
    got = dalsegno("resume", "t1", "--accept-changes", "-q")
    assert got.code == 0, got.err
    assert "used 2 supersteps · proved 1 for the graph it went on in" in got.out


def test_a_thread_that_nobody_knows(stuck: Path, dalsegno: Any) -> None:
    assert dalsegno("diff", "changing.py:flow", "t9").code == 2


def test_a_fork_is_resumed_with_a_changed_state(stuck: Path, dalsegno: Any) -> None:
    history = json.loads(dalsegno("history", "t1", "--json").out)
    at = next(entry["checkpoint_id"] for entry in history if entry["next"] == ["write"])
    got = dalsegno("fork", "t1", "--at", at, "--as", "t2", "--set", "topic=snow", "--set", 'path=["mine"]')
    assert got.code == 0
    assert re.search(r"go on\s+dalsegno resume t2", got.out)
    done = json.loads(dalsegno("resume", "t2", "--json").out)
    assert done["output"] == {"topic": "snow", "path": ["mine", "write", "review", "publish"]}
    assert json.loads(dalsegno("show", "t1", "--json").out)["status"] == "failed"
    forked = json.loads(dalsegno("fork", "t1", "--at", at, "--json").out)
    assert (forked["status"], forked["resumed_from"]) == ("stopped", at)


def test_a_fork_that_cannot_be_is_said(stuck: Path, dalsegno: Any) -> None:
    assert "no checkpoint `x`" in dalsegno("fork", "t1", "--at", "x").err
    assert dalsegno("fork", "t9", "--at", "x").code == 2
    at = json.loads(dalsegno("history", "t1", "--json").out)[0]["checkpoint_id"]
    assert "did you mean `topic`" in dalsegno("fork", "t1", "--at", at, "--set", "topik=x").err
    assert "KEY=VALUE" in dalsegno("fork", "t1", "--at", at, "--set", "topic").err
    assert "is a thread 't1' already" in dalsegno("fork", "t1", "--at", at, "--as", "t1").err


NESTED = """
import os
from typing import TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    told: str

def write(state: State):
    if os.path.exists("broken"):
        raise ValueError("broken")
    return {"told": "written"}

def send(state: State):
    return {"told": "sent"}

parts = {n: Workflow(n, State).add_node(f).add_edge(START, f.__name__).add_edge(f.__name__, END) for n, f in
         {"writing": write, "sending": send}.items()}
flow = Workflow("article", State).add_sequence([(f"{n} it", part) for n, part in parts.items()])
flow.add_edge(START, "writing it").add_edge("sending it", END)
"""


def test_code_that_changed_in_subworkflows_is_told(folder: Path, dalsegno: Any) -> None:
    """In the one that the run is in the middle of, and in the one that it comes to."""
    (folder / "nested.py").write_text(NESTED)
    (folder / "broken").touch()
    assert dalsegno("run", "nested.py:flow", "--thread", "t1", "-q").code == 1
    (folder / "broken").unlink()
    assert "nothing changed" in dalsegno("diff", "nested.py:flow", "t1").out
    (folder / "nested.py").write_text(
        NESTED.replace('"written"', '"rewritten"').replace('"sent"', '"resent"')
    )
    sys.modules.pop("nested", None)
    document = json.loads(dalsegno("diff", "nested.py:flow", "t1", "--json").out)
    changes = [(change["kind"], change["where"]) for change in document["changes"]]
    assert (document["verdict"], changes) == (
        "compatible",
        [("code", "sending it/send"), ("code", "writing it/write")],
    )
    resumed = dalsegno("resume", "t1")
    assert "the code of `sending it/send` changed; the code of `writing it/write` changed" in resumed.err
    assert (resumed.code, "resent" in resumed.out) == (0, True)
