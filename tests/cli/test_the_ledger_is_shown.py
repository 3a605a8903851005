"""`runs`, `show` and `history`: what the ledger tells."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.cli.history import _in_words
from dalsegno.distributed.orders import Letter, Place, keep
from dalsegno.graphs.loading import load_target
from dalsegno.runtime.queueing import enqueue


@pytest.fixture
def three_runs(dalsegno: Any) -> Any:
    """One completed, one failed, one that waits."""
    dalsegno("run", "app.py:flow", "--input", '{"topic": "rain"}', "--thread", "done")
    dalsegno("run", "app.py:flow", "--input", '{"topic": "boom"}', "--thread", "broken")
    dalsegno("run", "app.py:asking", "--thread", "open")
    return dalsegno


def test_runs_are_listed_newest_first(three_runs: Any) -> None:
    rows = [re.split(r" {2,}", line) for line in three_runs("runs").out.splitlines()]
    assert [row[1:4] for row in rows] == [
        ["workflow", "thread", "status"],
        ["asking", "open", "‖ interrupted"],
        ["article", "broken", "✗ failed"],
        ["article", "done", "✓ completed"],
    ]
    assert [row[6:] for row in rows[1:]] == [
        ["0/1", "ask asks Publish?"],
        ["1/8", "review: ValueError: no such topic: boom"],
        ["6/8"],
    ]


def test_a_question_of_a_run_that_was_given_up_is_not_listed(three_runs: Any) -> None:
    """Who answers it would answer that of the run that came after it."""
    three_runs("run", "app.py:asking", "--thread", "open", "--abandon")
    rows = [re.split(r" {2,}", line) for line in three_runs("runs", "--thread", "open").out.splitlines()]
    assert [row[-1] for row in rows[1:]] == ["ask asks Publish?", f"given up for {rows[1][0]}"]
    assert [row[3] for row in rows[1:]] == ["‖ interrupted", "‖ interrupted"]


def test_a_resumed_run_is_listed_with_its_first_start_and_all_the_time_it_took(
    dalsegno: Any, folder: Path
) -> None:
    (folder / "naps.py").write_text("""
import time

from app import Article, ask

from dalsegno import END, START, Workflow

