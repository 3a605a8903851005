"""`dalsegno cancel`, `delete` and `db`: what is done to runs and to the file they are in."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

SLOW = """
from typing import TypedDict
from dalsegno import END, START, Loop, Workflow

class State(TypedDict, total=False):
    n: int

def step(state: State):
    if not state.get("n"):
        print("running", flush=True)
    return {"n": state.get("n", 0) + 1}

flow = Workflow("slow", State)
flow.add_node(step).add_edge(START, "step")
flow.add_conditional_edges("step", lambda s: "on", {"on": Loop("step", max=1_000_000, on_exhausted=END), "end": END})
"""


def test_a_run_in_another_process_is_cancelled_and_exits_5(folder: Path, dalsegno: Any, start: Any) -> None:
    (folder / "slow.py").write_text(SLOW)
    running = start("run", "slow.py:flow", "--thread", "t1", "--quiet")
    assert running.stdout.readline() == "running\n"
    busy = dalsegno("delete", "t1")
    assert (busy.code, str(running.pid) in busy.err) == (4, True)
    got = dalsegno("cancel", "t1", "--json")
    assert (got.code, json.loads(got.out)["status"]) == (0, "asked")
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 5
    assert "slow cancelled" in out
    assert json.loads(dalsegno("runs", "--json").out)[0]["status"] == "cancelled"
    again = dalsegno("resume", "t1")
    assert (again.code, "is cancelled" in again.err) == (2, True)
    assert dalsegno("cancel", "t1").code == 2


def test_a_run_that_waits_is_cancelled_at_once(dalsegno: Any) -> None:
    assert dalsegno("run", "app.py:asking", "--thread", "t1").code == 3
    got = dalsegno("cancel", "t1")
    assert (got.code, got.out) == (0, "the run of thread t1 is cancelled\n")
    assert dalsegno("cancel", "t9").code == 2


def test_a_deleted_thread_is_gone(dalsegno: Any) -> None:
    for thread in ("rain-1", "rain-2"):
        dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", thread, "-q")
    got = dalsegno("delete", "rain-1")
    assert (got.code, got.out) == (0, "thread rain-1 is deleted: 1 run and 8 checkpoints\n")
    assert dalsegno("history", "rain-1").code == 2
    assert [run["thread"] for run in json.loads(dalsegno("runs", "--json").out)] == ["rain-2"]
    missing = dalsegno("delete", "rain-1")
    assert (missing.code, "did you mean `rain-2`" in missing.err) == (2, True)
    assert json.loads(dalsegno("delete", "rain-2", "--json").out) == {
        "thread": "rain-2",
        "runs": 1,
        "checkpoints": 8,
    }


@pytest.mark.parametrize(("said", "gone"), [("n\n", False), ("y\n", True)])
def test_delete_asks_on_a_terminal(folder: Path, dalsegno: Any, said: str, gone: bool) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "-q")
    root = str(Path(__file__).parents[2])
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = root
        os.execv(sys.executable, [sys.executable, "-m", "dalsegno", "delete", "t1"])
    os.write(terminal, said.encode())
    seen = b""
    try:
        while chunk := os.read(terminal, 1000):
            seen += chunk
    except OSError:
        pass  # the other end is closed
    _, status = os.waitpid(pid, 0)
    assert b"Delete thread t1 with its 1 run and 8 checkpoints?" in seen
    assert os.waitstatus_to_exitcode(status) == (0 if gone else 1)
    assert bool(json.loads(dalsegno("runs", "--json").out)) is not gone


def test_the_database_is_counted_checked_pruned_and_emptied(dalsegno: Any) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "-q")
    dalsegno("run", "app.py:asking", "--thread", "t2", "-q")
    stats = json.loads(dalsegno("db", "stats", "--json").out)
    assert (stats["threads"], stats["runs"], stats["checkpoints"]) == (2, 2, 10)
    listed = dalsegno("db", "stats", "--threads")
    assert (listed.code, "t1" in listed.out, "t2" in listed.out) == (0, True, True)
    assert dalsegno("db", "check").out == "✓ the database is sound\n"
    assert dalsegno("db", "prune", "--older-than", "1").out == "0 checkpoints deleted\n"
    assert json.loads(dalsegno("db", "prune", "--thread", "t1", "--keep", "2", "--json").out) == {
        "deleted": 6
    }
    assert dalsegno("db", "prune").out == "2 checkpoints deleted\n"
    assert dalsegno("resume", "t2", "--value", "yes").code == 0
    assert dalsegno("db", "vacuum").code == 0
    assert json.loads(dalsegno("db", "check", "--json").out) == {"ok": True, "problems": []}


def test_the_database_is_exported_a_line_each(folder: Path, dalsegno: Any) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "-q")
    lines = [json.loads(line) for line in dalsegno("db", "export").out.splitlines()]
    assert [line["kind"] for line in lines] == ["run"] + ["checkpoint"] * 8
    assert dalsegno("db", "export", "-o", "out.jsonl", "--thread", "t1").code == 0
    assert len((folder / "out.jsonl").read_text().splitlines()) == 9
    assert dalsegno("db", "export", "-o", "no/such/folder/x").code == 2


def test_a_thread_that_is_not_there_is_not_passed_over(folder: Path, dalsegno: Any) -> None:
    """An export that holds nothing may be taken for a backup."""
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "rain-1", "-q")
    for command in (("export", "-o", "out.jsonl"), ("prune",)):
        refused = dalsegno("db", *command, "-t", "rain-1", "-t", "rain-2")
        assert (refused.code, refused.out) == (2, "")
        assert "no thread `rain-2`" in refused.err
        assert "rain-1" in refused.err
        assert "`dalsegno db stats --threads` lists them" in refused.err
    assert not (folder / "out.jsonl").exists()
    twice = dalsegno("db", "export", "-t", "rain-1", "-t", "rain-1")
    assert len(twice.out.splitlines()) == 9


@pytest.mark.parametrize("name", ["x.db", "./x.db", "x.db-wal", "link", "kept/y.db-wal"])
def test_an_export_does_not_take_the_place_of_its_database(folder: Path, dalsegno: Any, name: str) -> None:
    if "/y" in name:  # the log is not beside the link
        (folder / "kept").mkdir()
        (folder / "x.db").symlink_to("kept/y.db")
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "--db", "x.db", "-q")
    (folder / "link").symlink_to("x.db")
    Path(f"{(folder / 'x.db').resolve()}-wal").touch()
    refused = dalsegno("db", "export", "--db", "x.db", "-o", name)
    assert (refused.code, refused.out) == (2, "")
    assert "that is the database itself" in refused.err
    assert dalsegno("show", "t1", "--db", "x.db").code == 0


def test_a_database_of_langgraphs_own_saver_is_imported(folder: Path, dalsegno: Any) -> None:
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
    with sqlite.SqliteSaver.from_conn_string("official.db") as saver:
        place: Any = {"configurable": {"thread_id": "t1", "checkpoint_ns": ""}}
        saver.put(place, empty_checkpoint(), {"source": "input", "step": -1, "parents": {}}, {})
    got = dalsegno("db", "import", "official.db")
    assert (got.code, got.out) == (0, "1 checkpoint imported\n")
    assert dalsegno("history", "t1").code == 0
    assert dalsegno("db", "import", "missing.db").code == 2


@pytest.mark.parametrize("backup", ["export.jsonl", "runs.db"])
def test_what_langgraph_did_not_write_is_not_imported_and_the_message_says_what_to_do(
    folder: Path, dalsegno: Any, backup: str
) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "--db", "runs.db", "-q")
    dalsegno("db", "export", "--db", "runs.db", "-o", "export.jsonl")
    refused = dalsegno("db", "import", backup, "--db", "new.db")
    assert (refused.code, refused.out) == (2, "")
    assert f"`{backup}` cannot be imported" in refused.err
    assert "Only a database of LangGraph's SqliteSaver can be" in refused.err
    assert "name it with `--db`" in refused.err


def test_a_damaged_database_is_said(folder: Path, dalsegno: Any) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "-q")
    from dalsegno.checkpoints import Database

    database = Database(".dalsegno/runs.db")
    with database.transaction() as connection:
        connection.execute("UPDATE checkpoints SET body = x'00'")
    database.close()
    got = dalsegno("db", "check")
    assert (got.code, "cannot be read" in got.out) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        "db stats",
        "delete t1",
        "cancel t1",
        "history t1",
        "show t1",
        "resume t1",
        "diff app.py:flow t1",
        "draw app.py:flow --thread t1",
    ],
)
def test_where_no_database_is_the_message_says_where_to_look(
    folder: Path, dalsegno: Any, command: str
) -> None:
    got = dalsegno(*command.split())
    assert (got.code, got.out) == (2, "")
    assert f"there is no `.dalsegno/runs.db` in `{folder}`" in got.err
    assert "or name the database with --db" in got.err


def test_a_database_that_is_named_must_be_there(dalsegno: Any) -> None:
    assert dalsegno("db", "check", "--db", "missing.db").code == 2
