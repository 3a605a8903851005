"""What somebody sees who has `crash_test` in a test, or gives pytest a workflow and no test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

APP = """
import operator
from typing import Annotated, TypedDict
from langgraph.types import interrupt
from dalsegno import END, START, Workflow

class Notes(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]

seen = []

def look(state):
    seen.append("looked")
    return {"notes": ["looked"]}

def flow_of(name, last):
    flow = Workflow(name, Notes).add_node("look", look).add_node("last", last, interrupts=int(name == "asking"))
    return flow.add_edge(START, "look").add_edge("look", "last").add_edge("last", END)

flow = flow_of("sound", lambda state: {"notes": [state["topic"]]})
remembers = flow_of("remembers", lambda state: {"notes": [f"looked {len(seen)} times"]})
asking = flow_of("asking", lambda state: {"notes": [interrupt("Ready?")]})
"""

TEST = """
from app import flow, remembers

def test_sound(crash_test):
    report = crash_test(flow, {"topic": "rain"}, at=[3])
    assert report.kills == 2

def test_remembers(crash_test):
    crash_test(remembers, {}, at=[5, 6])
"""

Run = Callable[..., pytest.RunResult]

# Where the project is installed its entry point brings the plugin, and pytest takes none twice.
INSTALLED = bool(entry_points(group="pytest11", name="dalsegno"))


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delitem(sys.modules, "app", raising=False)  # another test's, of the same name
    pytester.makepyfile(app=APP, test_app=TEST)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.syspathinsert()
    plugin = () if INSTALLED else ("-p", "dalsegno.testing.plugin")
    return lambda *arguments: pytester.runpytest_inprocess(*plugin, "-p", "no:cacheprovider", *arguments)


def test_a_failing_test_says_which_kill_and_how_to_have_it_again(run: Run) -> None:
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([
        "E *CrashTestFailed: `remembers`, durable, killed at commits 5, 6*",
        "E *- killed after commit 5; found stopped: output: *'looked 0 times'*instead of*'looked 1 times'*",
        'E *Or: pytest test_app.py::test_remembers --crash-at "after commit 5"',
        "*= crash tests =*",
        "test_app.py::test_sound: `sound`, durable, killed at commits 3: 2 kills, 2 resumed, 0 lost, 0 missing,*",
    ])  # fmt: skip


def test_how_to_have_it_again_is_said_from_where_pytest_was_started(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pytester.mkdir("checks")
    (folder / "test_inside.py").write_text(TEST.replace("def test_sound", "def sound"))
    monkeypatch.chdir(folder)
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['E *Or: pytest test_inside.py::test_remembers --crash-at "after commit 5"'])


def test_the_command_line_comes_before_what_the_test_says(run: Run) -> None:
    result = run("test_app.py::test_remembers", "--crash-at", "before commit 4")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_remembers: `remembers`, durable, killed before commit 4: 1 kill,*"])


def test_a_workflow_needs_no_test_to_be_killed(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makefile(".json", given='{\n  "topic": "rain"\n}')
    points = ("--crash-at", "random", "--crash-kills", "2", "--crash-seed", "7")
    result = run(
        "--crash", "app.py:asking", "--crash-input=@given.json", "--crash-answers", '{"last": 1}', *points
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["crash[[]app.py:asking]: `asking`, durable, killed at random: 2 kills,*"])


def test_a_run_that_waits_or_fails_undisturbed_is_told_as_that(run: Run) -> None:
    result = run("--crash", "app.py:asking", "--crash-at", "before commit 3")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*0 of 1 runs wrong * Undisturbed, the run ends interrupted"])


def test_what_is_wrong_with_a_named_workflow_is_told_without_a_traceback(run: Run) -> None:
    result = run("--crash", "app.py:remembers", "--crash", "app.py:flwo", "--crash-at", "after commit 5")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([
        'Or: pytest --crash app.py:remembers --crash-at "after commit 5"',
        "*has no `flwo`; did you mean `flow`?",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*Traceback*")


def test_how_to_have_it_again_names_what_else_was_asked_for(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makefile(".json", given='{\n  "topic": "rain"\n}')
    more = ("--crash-profile", "fast", "--crash-linger", "0", "--crash-at", "after commit 5")
    result = run(
        "test_app.py::test_remembers", "--crash", "app.py:remembers", "--crash-input=@given.json", *more
    )
    result.assert_outcomes(failed=2)
    again = '--crash-profile fast --crash-linger 0.0 --crash-at "after commit 5"'
    result.stdout.fnmatch_lines([
        f"E *Or: pytest test_app.py::test_remembers {again}",
        f"Or: pytest --crash app.py:remembers --crash-input=@given.json {again}",
    ])  # fmt: skip


def test_input_that_is_no_json_is_refused(run: Run) -> None:
    result = run("--crash", "app.py:flow", "--crash-input", "{topic")
    result.stdout.fnmatch_lines(
        ["--crash-input: Expecting property name*Give JSON, or --crash-input=@FILE with JSON in it."]
    )


def test_the_plugin_loads_next_to_nothing_before_it_is_used() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import dalsegno.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    root = Path(__file__).parents[2]
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    assert loaded == ["dalsegno", "dalsegno.testing", "dalsegno.testing.plugin"]