flow = Workflow("naps", Article).add_node("nap", lambda state: time.sleep(1.2)).add_node("ask", ask, interrupts=1)
flow.add_edge(START, "nap").add_edge("nap", "ask").add_edge("ask", END)
""")
    dalsegno("run", "naps.py:flow", "--thread", "t")
    with closing(sqlite3.connect(folder / ".dalsegno" / "runs.db")) as database, database:
        database.execute("UPDATE runs SET created_at = created_at - 3600")
    ended = dalsegno("resume", "t", "--value", "yes").out.splitlines()[0]
    row = re.split(r" {2,}", dalsegno("runs").out.splitlines()[1])
    assert row[4:6] == ["60 min ago", ended.rpartition(" · ")[2]]
    assert float(row[5].removesuffix(" s")) >= 1.2


def test_runs_are_narrowed(three_runs: Any) -> None:
    def threads(*options: str) -> list[str]:
        return [run["thread"] for run in json.loads(three_runs("runs", "--json", *options).out)]

    assert threads() == ["open", "broken", "done"]
    assert threads("--status", "failed") == ["broken"]
    assert threads("--workflow", "article") == ["broken", "done"]
    assert threads("--thread", "done") == ["done"]
    assert threads("--limit", "1") == ["open"]
    assert "--limit shows more" in three_runs("runs", "-n", "1").out
    assert three_runs("runs", "--status", "running").out == "No such runs.\n"
    assert three_runs("runs", "--status", "lost").code == 2


def test_the_json_of_runs_has_times_bounds_and_errors(three_runs: Any) -> None:
    _, broken, done = json.loads(three_runs("runs", "--json").out)
    assert list(done) == [
        "run_id",
        "thread",
        "workflow",
        "version",
        "status",
        "target",
        "created_at",
        "started_at",
        "finished_at",
        "seconds",
        "supersteps",
        "proved",
        "resumes",
        "error",
    ]
    assert (done["supersteps"], done["proved"], done["error"]) == (6, 8, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", done["created_at"])
    assert broken["error"] == {
        "type": "ValueError",
        "message": "no such topic: boom",
        "node": "review",
        "attempt": 1,
    }


def test_no_runs_yet_is_no_error_and_makes_no_database(dalsegno: Any, folder: Path) -> None:
    assert dalsegno("runs").out == "No runs yet. `dalsegno run TARGET` makes one.\n"
    assert dalsegno("runs", "--json").out == "[]\n"
    assert not (folder / ".dalsegno").exists()


def test_a_run_is_shown_with_what_each_node_did(three_runs: Any, folder: Path) -> None:
    got = three_runs("show", "done")
    assert got.code == 0
    assert got.out.startswith("✓ article completed\n")
    assert f"target      {folder / 'app.py'}:flow\n" in got.out
    assert "supersteps  proved 8 · used 6\n" in got.out
    assert 'input       {"topic": "rain"}\n' in got.out
    rows = [re.split(r" {2,}", line) for line in got.out.splitlines()[-3:]]
    assert [[row[0], row[1], *row[3:]] for row in rows] == [
        ["node", "times", "attempts", "status"],
        ["write", "3", "1", "✓ done"],
        ["review", "3", "1", "✓ done"],
    ]


def test_a_failed_run_is_shown_with_its_error_and_the_users_frames(three_runs: Any, folder: Path) -> None:
    got = three_runs("show", "broken")
    assert "✗ failed in `review`: ValueError: no such topic: boom\n" in got.out
    assert re.findall(r'File "([^"]+)"', got.out) == [str(folder / "app.py")]
    assert "go on       mend the cause, then: dalsegno resume broken\n" in got.out
    assert "langgraph" in three_runs("show", "broken", "--traceback").out


def test_a_waiting_run_is_shown_with_its_question(three_runs: Any) -> None:
    got = three_runs("show", "open")
    assert "ask asks    Publish?\n" in got.out
    assert "go on       dalsegno resume --value ANSWER open\n" in got.out
    (question,) = json.loads(three_runs("show", "open", "--json").out)["interrupts"]
    assert (question["node"], question["value"]) == ("ask", "Publish?")


def test_what_is_given_with_a_question_is_shown_with_it(dalsegno: Any, folder: Path) -> None:
    """LangGraph's own examples ask so: nobody can say whether it is correct who does not see it."""
    (folder / "correct.py").write_text("""
from typing import Annotated, TypedDict

from langgraph.types import interrupt

from dalsegno import END, START, Secret, Workflow


class State(TypedDict, total=False):
    draft: str
    token: Annotated[str, Secret]


def ask(state: State):
    return {"draft": interrupt({"question": "Is this correct?", "draft": state["draft"], "by": state["token"]})}


flow = Workflow("correct", State).add_node("ask", ask, interrupts=1).add_edge(START, "ask").add_edge("ask", END)
""")
    given = '{"draft": "Rain falls.", "token": "hunter2"}'
    asked = 'Is this correct?  {"draft": "Rain falls.", "by": "**********"}'
    assert asked in dalsegno("run", "correct.py:flow", "--input", given, "--thread", "t").out
    assert asked.replace("  ", " ") in dalsegno("runs").out
    assert 'Is this correct?  {"draft": "Rain falls."' in dalsegno("show", "t").out


def test_a_run_that_the_engine_has_is_shown_to_go_on_by_itself(dalsegno: Any, folder: Path) -> None:
    target = load_target(str(folder / "app.py:flow"))
    with Runner(target.graph, folder / ".dalsegno" / "runs.db", target=target.target) as runner:
        run_id = enqueue(runner, {"topic": "rain"}, "handed")
        keep(runner.ledger, run_id, "handed", Letter(Place("127.0.0.1:7233", "", "nights")), first=True)
    shown = dalsegno("show", "handed").out
    assert re.search(r"goes on +by itself, when a worker takes it from queue nights", shown)
    assert re.search(
        r"go on +dalsegno resume handed +# if the engine has lost it", shown
    )  # else it is refused


