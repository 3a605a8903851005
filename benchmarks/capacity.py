"""Plans past the machines at hand: how many workers, connections and writes so many runs a day take.

From what was measured (`MEASURED`, by `python -m benchmarks.distributed`) and a busy hour that is simulated: runs
arrive at random, wait for a place on a worker, and hold it for as long as their nodes take.

    python -m benchmarks.capacity                       # the tables of docs/capacity.md
    python -m benchmarks.capacity --runs 250000 --supersteps 12 --seconds 2.5
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

DAY = 86_400.0
BUSY = 2.5
"""The busiest hour, against the mean of the day."""


@dataclass(frozen=True)
class Measured:
    """Of a run with nodes that do nothing, on the machine that docs/capacity.md names.

    Of a superstep, and (`run_…`) of a run beside: `cpu` seconds of a worker's processor, `server_cpu` of PostgreSQL's,
    its `commits` and `wal` (bytes). Of a run: `events` and `history` (bytes) that Temporal keeps, `engine_cpu` seconds
    of its processor. `memory` (MB) is a worker's, and `run_memory` that of each run it has.
    """

    cpu: float
    run_cpu: float
    commits: float
    run_commits: float
    wal: float
    run_wal: float
    server_cpu: float
    run_server_cpu: float
    events: float
    history: float
    engine_cpu: float
    memory: float
    run_memory: float


MEASURED = Measured(
    cpu=0.00144,
    run_cpu=0.01756,
    commits=2.321,
    run_commits=17.1,
    wal=5110,
    run_wal=8166,
    server_cpu=0.00075,
    run_server_cpu=0.0055,
    events=11,
    history=1623,
    engine_cpu=0.0367,
    memory=145.7,
    run_memory=0.1291,
)


@dataclass(frozen=True)
class Load:
    """A day's runs: how many, of how many supersteps, of how many seconds each (a model's answer, say)."""

    runs: int
    supersteps: int
    seconds: float

    @property
    def peak(self) -> float:
        """Runs a second in the busiest hour."""
        return self.runs / DAY * BUSY

    @property
    def length(self) -> float:
        """Seconds that a run holds a place, on the average."""
        return self.supersteps * self.seconds


@dataclass(frozen=True)
class Plan:
    """What a load takes. Rates are a second, in the busiest hour."""

    load: Load
    workers: int
    busy: float
    waits: float
    cores: float
    connections: int
    commits: float
    wal: float
    server_cores: float
    engine_cores: float
    history_gb: float
    written_gb: float
    memory_gb: float


def plan(load: Load, measured: Measured = MEASURED, *, concurrency: int = 20, patience: float = 1.0) -> Plan:
    """The fewest workers with which 99 of 100 runs wait at most `patience` seconds for a place, in the busiest hour."""
    cpu = load.supersteps * measured.cpu + measured.run_cpu
    # A worker is one process, and Python runs on one core of it: at most 70 % of that.
    least = max(1, math.ceil(load.peak * load.length / concurrency), math.ceil(load.peak * cpu / 0.7))
    workers = least
    while waited(load, workers * concurrency)[0] > patience:
        workers = max(workers + 1, math.ceil(workers * 1.03))
    waits, busy = waited(load, workers * concurrency)
    commits = load.supersteps * measured.commits + measured.run_commits
    wal = load.supersteps * measured.wal + measured.run_wal
    return Plan(
        load=load,
        workers=workers,
        busy=busy,
        waits=waits,
        cores=load.peak * cpu,
        connections=workers * min(10, concurrency),
        commits=load.peak * commits,
        wal=load.peak * wal / 1e6,
        server_cores=load.peak * (load.supersteps * measured.server_cpu + measured.run_server_cpu),
        engine_cores=load.peak * measured.engine_cpu,
        history_gb=load.runs * measured.history / 1e9,
        written_gb=load.runs * wal / 1e9,
        memory_gb=workers * (measured.memory + concurrency * measured.run_memory) / 1024,
    )


def waited(load: Load, places: int, runs: int = 40_000) -> tuple[float, float]:
    """Simulate the busiest hour: the seconds that 99 of 100 runs wait at most, and how much of the places is used.

    Arrivals are random (exponential gaps), and so is what a run takes (each superstep exponential about its mean).
    """
    dice = random.Random(7)
    free = [0.0] * places
    heapq.heapify(free)
    now = held = since = 0.0
    waits = []
    first = runs // 5  # until the places have filled up
    for number in range(runs):
        now += dice.expovariate(load.peak)
        begins = max(now, heapq.heappop(free))
        takes = dice.gammavariate(load.supersteps, load.seconds)
        heapq.heappush(free, begins + takes)
        if number >= first:
            waits.append(begins - now)
            held += takes
        else:
            since = now
    waits.sort()
    return waits[int(len(waits) * 0.99)], min(held / (places * (now - since)), 1.0)


LOADS = tuple(
    Load(runs, supersteps, seconds)
    for supersteps, seconds in ((10, 0.2), (10, 3.0), (40, 3.0))
    for runs in (10_000, 100_000, 1_000_000)
)


def rows(loads: tuple[Load, ...] = LOADS) -> Iterator[str]:
    """The table of docs/capacity.md."""
    heads = (
        "runs a day", "supersteps × seconds", "runs/s at the peak", "workers of 20", "places used",
        "99 % wait at most, s", "cores of workers", "memory of workers, GB", "connections", "commits/s", "WAL, MB/s",
        "cores of PostgreSQL", "cores of Temporal", "written, GB a day", "history, GB a day",
    )  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield f"|{'--:|' * len(heads)}"
    for load in loads:
        p = plan(load)
        cells = (
            f"{load.runs:,}", f"{load.supersteps} × {load.seconds:g}", f"{load.peak:.1f}", f"{p.workers:,}",
            f"{p.busy:.0%}", f"{p.waits:.1f}", f"{p.cores:.1f}", f"{p.memory_gb:.1f}", f"{p.connections:,}",
            f"{p.commits:,.0f}", f"{p.wal:.1f}", f"{p.server_cores:.1f}", f"{p.engine_cores:.1f}",
            f"{p.written_gb:.0f}", f"{p.history_gb:.1f}",
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, or one row of it for a load of your own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, help="a day")
    parser.add_argument("--supersteps", type=int, default=10, help="of a run")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a superstep")
    given = parser.parse_args()
    loads = (Load(given.runs, given.supersteps, given.seconds),) if given.runs else LOADS
    print(*rows(loads), sep="\n")


if __name__ == "__main__":
    main()
