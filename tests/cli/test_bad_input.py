"""Bad input gets a clear error and loses nothing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TYPED = """
import threading
from typing import Annotated, Any, TypedDict
from pydantic import BaseModel
from dalsegno import END, START, Workflow

class Person(BaseModel):
    name: str
    age: int

class State(TypedDict, total=False):
    person: Person
    tags: list[str]
    anything: Any

class Strict(BaseModel):
    topic: str
    count: int = 0

def greet(state: State): ...
def lock(state: State):
    return {"anything": {"deep": [threading.Lock()]}}
def heed(state: Strict): ...

flow = Workflow("typed", State).add_node(greet).add_edge(START, "greet").add_edge("greet", END)
strict = Workflow("strict", Strict).add_node(heed).add_edge(START, "heed").add_edge("heed", END)
locking = Workflow("locking", State).add_sequence([greet, lock]).add_edge(START, "greet").add_edge("lock", END)
"""


@pytest.fixture
def typed(folder: Path) -> Path:
    """`typed.py`, with states that take only some values."""
    path = folder / "typed_states.py"
    path.write_text(TYPED)
    return path


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("flow", '{"persn": 1}', ["`persn`", "did you mean `person`?"]),
        ("flow", '{"person": {"name": "Ada"}}', ["`person`['age']", "Expected Person"]),
        ("flow", '{"person": {"name": "Ada", "age": "old"}}', ["`person`['age']", "valid integer"]),
        ("flow", '{"tags": "a"}', ["`tags`", "Expected list[str]", "got str"]),
        ("flow", "[1, 2]", ["is list", "a mapping of state keys"]),
        ("strict", "{}", ["lacks the key `topic` (str)"]),
        ("flow", "{person}", ["--input is no JSON", "line 1 column 2"]),
        ("flow", "@none.json", ["`none.json` cannot be read"]),
        ("flow", "[" * 100_000, ["nested too deeply"]),
    ],
)
def test_input_that_does_not_fit_names_the_key_and_what_was_expected(
    dalsegno: Any, typed: Path, name: str, given: str, said: list[str]
) -> None:
    got = dalsegno("run", f"{typed.name}:{name}", "--input", given)
    assert (got.code, got.out) == (2, "")
    for part in said:
        assert part in got.err
    assert "Traceback" not in got.err
    assert dalsegno("runs", "--json").out == "[]\n"


LACKING = """
from typing import TypedDict
from dalsegno import END, START, Workflow, human

class State(TypedDict, total=False):
    topic: str
    draft: str

def write(state: State):
    return {"draft": state["topic"]}

def look(state: State):
    raise KeyError("draft" if "topic" in state else "elsewhere")

