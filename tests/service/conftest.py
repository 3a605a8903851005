"""The real service, in a process of its own, and a client of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 60.0
TOKEN = "a-token-that-nobody-guesses"
OTHER = "another-token-that-nobody-guesses"

WORKFLOWS = """
import operator
import os
import time
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from dalsegno import END, START, RetryPolicy, Secret, Workflow, effect, human

HERE = Path(__file__).parent


class State(TypedDict, total=False):
    topic: str
    draft: str
    verdict: str
    key: Annotated[str, Secret]


def note(name, state):
    # One write: several threads and processes append to the same file.
    with open(HERE / "done.txt", "ab", buffering=0) as file:
        file.write(f"{name} {state['topic']}\\n".encode())


def held(topic):
    gate = HERE / f"hold {topic.partition(' ')[0]}"
    until = time.monotonic() + 60
    while gate.exists() and time.monotonic() < until:
        time.sleep(0.01)


def write(state: State):
    note("write", state)
    return {"draft": f"All about {state['topic']}."}


def check(state: State):
    note("check", state)
    held(state["topic"])
    if state["topic"] == "boom":
        raise ValueError(f"no such topic, and the key is {state.get('key')}")
    if state["topic"] == "half a pair":
        raise ValueError("half a pair: " + chr(0xD800))
    return {}


def publish(state: State):
    note("publish", state)
    return {}


def chain(name, *nodes):
    made = Workflow(name, State, version="1")
    before = START
    for function in nodes:
        title = getattr(function, "__name__", "ask")
        made.add_node(title, function)
        made.add_edge(before, title)
        before = title
    return made.add_edge(before, END)


article = chain("article", write, check, publish)


def ask(deadline=None, **more):
    return human("Publish {draft}?", answer=Literal["yes", "no"], writes="verdict", deadline=deadline, **more)


asking = chain("asking", write, ask(), publish)
hurried = chain("hurried", write, ask(1, default="no"), publish)


def dies(state: State):
    note("dies", state)
    held(state["topic"])
    if (HERE / "deadly").exists():
        os._exit(7)
    return {}


deadly = chain("deadly", dies)


def quits(state: State):
    raise SystemExit(f"enough of {state['key']}")


quitting = chain("quitting", quits)
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives once it gives something."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {LIMIT:g} s: {what}")


class Zygote:
    """The process that forks services; see `zygote.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._lock = threading.Lock()

    def ask(self, **asked: Any) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it, and what it started."""
        self._process.communicate(timeout=LIMIT)


@dataclass
class Process:
    """A process that the zygote started; the part of `subprocess.Popen` that the tests need."""

    zygote: Zygote
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.zygote.ask(poll=self.pid)
        return self.code

    def wait(self, limit: float = 60.0) -> int:
        end = time.monotonic() + limit
        while self.poll() is None:
            assert time.monotonic() < end, f"process {self.pid} has not ended within {limit:g} s"
            time.sleep(0.01)
        assert self.code is not None
        return self.code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass
class Served:
    """One process of the service, and its client."""

    process: Process
    log: Path
    address: str
    folder: Path
    client: httpx.Client = field(repr=False)

    def start(self, workflow: str = "article", topic: str = "rain", **more: Any) -> dict[str, Any]:
        """Start a run."""
        input = {"topic": topic, **more.pop("input", {})}
        headers = {"idempotency-key": more.pop("key")} if "key" in more else {}
        got = self.client.post(
            "/v1/runs", json={"workflow": workflow, "input": input, **more}, headers=headers
        )
        assert got.status_code == 202, got.text
        found: dict[str, Any] = got.json()
        return found

    def run(self, run_id: str, wait: float = 0) -> dict[str, Any]:
        """How a run stands."""
        got = self.client.get(f"/v1/runs/{run_id}", params={"wait": wait} if wait else {})
        assert got.status_code == 200, got.text
        found: dict[str, Any] = got.json()
        return found

    def ended(self, run_id: str, *statuses: str) -> dict[str, Any]:
        """A run once it is completed, or has one of these statuses."""
        wanted = statuses or ("completed",)

        def look() -> dict[str, Any] | None:
            found = self.run(run_id)
            return found if found["status"] in wanted else None

        found: dict[str, Any] = until(look, f"{run_id} is {wanted}")
        return found

    def done(self) -> list[str]:
        """What nodes have noted, line by line."""
        file = self.folder / "done.txt"
        return file.read_text().splitlines() if file.exists() else []

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it, and give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)


def served(
    zygote: Zygote,
    folder: Path,
    *options: str,
    targets: tuple[str, ...] = (),
    token: str | None = TOKEN,
    up: bool = True,
) -> Served:
    """Start the service in a folder; its database is `runs.db` there."""
    if not (folder / "app.py").exists():
        (folder / "app.py").write_text(WORKFLOWS)
    log = folder / f"log-{time.monotonic_ns()}.txt"
    names = targets or tuple(
        f"app.py:{name}" for name in ("article", "asking", "hurried", "deadly", "quitting")
    )
    tokens = f"ci={TOKEN},other={OTHER}" if token else ""
    log.touch()
    argv = ["serve", *names, "--port", "0", "--db", "runs.db", *options]
    process = Process(
        zygote, zygote.ask(argv=argv, cwd=str(folder), log=str(log), env={"DALSEGNO_TOKENS": tokens})
    )

    def address() -> str | None:
        found = re.search(r" at (http://\S+?),? ", log.read_text())
        assert process.poll() is None, f"the service ended: {log.read_text()}"
        return found[1] if found else None

    try:
        where = until(address, "the service is up") if up else "http://127.0.0.1:9"
    except BaseException:
        process.kill()
        process.wait()
        raise
    headers = {"authorization": f"Bearer {token}"} if token else {}
    client = httpx.Client(base_url=where, headers=headers, timeout=LIMIT, trust_env=False)
    return Served(process, log, where, folder, client)


Serve = Callable[..., Served]


def _serving(zygote: Zygote, folder: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def begin(*options: str, **more: Any) -> Served:
        one = served(zygote, more.pop("folder", folder), *options, **more)
        started.append(one)
        return one

    yield begin
    for gate in folder.glob("hold *"):
        gate.unlink()
    for one in started:
        one.client.close()
        one.kill()


@pytest.fixture(scope="package")
def zygote() -> Iterator[Zygote]:
    """What services are forked from."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def serve(zygote: Zygote, tmp_path: Path) -> Iterator[Serve]:
    """Starts services; they are killed at the end."""
    yield from _serving(zygote, tmp_path)


@pytest.fixture(scope="module")
def service(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests of a file."""
    folder = tmp_path_factory.mktemp("service")
    for begin in _serving(zygote, folder):
        yield begin("--rate", "10000")