def test_a_run_is_named_by_its_id_the_beginning_of_it_or_its_thread(three_runs: Any) -> None:
    whole = json.loads(three_runs("show", "done", "--json").out)
    for name in (whole["run_id"], whole["run_id"][:8]):
        assert json.loads(three_runs("show", name, "--json").out) == whole


def test_the_json_of_a_run_has_its_nodes(three_runs: Any) -> None:
    document = json.loads(three_runs("show", "broken", "--json").out)
    assert [(n["node"], n["times"], n["status"], n["error"]) for n in document["nodes"]] == [
        ("write", 1, "done", None),
        ("review", 1, "failed", "ValueError: no such topic: boom"),
    ]
    assert document["certificate"]["supersteps"] == 8
    assert document["input"] == {"topic": "boom"}


def test_a_run_that_was_followed_by_another_says_so(three_runs: Any) -> None:
    first = json.loads(three_runs("show", "broken", "--json").out)["run_id"]
    three_runs("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "broken", "--abandon")
    got = three_runs("show", first)
    assert "came after this one" in got.out
    assert "go on" not in got.out


@pytest.mark.parametrize("command", [("history", "opne"), ("draw", "app.py:asking", "--thread", "opne")])
def test_an_unknown_thread_says_where_the_known_ones_are_listed(three_runs: Any, command: Any) -> None:
    got = three_runs(*command)
    assert got.code == 2
    assert "did you mean `open`?" in got.err
    assert "`dalsegno runs` lists what was" in got.err


def test_the_time_of_a_resumed_run_is_that_of_its_last_turn(three_runs: Any) -> None:
    assert re.search(r"paused      .*\(after [^ ]+ m?s\)\n", three_runs("show", "open").out)
    three_runs("resume", "open", "--value", "yes")
    assert re.search(
        r"ended       .*\(after [^ ]+ m?s since it was resumed\)\n", three_runs("show", "open").out
    )


def test_a_resumed_run_says_after_which_superstep_it_went_on(three_runs: Any, folder: Path) -> None:
    three_runs("resume", "broken")
    got = three_runs("show", "broken")
    assert re.search(r"resumed     \S+ \S+, after superstep 1\n", got.out)
    assert [line.split()[1] for line in got.out.splitlines()[-2:]] == ["1", "1"]


def test_a_run_whose_names_move_the_cursor_is_shown_harmlessly(dalsegno: Any) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "\\u001b[2Jrain"}', "--thread", "\x1b[31mred")
    for command in (("runs",), ("show", "\x1b[31mred"), ("history", "\x1b[31mred")):
        got = dalsegno(*command)
        assert got.code == 0
        assert "\x1b" not in got.out


NAMED = """
from typing import TypedDict

from dalsegno import END, START, Workflow, human


class State(TypedDict, total=False):
    text: str


def fails(state: State):
    raise ValueError("no")


flow = Workflow("art\\x1b[2Jicle", State)
flow.add_node("as\\x1b[2Jk", human("Go on?", writes="text")).add_node("LAST\\x1b[2J", fails)
flow.add_edge(START, "as\\x1b[2Jk").add_edge("as\\x1b[2Jk", "LAST\\x1b[2J").add_edge("LAST\\x1b[2J", END)
"""


def test_what_a_workflow_calls_its_nodes_cannot_write_on_the_terminal_either(
    dalsegno: Any, folder: Path
) -> None:
    (folder / "named.py").write_text(NAMED)
    (folder / "renamed.py").write_text(NAMED.replace("LAST", "OTHER"))
    thread = "\x1b[31mred"
    for code, *words in (
        (3, "run", "named.py:flow", "--thread", thread),
        (0, "draw", "named.py:flow", "-o", "graph.dot"),
        (0, "draw", "renamed.py:flow", "-o", "graph.dot", "--against", "named.py:flow"),
        (0, "draw", "named.py:flow", "-o", "graph.dot", "--thread", thread, "--watch"),
        (0, "diff", "renamed.py:flow", thread),
        (1, "resume", thread, "--target", "renamed.py:flow", "--value", '"yes"'),
        (0, "show", thread),
    ):
        got = dalsegno(*words)
        assert got.code == code, (words, got.err)
        assert "\x1b" not in got.out + got.err, words


