"""The service: 200 runs a minute for two minutes, over HTTP, and what that does to its memory.

``python -m benchmarks.service [--seconds 120] [--rate 200]`` starts `dalsegno serve` as a process, starts a run every
so often and reads each to its end. Memory is that of the service's process; Linux only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
WORKFLOW = """
import operator
from typing import Annotated, TypedDict

from dalsegno import END, START, Loop, Workflow


class Notes(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    rounds: int


def plan(state: Notes):
    return {"notes": [f"plan {state['topic']}"]}


def draft(state: Notes):
    return {"rounds": state.get("rounds", 0) + 1, "notes": ["a paragraph " * 20]}


def review(state: Notes):
    return {"notes": ["reviewed"]}


flow = Workflow("notes", Notes, version="1")
flow.add_node(plan).add_node(draft).add_node(review).add_edge(START, "plan").add_edge("plan", "draft")
flow.add_edge("draft", "review")
flow.add_conditional_edges(
    "review", lambda state: "good" if state["rounds"] > 2 else "again",
    {"good": END, "again": Loop("draft", max=3, on_exhausted=END)},
)
"""
HEADER = "| what | figure | gate | met |\n|---|--:|--:|:-:|"
GROWTH = 1.05
"""Memory at the end, against that at 30 seconds."""


def rows(seconds: float = 120.0, rate: float = 200.0) -> Iterator[str]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(prefix="dalsegno-") as folder:
        Path(folder, "app.py").write_text(WORKFLOW)
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", "serve", "app.py:flow", "--db", "runs.db", "--port", "0"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        address = process.stderr.readline().split(" at ")[1].split(",")[0]
        try:
            yield from _measured(process.pid, address, seconds, rate)
        finally:
            process.terminate()
            process.communicate()


def _measured(pid: int, address: str, seconds: float, rate: float) -> Iterator[str]:
    accepted: list[float] = []
    took: list[float] = []
    ended: Counter[str] = Counter()
    memory: list[tuple[float, float]] = []
    began = time.monotonic()

    def one(number: int) -> None:
        try:
            start = time.monotonic()
            asked = {"workflow": "notes", "input": {"topic": f"number {number}"}}
            got = client.post("/v1/runs", json=asked)
            accepted.append(time.monotonic() - start)
            run = client.get(f"/v1/runs/{got.json()['run_id']}", params={"wait": 30}).json()
            took.append(time.monotonic() - start)
            ended[run["status"]] += 1
        except (httpx.HTTPError, KeyError, ValueError) as error:
            ended[type(error).__name__] += 1

    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        threads: list[threading.Thread] = []
        number = 0
        while (now := time.monotonic() - began) < seconds:
            if not memory or now - memory[-1][0] >= 1:
                memory.append((now, _resident(pid)))
            threads = [each for each in threads if each.is_alive()]
            threads.append(threading.Thread(target=one, args=(number,)))
            threads[-1].start()
            number += 1
            time.sleep(max(0.0, began + number * 60 / rate - time.monotonic()))
        for each in threads:
            each.join()
    memory.append((time.monotonic() - began, _resident(pid)))
    settled = next(size for at, size in memory if at >= min(30.0, seconds / 2))
    growth = memory[-1][1] / settled
    errors = number - ended["completed"]
    peak = max(size for _, size in memory)
    yield _row(f"runs started in {seconds:.0f} s", f"{number}", f"{rate:.0f} a minute", True)
    yield _row("… not completed", f"{errors} {dict(ended) if errors else ''}".strip(), "0", not errors)
    yield _row("accepted (202), median and slowest", f"{_ms(accepted)} ms", "—", None)
    yield _row("completed: six supersteps, median and slowest", f"{_ms(took)} ms", "—", None)
    yield _row(
        "memory at 30 s, at the end, most", f"{settled:.1f}, {memory[-1][1]:.1f}, {peak:.1f} MB", "—", None
    )
    yield _row("memory at the end, against that at 30 s", f"{growth:.3f} ×", f"≤ {GROWTH}", growth <= GROWTH)


def _row(what: str, figure: str, gate: str, met: bool | None) -> str:
    return f"| {what} | {figure} | {gate} | {'—' if met is None else 'yes' if met else '**no**'} |"


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f}, {max(seconds) * 1000:.0f}"


def _resident(pid: int) -> float:
    """Megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=200.0)
    given = parser.parse_args()
    print(HEADER)
    for row in rows(given.seconds, given.rate):
        print(row, flush=True)


if __name__ == "__main__":
    main()
