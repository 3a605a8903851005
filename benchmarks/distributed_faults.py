"""Workers, engine and database that die, and what became of the runs: the table of docs/distributed.md."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.orchestra import Orchestra, until

HEADER = (
    "| what was done | runs | of them completed | most nodes that one repeated | continued elsewhere after, s | "
    "gate |\n|---|--:|--:|--:|--:|--:|"
)
HEARTBEAT = 10.0
NODES = [f"n{i}" for i in range(10)]


def rows(heartbeat: float = HEARTBEAT) -> Iterator[str]:
    """One row for each thing that can go wrong, with the default heartbeat."""
    with Orchestra(heartbeat=heartbeat) as there:
        pair = [there.worker(), there.worker()]
        gate = heartbeat + 2

        def kill(worker: Any) -> None:
            worker.kill()

        def stand_still(worker: Any) -> None:
            worker.send_signal(signal.SIGSTOP)

        for name, what, end in (
            ("kill -9 of a worker in the middle", "kill", kill),
            ("SIGSTOP past the timeout, then SIGCONT", "stop", stand_still),
        ):
            worst: list[float] = []
            done = repeated = 0
            for again in range(3):
                seconds, completed, most = _taken_over(there, pair, f"{what}{again}-", end)
                worst.append(seconds)
                done += completed
                repeated = max(repeated, most)
            told = f"{min(worst):.1f}–{max(worst):.1f}"
            yield f"| {name}, three times | 60 | {done} | {repeated} | {told} | ≤ {gate:.0f} |"
        yield from _handed_over(there, pair)
        yield from _servers(there)
        yield from _killed_under_load(there, pair)
        yield from _cancelled(there)


def _taken_over(
    there: Orchestra, pair: list[Any], name: str, end: Callable[[Any], None]
) -> tuple[float, int, int]:
    runs = [there.submit(f"{name}{number}", gate=f"n4 gate-{name}") for number in range(20)]
    until(lambda: len(there.at(name, "n4")) == 20)
    lost = max(pair, key=lambda w: sum(pid == w.pid for _, pid, _ in there.at(name, "n4")))
    count = sum(pid == lost.pid for _, pid, _ in there.at(name, "n4"))
    began = time.time()
    end(lost)
    until(lambda: len(there.at(name, "n4")) == 20 + count)
    seconds = max(at for _, _, at in there.at(name, "n4")) - began
    if lost.poll() is None:
        lost.send_signal(signal.SIGCONT)
    there.open(f"gate-{name}")
    completed = _completed(runs)
    if lost.poll() is not None:
        pair[pair.index(lost)] = there.worker()
    return seconds, completed, there.repeated(name)


def _completed(runs: list[Any]) -> int:
    found = 0
    for run in runs:
        result = run.result(180)
        found += result.status == "completed" and result.output["trail"] == NODES
    return found


def _handed_over(there: Orchestra, pair: list[Any]) -> Iterator[str]:
    runs = [there.submit(f"term{number}", gate="n4 gate-term") for number in range(20)]
    until(lambda: len(there.at("term", "n4")) == 20)
    going = pair[0]
    threads = {thread for thread, pid, _ in there.at("term", "n4") if pid == going.pid}
    going.terminate()
    opened = time.time()
    there.open("gate-term")
    going.wait()
    completed = _completed(runs)
    seconds = max(at for thread, _, at in there.at("term", "n5") if thread in threads) - opened
    pair[0] = there.worker()
    yield (
        f"| SIGTERM to a worker: from the end of the superstep | 20 | {completed} | {there.repeated('term')} | "
        f"{seconds:.1f} | — |"
    )


def _servers(there: Orchestra) -> Iterator[str]:
    def restart_engine() -> None:
        there.engine.kill()
        there.open("gate-engine")
        until(lambda: len(there.at("engine", "n9")) == 20)
        there.engine.start()

    def restart_postgres() -> None:
        there.restart_postgres()
        there.open("gate-database")

    for what, name, restart in (
        ("the engine killed, and back when the nodes are done", "engine", restart_engine),
        ("PostgreSQL restarted", "database", restart_postgres),
    ):
        runs = [there.submit(f"{name}{number}", gate=f"n4 gate-{name}") for number in range(20)]
        until(lambda name=name: len(there.at(name, "n4")) == 20)
        restart()
        yield f"| {what} | 20 | {_completed(runs)} | {there.repeated(name)} | — | — |"


def _killed_under_load(there: Orchestra, pair: list[Any]) -> Iterator[str]:
    began = time.time()
    runs = [there.submit(f"load{number}", gate="none none", pause=0.02) for number in range(600)]
    until(lambda: len(there.at("load", "n9")) >= 150)
    pair[0].kill()
    completed = _completed(runs)
    yield (
        f"| 600 runs over two workers, one killed after 150 ({time.time() - began:.0f} s in all) | 600 | {completed} | "
        f"{there.repeated('load')} | — | — |"
    )
    pair[0] = there.worker()


def _cancelled(there: Orchestra) -> Iterator[str]:
    seconds = []
    for number in range(10):
        run = there.submit(f"cancel{number}", pause=0.2)
        until(lambda run=run: run.status() == "running")
        began = time.time()
        run.cancel()
        run.result(60)
        seconds.append(time.time() - began)
    yield (
        f"| cancelled in nodes of 0.2 s: until its result says so | 10 | 0 | 0 | "
        f"{min(seconds):.1f}–{max(seconds):.1f} | ≤ 2 |"
    )
