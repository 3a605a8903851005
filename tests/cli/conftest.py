"""A folder with workflows in it, and the command line, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dalsegno.cli import main

ROOT = Path(__file__).parents[2]

WORKFLOWS = """
import operator
from typing import Annotated, TypedDict

from langgraph.graph import StateGraph
from langgraph.types import Send, interrupt

from dalsegno import END, START, Each, Loop, Workflow


class Article(TypedDict, total=False):
    topic: str
    draft: str
    tries: int
    approved: str


def write(state: Article):
    return {"draft": state["topic"], "tries": state.get("tries", 0) + 1}


def review(state: Article):
    if state["topic"] == "boom":
        raise ValueError("no such topic: boom")


def verdict(state: Article):
    return "good" if state["tries"] > 2 else "again"


def make(name="article", again=Loop("write", max=3, on_exhausted=END)):
    made = Workflow(name, Article, version="1")
    made.add_node(write).add_node(review).add_edge(START, "write").add_edge("write", "review")
    return made.add_conditional_edges("review", verdict, {"good": END, "again": again})


flow = make()
endless = make("endless", "write")


def ask(state: Article):
    return {"approved": interrupt("Publish?")}


asking = Workflow("asking", Article)
asking.add_node("ask", ask, interrupts=1).add_edge(START, "ask").add_edge("ask", END)


class Sums(TypedDict, total=False):
    numbers: list[int]
    squares: Annotated[list[int], operator.add]


def split(state: Sums): ...


def spread(state: Sums):
    return [Send("square", {"number": n}) for n in state["numbers"]] or "total"


def square(sent: dict):
    return {"squares": [sent["number"] ** 2]}


def total(state: Sums): ...


sums = Workflow("sums", Sums)
sums.add_node(split).add_node(square).add_node(total).add_edge(START, "split")
sums.add_conditional_edges("split", spread, [Each("square", max=9), "total"])
sums.add_edge("square", "total").add_edge("total", END)

outer = Workflow("outer", Article)
outer.add_node("article", flow).add_edge(START, "article").add_edge("article", END)

native = StateGraph(Article).add_node("write", write).add_edge(START, "write").add_edge("write", END)
"""


@dataclass(frozen=True)
class Printed:
    """What one command gave."""

    code: int
    out: str
    err: str


Dalsegno = Callable[..., Printed]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `app.py` in it and nothing else."""
    (tmp_path / "app.py").write_text(WORKFLOWS)
    monkeypatch.chdir(tmp_path)
    for name in ("DALSEGNO_DB", "DALSEGNO_MODEL", "DALSEGNO_TRACEBACK", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def dalsegno(folder: Path, capsys: pytest.CaptureFixture[str]) -> Dalsegno:
    """Runs a command in this process."""

    def run(*arguments: str) -> Printed:
        capsys.readouterr()
        code = main(arguments)
        return Printed(code, *capsys.readouterr())

    return run


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a command as a process of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, wrap: Sequence[str] = ()) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [*wrap, sys.executable, "-m", "dalsegno", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