first = Workflow("first", State).add_node(write).add_edge(START, "write").add_edge("write", END)
asked = Workflow("asked", State).add_node("ask", human("About {topic}?", writes="draft"))
asked.add_edge(START, "ask").add_edge("ask", END)
other = Workflow("other", State).add_node(look).add_edge(START, "look").add_edge("look", END)
later = Workflow("later", State).add_sequence([("pass", lambda state: None), ("write", write)])
later.add_edge(START, "pass").add_edge("write", END)
"""


@pytest.mark.parametrize("name", ["first", "asked"])
def test_a_node_that_lacks_its_input_is_told_how_to_be_given_it(
    dalsegno: Any, folder: Path, name: str
) -> None:
    """Nothing of what it says else would do: a resume has the same input."""
    (folder / "lacking.py").write_text(LACKING)
    got = dalsegno("run", f"lacking.py:{name}")
    assert got.code == 1
    assert "lacks `topic`: run it again with --input '{\"topic\": ...}'" in got.out
    assert "lacks" not in dalsegno("run", "lacking.py:other").out
    assert "lacks" not in dalsegno("run", "lacking.py:later").out, "a node before it may have had to write it"


def test_an_error_in_json_is_one_line_on_stderr(dalsegno: Any, typed: Path) -> None:
    got = dalsegno("run", f"{typed.name}:flow", "--input", '{"persn": 1}', "--json")
    assert (got.code, got.out) == (2, "")
    error = json.loads(got.err)["error"]
    assert error["type"] == "InputInvalid"
    assert "`persn`" in error["message"]


def test_a_value_that_cannot_be_kept_is_named_and_the_mark_stays(dalsegno: Any, typed: Path) -> None:
    got = dalsegno("run", f"{typed.name}:locking", "--thread", "t1")
    assert got.code == 1
    assert (
        "`anything['deep'][0]` in thread 't1' cannot be kept: its type is `_thread.lock`" in got.err + got.out
    )
    assert "dalsegno resume t1" in got.err + got.out
    history = json.loads(dalsegno("history", "t1", "--json").out)
    assert history[0]["next"] == ["lock"]
    typed.write_text(TYPED.replace("[threading.Lock()]", "[1]") + "\n# mended\n")
    __import__("sys").modules.pop(typed.stem)
    assert dalsegno("resume", "t1").code == 0


def test_what_the_kernel_refuses_is_told_without_a_traceback(dalsegno: Any, folder: Path) -> None:
    app = folder / "app.py"
    app.write_text(
        app.read_text().replace('return {"draft": state["topic"]', 'return {"draf": state["topic"]')
    )
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}')
    assert got.code == 1
    assert "Node `write` returned `draf`, which is no key of the state; did you mean `draft`?" in got.out
    assert "Traceback" not in got.err


def test_an_import_error_shows_the_users_frames_and_nothing_of_ours(dalsegno: Any, folder: Path) -> None:
    (folder / "failing.py").write_text("def load():\n    raise OSError('no config')\n\nload()\n")
    got = dalsegno("check", "failing.py:flow")
    assert (got.code, got.out) == (2, "")
    *trace, last = got.err.splitlines()
    assert [line.strip() for line in trace if line.startswith("  File")] == [
        f'File "{folder}/failing.py", line 4, in <module>',
        f'File "{folder}/failing.py", line 2, in load',
    ]
    assert last == f"error: `failing.py` failed at {folder}/failing.py:2: OSError: no config."


def test_an_invalid_workflow_is_not_run_and_shows_its_findings(dalsegno: Any, folder: Path) -> None:
    got = dalsegno("run", "app.py:endless", "--input", '{"topic": "rain"}')
    assert (got.code, got.out) == (1, "")
    assert "error T101  app.py:" in got.err
    got = dalsegno("run", "app.py:endless", "--input", '{"topic": "rain"}', "--json")
    assert (got.code, got.out) == (1, "")
    assert json.loads(got.err)["error"]["type"] == "WorkflowInvalid"


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def newer(path: Path) -> None:
    from dalsegno.checkpoints import Database

    database = Database(path)
    with database.transaction() as connection:
        connection.execute("PRAGMA user_version = 999")
    database.close()


def no_database(path: Path) -> None:
    path.write_text("once upon a time " * 500)


def truncated(path: Path) -> None:
    newer(path)
    path.write_bytes(path.read_bytes()[:2048])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (foreign, "database of another application"),
        (newer, "written by a newer Dalsegno"),
        (no_database, "is not a SQLite database"),
        (truncated, "is damaged"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("run", "app.py:flow", "--input", '{"topic": "rain"}'),
        ("resume", "t1"),
        ("runs",),
        ("show", "t1"),
        ("history", "t1"),
    ],
    ids=lambda command: command[0],
)
def test_a_file_that_is_no_database_of_ours_is_left_as_it_is(
    dalsegno: Any, folder: Path, make: Any, said: str, command: tuple[str, ...]
) -> None:
    path = folder / "odd.db"
    make(path)
    before = path.read_bytes()
    got = dalsegno(*command, "--db", str(path))
    assert (got.code, got.out) == (2, "")
    assert said in got.err
    assert "Traceback" not in got.err
    assert path.read_bytes() == before


def test_a_folder_is_no_database(dalsegno: Any, folder: Path) -> None:
    (folder / "d").mkdir()
    got = dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}', "--db", "d")
    assert (got.code, got.out) == (2, "")
    assert "`d` could not be opened" in got.err


def test_a_full_disk_fails_the_run_and_keeps_what_was_committed(
    start: Any, dalsegno: Any, folder: Path
) -> None:
    app = folder / "app.py"
    app.write_text(
        app.read_text() + "\ndef big(state: Article):\n    return {'draft': 'x' * 2_000_000}\n"
        "growing = Workflow('growing', Article).add_sequence([write, big])"
        ".add_edge(START, 'write').add_edge('big', END)\n"
    )
    limited = ("sh", "-c", 'ulimit -f 600; exec "$@"', "sh")  # blocks of 512 bytes or 1 kB
    process = start("run", "app.py:growing", "--input", '{"topic": "rain"}', "--thread", "t1", wrap=limited)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "runs.db` " in err
    assert "what was committed is safe" in err
    assert "dalsegno resume t1" in err
    assert "Traceback" not in err
    (listed,) = json.loads(dalsegno("runs", "--json").out)
    shown = json.loads(dalsegno("show", "t1", "--json").out)
    assert (listed["status"], listed["supersteps"], shown["supersteps"]) == ("failed", 1, 1)
    got = json.loads(dalsegno("resume", "t1", "--json").out)
    assert got["status"] == "completed"
    assert got["usage"]["seconds"] >= shown["usage"]["seconds"] > 0
    assert len(got["output"]["draft"]) == 2_000_000
    shown = json.loads(dalsegno("show", "t1", "--json").out)
    assert next(n["times"] for n in shown["nodes"] if n["node"] == "write") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "workflows:flow"),
        ("run", "workflows:flow"),
        ("new", "app", "--pattern", "saga"),
        ("check", "workflows:flow", "--json"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_folder_that_was_deleted_under_the_command_is_told(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    here = tmp_path / "gone"
    here.mkdir()
    command = [sys.executable, "-m", "dalsegno", *arguments]
    code = f"import os, sys; os.rmdir({str(here)!r}); os.execv({command[0]!r}, {command!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "The folder that the command was started in is gone" in done.stderr
    assert "Traceback" not in done.stderr
