"""The help is quick and complete."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dalsegno import __version__
from dalsegno.cli import COMMANDS

ROOT = Path(__file__).parents[2]
ENGINE = {"langgraph.graph", "langgraph.pregel", "langchain_core", "networkx", "rich", "graphviz"}
HEAVY = {*ENGINE, "langgraph", "pydantic", "sqlite_utils", "dalsegno.graphs", "dalsegno.checkpoints"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], {*HEAVY, "asyncio"}),
        (["--version"], HEAVY),
        (["run", "--help"], ENGINE),  # typer itself takes pydantic for a command's options
        (["rule", "T101"], ENGINE),
        (["runs"], ENGINE),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_nothing_heavy_is_imported_before_it_is_needed(
    arguments: list[str], heavy: set[str], tmp_path: Path
) -> None:
    assert imported(arguments, heavy, tmp_path) == "0 []"


def imported(arguments: list[str], heavy: set[str], folder: Path) -> str:
    """The exit code of a command in a new process, and which of the heavy modules it has imported."""
    code = (
        "import sys\nfrom dalsegno.cli import main\n"
        f"code = main({arguments!r})\n"
        f"print(code, sorted({heavy!r} & set(sys.modules)))"
    )
    got = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
        check=True,
    )
    return got.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("runs",), ("show", "t"), ("runs", "--json")], ids=" ".join)
def test_runs_are_looked_at_without_the_engine(dalsegno: Any, folder: Path, arguments: Sequence[str]) -> None:
    assert dalsegno("run", "app.py:asking", "-q", "--thread", "t").code == 3
    assert imported(list(arguments), ENGINE, folder) == "0 []"


def test_every_command_is_in_the_help_and_has_its_own(dalsegno: Any) -> None:
    text = dalsegno("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in text
        assert dalsegno(name, "--help").code == 0


def test_the_list_has_the_commands_in_their_order_with_a_sentence_each(dalsegno: Any) -> None:
    for given in (["--help"], ["--help", "check"], []):
        got = dalsegno(*given)
        listed = (got.out + got.err).partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in listed] == list(COMMANDS)
        assert all(line.endswith(".") for line in listed)


def test_a_command_behind_two_dashes_is_done(dalsegno: Any) -> None:
    assert dalsegno("--", "rule", "T101").out == dalsegno("rule", "T101").out


def test_no_arguments_show_the_help(dalsegno: Any) -> None:
    got = dalsegno()
    assert "Usage: dalsegno" in got.out + got.err


def test_the_version_is_the_packages(dalsegno: Any) -> None:
    assert dalsegno("--version").out == f"dalsegno {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said", "asked"),
    [
        (("run", "--json", "--bogus", "x"), "No such option: --bogus", "dalsegno run"),
        (("runs", "--limit", "x", "--json"), "Invalid value for '--limit'", "dalsegno runs"),
        (("show", "--json"), "Missing argument 'RUN'", "dalsegno show"),
        (("nosuch", "--json"), "No such command 'nosuch'", "dalsegno"),
        (("db", "prune", "--keep", "x", "--json"), "Invalid value for '--keep'", "dalsegno db prune"),
        (("db", "nosuch", "--json"), "No such command 'nosuch'", "dalsegno db"),
    ],
)
def test_what_typer_refuses_is_json_where_json_is_asked_for(
    dalsegno: Any, arguments: tuple[str, ...], said: str, asked: str
) -> None:
    got = dalsegno(*arguments)
    assert (got.code, got.out) == (2, "")
    error = json.loads(got.err)["error"]
    assert error["type"] == "UsageError"
    assert error["message"].startswith(said)
    assert error["message"].endswith(f". `{asked} --help` tells what there is.")
    assert dalsegno(*(a for a in arguments if a != "--json")).err.startswith("Usage: dalsegno")


def test_help_is_help_with_json_too(dalsegno: Any) -> None:
    got = dalsegno("run", "--json", "--help")
    assert (got.code, got.out) == (0, dalsegno("run", "--help").out)
