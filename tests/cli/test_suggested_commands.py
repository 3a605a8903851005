"""What a message tells to type next can be typed, whatever the thread and its nodes are called."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.errors import quoted

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
