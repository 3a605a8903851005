"""Loading a target: what is imported for it is kept from the garbage collector, what the user's code makes is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_FLOW = """
import gc
from typing import TypedDict
from dalsegno import END, START, Workflow

class State(TypedDict):
    n: int

class Notes:
    def __init__(self):
        self.file = open("notes.txt", "w")
        self.myself = self  # nothing but the garbage collector ends it
        self.file.write(f"collecting: {gc.isenabled()}, frozen: {gc.get_freeze_count() > 50_000}")

notes = Notes()
flow = Workflow("flow", State)
flow.add_node("add", lambda state: {"n": state["n"] + 1})
flow.add_edge(START, "add")
flow.add_edge("add", END)
"""


def _environment() -> dict[str, str]:
    """Where this package is found from any folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path)}


@pytest.mark.parametrize("target", ["flow.py:flow", "flow.py", ".", "flow:flow"])
def test_what_the_users_code_made_is_ended_with_the_process(tmp_path: Path, target: str) -> None:
    (tmp_path / "flow.py").write_text(_FLOW)
    command = [sys.executable, "-m", "dalsegno", "check", target]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "notes.txt").read_text() == "collecting: True, frozen: True"


@pytest.mark.parametrize("target", ["flwo.py:flow", "no/such/flow.py", "flwo:flow"])
def test_who_errs_in_the_name_waits_for_no_import(tmp_path: Path, target: str) -> None:
    (tmp_path / "flow.py").write_text(_FLOW)
    program = (
        "import sys; from dalsegno.cli import main; code = main(['check', sys.argv[1]]); "
        "sys.exit(code if 'langgraph' not in sys.modules else 'langgraph is imported')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    assert done.returncode == 2, done.stdout + done.stderr
