"""What a command prints of a run has no secret in it, under whatever key its values stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
from typing import Annotated, TypedDict

from dalsegno import END, START, Secret, Workflow

class State(TypedDict, total=False):
    user: str
    token: Annotated[str, Secret]
    said: list[str]

def login(state):
    token = f"{state['user']}-hunter2"
    return {"token": token, "said": [f"logged in with {token}"]}

flow = Workflow("login", State).add_node(login).add_edge(START, "login").add_edge("login", END)
"""

DOCUMENT = """
name: main
input: {user: string}
steps:
  - {name: first, strategy: subworkflow, workflow: work.py:flow, params: {user: $input.user}}
  - name: again
    strategy: loop
    max: 1
    until: "true"
    steps:
      - {name: second, strategy: subworkflow, workflow: work.py:flow, params: {user: ben}}
"""


@pytest.fixture
def work(folder: Path) -> Path:
    (folder / "work.py").write_text(PROGRAM)
    (folder / "main.yaml").write_text(DOCUMENT)
    return folder


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize("target", ["work.py:flow", "main.yaml"])
def test_what_a_run_gives_is_printed_without_its_secrets(
    dalsegno: Any, work: Path, target: str, more: list[str]
) -> None:
    got = dalsegno("run", target, "-i", '{"user": "ann"}', *more)
    assert got.code == 0
    assert "hunter2" not in got.out + got.err
    assert "logged in with **********" in " ".join(got.out.split())


def test_a_document_masks_what_a_workflow_in_python_marks(dalsegno: Any, work: Path) -> None:
    output = json.loads(dalsegno("run", "main.yaml", "-i", '{"user": "ann"}', "--thread", "t", "--json").out)[
        "output"
    ]
    assert {step: result["token"] for step, result in output["results"].items()} == dict.fromkeys(
        ("first", "second", "again"), "**********"
    )
    for name in ("run.html", "run.svg"):
        assert dalsegno("draw", "main.yaml", "--thread", "t", "-o", name).code == 0
        assert "hunter2" not in (work / name).read_text()