def test_the_history_of_a_thread_is_its_checkpoints(three_runs: Any) -> None:
    rows = json.loads(three_runs("history", "done", "--json").out)
    assert [(row["step"], row["source"], row["next"]) for row in rows] == [
        (6, "loop", []),
        (5, "loop", ["review"]),
        (4, "loop", ["write"]),
        (3, "loop", ["review"]),
        (2, "loop", ["write"]),
        (1, "loop", ["review"]),
        (0, "loop", ["write"]),
        (-1, "input", []),
    ]
    assert list(rows[0]) == ["checkpoint_id", "step", "source", "run_id", "created_at", "next"]
    table = three_runs("history", "done", "--limit", "3").out
    assert len(table.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "brokn"), "no run `brokn`"),
        (("show", "brokn"), "A thread's name will do too; did you mean `broken`?"),
        (("resume", "brokn"), "did you mean `broken`?"),
        (("history", "brokn"), "did you mean `broken`?"),
        (("draw", "app.py:flow", "-o", "x.svg", "--thread", "brokn"), "did you mean `broken`?"),
        (("draw", "app.py:flow", "-o", "x.svg", "--run", "zz"), "There is no run `zz`"),
        (("draw", "app.py:asking", "-o", "x.svg", "--thread", "done"), "is a run of `article`"),
        (("resume", "done"), "there is nothing to go on with"),
        (("resume", "broken", "--value", "yes"), "no question waits"),
        (("runs", "--db", "missing.db"), "There is no database `missing.db` (--db)"),
    ],
)
def test_what_is_not_there_exits_2_and_says_what_is(
    three_runs: Any, arguments: tuple[str, ...], said: str
) -> None:
    got = three_runs(*arguments)
    assert (got.code, got.out) == (2, "")
    assert said in got.err
    assert "Traceback" not in got.err


@pytest.mark.parametrize(("columns", "left_out"), [(60, 2), (80, 1), (100, 0)])
def test_on_a_narrow_terminal_a_history_tells_what_comes_next_rather_than_when_it_was_written(
    three_runs: Any, monkeypatch: pytest.MonkeyPatch, columns: int, left_out: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert three_runs("history", "done").code == 0
    heads, *rows = terminal.getvalue().splitlines()
    assert heads.split() == [h for h in HEADS if h not in ("written", "source")[:left_out]]
    assert {"write", "review"} <= {row.split()[-1] for row in rows}
    assert all(len(row) <= columns for row in (heads, *rows))


HEADS = ("checkpoint", "step", "source", "run", "written", "next")


def test_a_history_has_the_times_of_this_machines_clock_as_everything_else_has(
    three_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    try:
        stamps = [entry["created_at"] for entry in json.loads(three_runs("history", "open", "--json").out)]
        shown = three_runs("history", "open").out
        words = _in_words(["2020-01-02T23:59:59.123456+00:00", None, "no time"])
        today = _in_words([datetime.now(UTC).isoformat()])
    finally:
        monkeypatch.undo()
        time.tzset()
    tokyo = timezone(timedelta(hours=9))
    assert all(f"{datetime.fromisoformat(stamp).astimezone(tokyo):%H:%M:%S}" in shown for stamp in stamps)
    assert words == ["2020-01-03 08:59:59.123", "–", "–"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d\d\d", today[0])


def test_nothing_is_the_beginning_of_no_run(dalsegno: Any) -> None:
    assert dalsegno("run", "app.py:flow", "--input", '{"topic": "t"}', "--quiet").code == 0
    got = dalsegno("show", "")
    assert (got.code, got.out) == (2, "")
    assert "There is no run ``" in got.err
