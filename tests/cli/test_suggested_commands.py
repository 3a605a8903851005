"""What a message tells to type next can be typed, whatever the thread and its nodes are called."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno import Runner
from dalsegno.errors import quoted
from dalsegno.graphs.loading import load_target

ASKING = """
from typing import TypedDict
from langgraph.types import interrupt
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    topic: str

def ask(state: State):
    return {"topic": interrupt("Which?")}

def made(node):
    return Workflow("mail", State).add_node(node, ask, interrupts=1).add_edge(START, node).add_edge(node, END)

flow, renamed = made("ask $(a b)"), made("ask 'x'; y")
"""

ODD = ["two words", "$(id)", "it's", "a;b", "t1"]


@pytest.fixture
def waiting(folder: Path, dalsegno: Any) -> Any:
    """Runs that wait on threads of odd names."""
    (folder / "mail.py").write_text(ASKING)
    for thread in ODD:
        assert dalsegno("run", "mail.py:flow", "--thread", thread, "--quiet").code == 3
    return dalsegno


def suggested(text: str, command: str) -> list[str]:
    """The words of the command in backticks, as a shell reads them."""
    found = re.search(f"`dalsegno ({command} [^`]*)`", " ".join(text.split()))
    assert found is not None, text
    return shlex.split(found[1])


def read_by_bash(words: str) -> list[str]:
    """The words that bash makes of what was pasted."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    got = subprocess.run([bash, "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True)
    return [word.decode(errors="surrogateescape") for word in got.stdout.split(b"\0")[:-1]]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
@settings(max_examples=25, deadline=None)
def test_any_text_is_read_back_by_bash_from_one_line(texts: list[str]) -> None:
    words = " ".join(map(quoted, texts))
    assert words.isprintable()
    assert read_by_bash(words) == texts


def test_a_path_that_is_no_text_is_read_back() -> None:
    assert read_by_bash(quoted("caf\udce9\n.db")) == ["caf\udce9\n.db"]


@pytest.mark.parametrize("thread", ["two\nlines", "a\ttab", "its'\r\n", "\x1b[31mred", "\u202eback"])
def test_a_thread_that_a_terminal_cannot_show_can_be_pasted(folder: Path, dalsegno: Any, thread: str) -> None:
    (folder / "mail.py").write_text(ASKING)
    asked = dalsegno("run", "mail.py:flow", "--thread", thread)
    (line,) = [line for line in asked.out.splitlines() if line.startswith("  go on")]
    assert read_by_bash(line.partition("dalsegno ")[2])[-1] == thread
    refused = dalsegno("run", "mail.py:flow", "--thread", thread)
    found = re.search("`dalsegno (resume [^`]*)`", refused.err)
    assert found is not None
    assert read_by_bash(found[1]) == ["resume", thread]


def newest(dalsegno: Any, thread: str) -> str:
    """The newest checkpoint of a thread."""
    return str(json.loads(dalsegno("history", thread, "--json").out)[0]["checkpoint_id"])


@pytest.mark.parametrize("thread", ODD)
def test_a_thread_of_any_name_can_be_typed_as_it_is_suggested(waiting: Any, thread: str) -> None:
    assert suggested(waiting("fork", thread, "--at", "nope").err, "history") == ["history", thread]
    assert suggested(waiting("run", "mail.py:flow", "--thread", thread).err, "resume") == ["resume", thread]
    taken = waiting("fork", thread, "--at", newest(waiting, thread), "--as", thread)
    assert suggested(taken.err, "delete") == ["delete", thread]


def test_a_rename_of_any_name_can_be_typed_as_it_is_suggested(waiting: Any) -> None:
    refused = waiting("resume", "two words", "--target", "mail.py:renamed", "--value", "x")
    words = suggested(refused.err, "resume")
    assert words == ["resume", "two words", "--rename", "ask $(a b)=ask 'x'; y"]
    assert waiting(*words, "--target", "mail.py:renamed", "--value", "x").code == 0


TWO = """
from typing import TypedDict
from langgraph.types import interrupt
from dalsegno import END, START, Workflow

class State(TypedDict, total=False):
    answers: list[str]

def ask(state: State):
    return {"answers": [interrupt("One?"), interrupt("Two?")]}

flow = Workflow("two", State).add_node("NAME", ask, interrupts=2).add_edge(START, "NAME").add_edge("NAME", END)
"""


def two(file: Path, name: str) -> str:
    """A workflow of two questions in that file; its target."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(TWO.replace("NAME", name))
    sys.modules.pop(file.stem, None)
    return f"{file}:flow"


def go_on(out: str) -> str:
    """The command behind `go on`, or `go on with:`."""
    (line,) = [line for line in out.splitlines() if line.strip().startswith("go on")]
    return line.partition("dalsegno ")[2]


def test_a_run_that_python_began_goes_on_as_is_suggested(folder: Path, dalsegno: Any) -> None:
    with Runner(load_target(two(folder / "two.py", "ask")).graph, ".dalsegno/runs.db") as runner:
        assert runner.run({}, thread="t").status == "interrupted"
    assert go_on(dalsegno("show", "t").out) == "resume --target TARGET --value ANSWER t"

    target = two(folder / "a folder" / "asking.py", "asks")
    suggested = shlex.split(go_on(dalsegno("diff", target, "t").out))
    assert suggested == ["resume", "--target", target, "--rename", "ask=asks", "t"]
    asked = dalsegno(*suggested, "--value", "1")
    assert (asked.code, go_on(asked.out)) == (3, "resume --value ANSWER t")
    assert json.loads(dalsegno("show", "t", "--json").out)["target"] == target

    (folder / "a folder" / "asking.py").unlink()
    moved = two(folder / "moved.py", "asks")
    wrong = dalsegno("resume", "t", "--target", moved, "--value", "{", "--rename", "no=such")
    assert wrong.code != 0
    assert dalsegno("resume", "t", "--value", "2").code == 2, "what was refused is not where it is"
    assert dalsegno("resume", "t", "--target", moved, "--value", "2").code == 0
    assert json.loads(dalsegno("show", "t", "--json").out)["target"] == moved


def test_a_fork_has_a_name(waiting: Any) -> None:
    refused = waiting("fork", "t1", "--at", newest(waiting, "t1"), "--as", "")
    assert (refused.code, refused.err) == (
        2,
        "error: The new thread's name is empty. Give it one, or none.\n",
    )


def test_a_suggested_command_stands_in_one_line_however_long_it_is(dalsegno: Any, folder: Path) -> None:
    db = folder / ("a folder with a long name " * 4).strip() / "runs of this.db"
    db.parent.mkdir()
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "boom"}', "--thread", "t", "--db", str(db))
    shown = dalsegno("show", "t", "--db", str(db))
    for text in (got.out, shown.out):
        (line,) = [line for line in text.splitlines() if line.startswith("  go on")]
        assert line.endswith(f"dalsegno resume --db '{db}' t")


def test_a_project_whose_name_begins_with_a_dash_can_be_gone_into(dalsegno: Any, folder: Path) -> None:
    assert "\n  cd ./-app\n" in dalsegno("new", "--", "-app").out
