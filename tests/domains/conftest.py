"""The documents of `examples/domains` in a folder of the tests' own, with their agents as processes on free ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from dalsegno import Runner, RunResult
from dalsegno.graphs.loading import load_target
from dalsegno.nodes.remote.clients import close
from dalsegno.testing import LocalAgents

ROOT = Path(__file__).parents[2]
DOMAINS = ROOT / "examples" / "domains"
RETRY = "{max_attempts: 3, initial_interval: 0.2, max_interval: 2}"
QUICK = "{max_attempts: 3, initial_interval: 0.01, jitter: false}"


@dataclass
class Stage:
    """A copy of the examples and its agents, which can be made to fail."""

    folder: Path
    agents: LocalAgents

    def url(self, skill: str) -> str:
        """Where the agent with a skill is."""
        return next(one.url.rstrip("/") for one in self.agents.running if skill in one.skills)

    def ask(self, method: str, **params: Any) -> Any:
        """What an agent answers to anybody."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(f"{self.url(method)}/", json=body, timeout=60, trust_env=False).json()["result"]

    def fail(self, skill: str, *faults: dict[str, Any]) -> None:
        """Let an agent fail at its next requests, in this order; what it heard is forgotten."""
        httpx.post(f"{self.url(skill)}/faults", json=list(faults), trust_env=False).raise_for_status()

    def heard(self, skill: str, method: str | None = None) -> list[str]:
        """The idempotency keys of the requests since, in order."""
        told = httpx.get(f"{self.url(skill)}/faults", trust_env=False).json()["requests"]
        return [one["key"] for one in told if one["method"] == (method or skill)]

    def document(self, name: str, *changes: tuple[str, str], quick: bool = True) -> Path:
        """A copy of a document with texts replaced; quick: with retries that hardly wait."""
        text = (self.folder / name).read_text()
        for old, new in ((RETRY, QUICK), *changes) if quick else changes:
            assert old in text, old
            text = text.replace(old, new)
        text = re.sub(r"(budget: .*), seconds: \d+", r"\1", text)  # which other policies would not keep to
        made = self.folder / f"{name.partition('.')[0]}-{len(list(self.folder.iterdir()))}.yaml"
        made.write_text(text)
        return made

    def run(self, document: Path, given: dict[str, Any], **options: Any) -> RunResult:
        """A run in this process, with a database of the stage's."""
        with self.runner(document) as runner:
            return runner.run(given, **options)

    def runner(self, document: Path, **options: Any) -> Runner:
        """A runner of a document."""
        return Runner(load_target(str(document)).graph, db=self.folder / "runs.db", **options)

    def book(self, name: str) -> list[tuple[str, str]]:
        """The book of an agent: what was done to what, in order."""
        with closing(sqlite3.connect(self.folder / ".dalsegno" / f"{name}.db")) as book:
            return book.execute("SELECT action, subject FROM entries ORDER BY id").fetchall()

    def mark(self) -> dict[str, int]:
        """How long each book is now."""
        return {name: len(self.book(name)) for name in BOOKS}

    def since(self, mark: dict[str, int]) -> dict[str, list[str]]:
        """The actions in each book since."""
        return {name: [action for action, _ in self.book(name)[mark[name] :]] for name in BOOKS}

    def command(self, *arguments: Any) -> subprocess.Popen[str]:
        """`dalsegno …` as a process of its own, in the stage's folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "dalsegno", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(self, *arguments: Any, code: int = 0) -> Any:
        """The JSON that a command prints."""
        process = self.command(*arguments, "--json")
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{out}\n{err}"
        return json.loads(out)


BOOKS = ("credit-check", "risk-assessment", "loan-processor")


def until(what: Callable[[], Any]) -> Any:
    """Wait until it is so."""
    end = time.monotonic() + 60
    while not (value := what()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The agents that the module names in `AGENTS`."""
    folder = tmp_path_factory.mktemp("domains") / "stage"
    shutil.copytree(DOMAINS, folder, ignore=shutil.ignore_patterns(".dalsegno", "__pycache__"))
    registry = folder / "agents.yaml"
    agents = LocalAgents(
        registry,
        ports="free",
        write=registry,
        only=request.module.AGENTS,
        limit=120,
        env={"AGENT_FAULTS": "1"},
    )
    with agents:
        yield Stage(folder, agents)
    close()


@pytest.fixture(autouse=True)
def _whole_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test every agent is up, and fails no more."""
    yield
    if "stage" not in request.fixturenames:
        return
    stage = request.getfixturevalue("stage")
    for name in stage.agents.ended():
        stage.agents.restart(name)
    for one in stage.agents.running:
        httpx.post(f"{one.url.rstrip('/')}/faults", json=[], trust_env=False).raise_for_status()
