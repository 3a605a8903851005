"""Many workers: what being handed to one costs a run, and what a run costs the servers.

python -m benchmarks.distributed            # speed, and the numbers that benchmarks/capacity.py plans with
python -m benchmarks.distributed --faults   # the table of docs/distributed.md: workers, engine and database that die
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from benchmarks.capacity import Measured
from benchmarks.orchestra import Orchestra, cpu, memory
from dalsegno import Runner

IDLE_GATE, RATIO_GATE = 0.100, 4.0
"""Seconds that being submitted may add at idle; how often the direct time a run through a worker may take."""

HEADER = "| what | measured | gate | met |\n|---|--:|--:|:-:|"


def rows(rounds: int = 25) -> Iterator[str]:
    """The table of speed: one worker, runs of ten nodes that do nothing."""
    with Orchestra() as there:
        worker = there.worker()
        with Runner(there.flow, db=there.db) as runner:
            yield from _one_by_one(there, runner, rounds)
        yield from _many(there, worker.pid)


def _one_by_one(there: Orchestra, runner: Runner, rounds: int) -> Iterator[str]:
    submitted: list[float] = []
    direct: list[float] = []
    for number in range(rounds + 3):  # the first ones warm up
        gc.collect()
        began = time.perf_counter()
        assert there.submit(f"one{number}").result(60).status == "completed"
        between = time.perf_counter()
        runner.run({"trail": []}, thread=f"direct{number}")
        submitted.append(between - began)
        direct.append(time.perf_counter() - between)
    added = statistics.median(a - b for a, b in zip(submitted[3:], direct[3:], strict=True))
    ratio = statistics.median(a / b for a, b in zip(submitted[3:], direct[3:], strict=True))
    yield f"| a run directly, in this process | {statistics.median(direct[3:]) * 1000:.0f} ms | — | — |"
    yield f"| submit to result, an idle worker | {statistics.median(submitted[3:]) * 1000:.0f} ms | — | — |"
    yield f"| … longer by | {added * 1000:.0f} ms | ≤ {IDLE_GATE * 1000:.0f} ms | {_met(added <= IDLE_GATE)} |"
    yield f"| … times the direct time | {ratio:.2f} × | ≤ {RATIO_GATE:g} × | {_met(ratio <= RATIO_GATE)} |"


def _many(there: Orchestra, pid: int, count: int = 300) -> Iterator[str]:
    most = 0
    began = time.perf_counter()
    handles = [there.submit(f"many{number}") for number in range(count)]
    handed = time.perf_counter() - began
    for handle in handles:
        assert handle.result(120).status == "completed"
        most = max(most, _connections(there))
    took = time.perf_counter() - began
    yield f"| {count} runs handed over, one after the other | {count / handed:.0f} a second | — | — |"
    yield (
        f"| {count} runs through one worker, from the first handed over to the last result | "
        f"{count / took:.0f} a second | — | — |"
    )
    yield (
        f"| connections to PostgreSQL meanwhile, of a worker and a client with pools of 10 | {most} | ≤ 20 | "
        f"{_met(most <= 20)} |"
    )


def costs(runs: int = 200) -> Measured:
    """What a run costs, apart by what it costs a superstep: from runs of one node, and of eleven."""
    few, many = _costs(runs, 1), _costs(runs, 11)
    step = {name: (many[name] - few[name]) / 10 for name in ("cpu", "commits", "wal", "server_cpu")}
    return Measured(
        cpu=step["cpu"],
        run_cpu=few["cpu"] - step["cpu"],
        commits=step["commits"],
        run_commits=few["commits"] - step["commits"],
        wal=step["wal"],
        run_wal=few["wal"] - step["wal"],
        server_cpu=step["server_cpu"],
        run_server_cpu=few["server_cpu"] - step["server_cpu"],
        events=many["events"],
        history=many["history"],
        engine_cpu=many["engine_cpu"],
        memory=many["memory"],
        run_memory=many["run_memory"],
    )


def _costs(runs: int, nodes: int) -> dict[str, float]:
    with Orchestra(nodes=nodes) as there:
        pid = there.worker().pid
        for number in range(20):
            there.submit(f"warm{number}").result(60)
        idle = memory(pid)
        before = _spent(there, pid)
        handles = [there.submit(f"cost{number}") for number in range(runs)]
        for handle in handles:
            handle.result(120)
        after = _spent(there, pid)
        each = {name: (after[name] - before[name]) / runs for name in before}
        described: Any = there.client.loop.call(_described(there, "ten:cost0"))
        each["history"] = float(described.raw_description.workflow_execution_info.history_size_bytes)
        each["events"] = float(described.history_length)
        held = [there.submit(f"held{number}", gate="n0 held") for number in range(20)]
        while len(there.at("held", "n0")) < 20:
            time.sleep(0.01)
        each["memory"], each["run_memory"] = idle, max(memory(pid) - idle, 0.0) / 20
        there.open("held")
        for handle in held:
            handle.result(60)
    return each


def _spent(there: Orchestra, pid: int) -> dict[str, float]:
    with psycopg.connect(there.db, autocommit=True) as connection:
        time.sleep(1.1)  # what backends have counted is told every second
        row = connection.execute(
            "SELECT xact_commit, pg_current_wal_lsn() - '0/0'::pg_lsn FROM pg_stat_database "
            "WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    server, engine = there.postgres.get_pid(), there.engine.process
    assert server is not None
    assert engine is not None
    return {
        "commits": float(row[0]),
        "wal": float(row[1]),
        "cpu": cpu(pid),
        "server_cpu": cpu(server),
        "engine_cpu": cpu(engine.pid),
    }


async def _described(there: Orchestra, workflow: str) -> Any:
    temporal = await there.client.temporal()
    return await temporal.get_workflow_handle(workflow).describe()


def _connections(there: Orchestra) -> int:
    with psycopg.connect(there.db) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND application_name = 'dalsegno'"
        ).fetchone()
    return int(row[0]) if row is not None else 0


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def main() -> None:
    """Print the tables."""
    if "--faults" in sys.argv:
        from benchmarks import distributed_faults

        print(distributed_faults.HEADER, *distributed_faults.rows(), sep="\n")
        return
    print(HEADER, *rows(), sep="\n")
    print("\nFor benchmarks/capacity.py:\n")
    for name, value in vars(costs()).items():
        print(f"    {name}={value:.4g},")


if __name__ == "__main__":
    main()
