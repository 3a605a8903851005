"""A target that is named is loaded in a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dalsegno.errors import CrashTestFailed, DefinitionError, TargetNotLoaded
from dalsegno.testing import crash_test

SOURCE = """
import operator
import os
import threading
from typing import Annotated, TypedDict

from langgraph.types import interrupt

from dalsegno import END, START, Workflow


class Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


def ask(state):
    return {"notes": [interrupt("Ready?")]}


def look(state):
    with open("seen", "a") as file:
        file.write(f"{os.getppid()} {threading.active_count()}\\n")
    return {"notes": ["looked"]}


print("printed on import")
flow = Workflow("named", Notes).add_sequence([look, ask]).add_edge(START, "look").add_edge("ask", END)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "app.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_named_workflow_is_killed_and_resumed(folder: Path) -> None:
    report = crash_test("app.py:flow", {"notes": []}, answers={"ask": "yes"}, at=[4, 6])
    report.raise_for_failures()
    assert report.workflow == "named"
    assert report.status == "completed"
    parents = {json.loads(line.split()[0]) for line in (folder / "seen").read_text().splitlines()}
    assert len(parents) == 1
    assert os.getpid() not in parents


def test_a_name_that_leads_nowhere_is_refused_as_on_the_command_line(folder: Path) -> None:
    with pytest.raises(TargetNotLoaded, match=r"has no `flwo`; did you mean `flow`"):
        crash_test("app.py:flwo", {"notes": []})


def test_a_missing_answer_is_named(folder: Path) -> None:
    with pytest.raises(CrashTestFailed, match=r"`ask` asks 'Ready\?', and `answers` has no answer"):
        crash_test("app.py:flow", {"notes": []}, answers={"asks": "yes"})


def test_an_argument_that_no_other_process_can_be_given_is_refused(folder: Path) -> None:
    with pytest.raises(DefinitionError, match=r"loaded in another process.*pass the workflow itself"):
        crash_test("app.py:flow", {"notes": []}, answers=lambda question: "yes")
