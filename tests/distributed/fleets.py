"""A real engine, a real PostgreSQL, and workers as real processes; every wait polls, with a limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dalsegno.distributed import Client, DevEngine, Worker
from dalsegno.graphs.loading import load_target

if TYPE_CHECKING:
    from databases import Postgres

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
LIMIT = 90.0
"""Seconds after which something that should happen counts as not happening."""


def until(what: Callable[[], Any], why: str = "it happens", limit: float = LIMIT) -> Any:
    """What `what` gives, once that is true."""
    end = time.monotonic() + limit
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, f"waited {limit:.0f} seconds until {why}"
        time.sleep(0.02)


class Databases:
    """New databases on the tests' PostgreSQL."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._taken = contextlib.ExitStack()

    def new(self) -> str:
        """The URL of an empty one."""
        return self._taken.enter_context(self.server.database())

    def connections(self, url: str) -> int:
        """How many connections there are to one."""
        name = url.partition("?")[0].rpartition("/")[2]
        with self.server.connected() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        self._taken.close()


@dataclass
class Fleet:
    """Workers of the workflows of `plays.py` in a folder, with a log of what their nodes did."""

    folder: Path
    engine: DevEngine
    db: str
    client: Client
    plays: ModuleType
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(
        self, flow: str = "ten", queue: str = "default", *, file: str = "plays.py", concurrency: int = 20
    ) -> Any:
        """Start a worker; `taking` waits until it is there."""
        words = ["worker", "--target", f"{file}:{flow}", "--queue", queue, "--concurrency", str(concurrency)]
        words += ["--engine", self.engine.address, "--db", self.db]
        told = self.folder / f"worker-{len(self.workers)}.txt"
        with told.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "dalsegno", *words],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        process.told = told  # type: ignore[attr-defined]
        self.workers.append(process)
        return process

    def taking(self, *workers: Any) -> None:
        """Wait until these workers take runs."""
        for worker in workers:
            until(
                lambda worker=worker: "takes runs" in worker.told.read_text() or worker.poll() is not None,
                "a worker is up",
            )
            assert worker.poll() is None, worker.told.read_text()

    def submit(self, flow: str, input: Any, thread: str, **options: Any) -> Any:
        return self.client.submit(getattr(self.plays, flow), input, thread=thread, **options)

    def executed(self, thread: str | None = None) -> list[tuple[str, str, int]]:
        """What nodes did: (thread, node, process), also what was never committed."""
        log = self.folder / "log.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        found = [(t, n, int(p)) for t, n, p in (line.rsplit(maxsplit=2) for line in lines)]
        return [each for each in found if thread is None or each[0] == thread]

    def repeated(self, thread: str) -> int:
        """How many node executions of a thread there were beyond one each."""
        return sum(n - 1 for n in Counter(node for _, node, _ in self.executed(thread)).values())

    def open(self, gate: str) -> None:
        """Let the nodes go on that wait at a gate."""
        (self.folder / f"gate-{gate}").touch()

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self.client.close()


@contextmanager
def made_fleet(
    folder: Path, engine: DevEngine, databases: Databases, heartbeat: float = 5.0
) -> Iterator[Fleet]:
    (folder / "plays.py").write_text((HERE / "plays.py").read_text())
    load_target(str(folder / "plays.py:ten"))
    db = databases.new()
    fleet = Fleet(
        folder, engine, db, Client(engine.address, db=db, heartbeat=heartbeat), sys.modules["plays"]
    )
    try:
        yield fleet
    finally:
        fleet.close()


@contextmanager
def working(
    fleet: Fleet, graph: Any, queue: str = "default", *, db: str | None = None, **options: Any
) -> Iterator[Worker]:
    """A worker in this process, for what needs none to die."""
    worker = Worker(graph, db=db or fleet.db, engine=fleet.engine.address, queue=queue, **options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert worker.ready.wait(60)
        yield worker
    finally:
        worker.drain()
        thread.join()
