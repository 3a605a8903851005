"""What `patterns` prints, and what `new` begins: for every pattern a project that runs, is tested and is drawn."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from langgraph.pregel import Pregel

from dalsegno.cli.new import project
from dalsegno.graphs.patterns.catalog import Pattern, catalog

ROOT = Path(__file__).parents[2]


def test_the_patterns_are_listed_in_their_order(dalsegno: Any) -> None:
    got = dalsegno("patterns")
    assert got.code == 0
    named = [line.split()[1] for line in got.out.splitlines()[1:] if line[:1].isdigit()]
    assert named == list(catalog())


class Terminal(io.StringIO):
    """What is written on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("words", ["patterns", "rule"])
def test_what_patterns_do_and_rules_find_is_read_to_its_end_on_a_narrow_terminal(
    dalsegno: Any, monkeypatch: pytest.MonkeyPatch, words: str, columns: int
) -> None:
    whole = dalsegno(words).out.split()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert dalsegno(words).code == 0
    assert max(map(len, terminal.getvalue().splitlines())) <= columns
    assert terminal.getvalue().split() == whole


def test_the_json_of_the_patterns_has_when_and_when_not(dalsegno: Any) -> None:
    listed = json.loads(dalsegno("patterns", "--json").out)
    assert [entry["name"] for entry in listed] == list(catalog())
    assert all(entry["when"] and entry["when_not"] and entry["bound"] and entry["source"] for entry in listed)
    assert json.loads(dalsegno("patterns", "saga", "--json").out) in listed


def test_a_pattern_is_shown_with_its_diagram(dalsegno: Any) -> None:
    got = dalsegno("patterns", "saga")
    assert got.code == 0
    assert got.out.startswith("saga: Do several things in the world")
    assert "▢ reserve" in got.out
    assert "every run ends within 7 supersteps" in got.out
    for heading in ("When", "When not", "The code", "Bound", "Failure", "Source"):
        assert f"\n{heading}\n" in got.out
    assert got.out.endswith("A project with it: dalsegno new app --pattern saga\n")


def test_a_pattern_is_found_with_a_dash_and_in_capitals(dalsegno: Any) -> None:
    assert dalsegno("patterns", "Map-Reduce").out.startswith("map_reduce: ")


@pytest.mark.parametrize("command", [("patterns", "sgaa"), ("new", "app", "--pattern", "sgaa")])
def test_an_unknown_pattern_is_told_with_a_near_one(dalsegno: Any, command: tuple[str, ...]) -> None:
    got = dalsegno(*command)
    assert got.code == 2
    assert "There is no pattern `sgaa`; did you mean `saga`?" in got.err
    assert not Path("app").exists()


def test_a_new_project_runs_passes_its_test_and_draws_itself(dalsegno: Any, folder: Path) -> None:
    got = dalsegno("new", "app", "--pattern", "saga")
    assert got.code == 0
    assert "dalsegno run app.py:flow --input @input.json" in got.out
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in (
        ("dalsegno", "check", "app.py:flow"),
        ("dalsegno", "run", "app.py:flow", "--input", "@input.json"),
        ("dalsegno", "draw", "app.py:flow"),
        ("pytest", "-q", "-p", "no:cacheprovider"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder / "app",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_commands_that_are_told_are_those_to_type(dalsegno: Any, folder: Path) -> None:
    told = dalsegno("new", "my app").out.split("\n\n", 1)[1]
    assert "  cd 'my app'\n" in told
    lines = [line.strip() for line in told.splitlines()]
    assert all(line in (folder / "my app" / "README.md").read_text() for line in lines[1:])
    assert "pip install pytest" in lines[-1]  # an installation of ours does not bring it


@pytest.mark.parametrize("entry", catalog().values(), ids=lambda entry: entry.name)
def test_the_project_of_every_pattern_passes_its_test(
    entry: Pattern, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = project("app", entry)
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    tests: dict[str, Any] = {"__name__": "test_app"}
    exec(compile(files["test_app.py"], "test_app.py", "exec"), tests)
    tests["test_every_run_ends"]()
    tests["test_it_gives_what_it_should"]()
    tests["test_it_draws_itself"](tmp_path)
    assert json.loads(files["input.json"]) == sys.modules["app"].given


@pytest.mark.parametrize("entry", catalog().values(), ids=lambda entry: entry.name)
def test_a_project_runs_nothing_when_a_command_imports_it(
    entry: Pattern, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(Pregel, "stream", lambda *given, **_: ran.append(given) or iter(()))
    exec(compile(project("app", entry)["app.py"], "app.py", "exec"), {"__name__": "app"})
    assert not ran


def test_the_projects_are_formatted_as_their_own_settings_say(tmp_path: Path) -> None:
    for entry in catalog().values():
        (folder := tmp_path / entry.name).mkdir()
        for file, text in project(f"My {entry.name}!", entry).items():
            (folder / file).write_text(text)
        settings = tomllib.loads((folder / "pyproject.toml").read_text())
        assert settings["project"]["name"] == f"my-{entry.name.replace('_', '-')}"
        assert settings["project"]["dependencies"] == ["dalsegno"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--diff", "."], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_with_something_in_it_is_left_alone(dalsegno: Any, folder: Path) -> None:
    got = dalsegno("new", ".")
    assert got.code == 2
    assert "is there already, and not empty" in got.err
    assert sorted(file.name for file in folder.iterdir()) == ["app.py"]


def test_a_project_that_cannot_be_written_leaves_nothing_in_the_way(
    folder: Path, start: Any, dalsegno: Any
) -> None:
    process = start("new", "app", wrap=("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "cannot be written: File too large" in err) == (2, True), err
    assert dalsegno("new", "app").code == 0


def test_a_folder_that_cannot_be_made_is_said(dalsegno: Any, folder: Path) -> None:
    got = dalsegno("new", "app.py/inside")
    assert got.code == 2
    assert "cannot be written" in got.err


@pytest.mark.parametrize("words", ["patterns", "patterns saga --json", "new app --pattern saga", "rule T101"])
def test_a_python_that_leaves_texts_out_is_told_in_a_sentence(words: str, tmp_path: Path) -> None:
    command = [sys.executable, "-OO", "-B", "-m", "dalsegno", *words.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    got = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (got.returncode, got.stdout) == (2, "")
    assert "Python was started with -OO" in got.stderr
    assert "Traceback" not in got.stderr
