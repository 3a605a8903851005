"""What the checkpointer costs, against LangGraph's own `SqliteSaver`, which commits as durably.

Needs ``langgraph-checkpoint-sqlite``; without it there is nothing to compare with, and it says so.
"""

from __future__ import annotations

import gc
import operator
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send

from benchmarks.pairing import Pair, paired
from dalsegno.checkpoints import SqliteCheckpointer

try:
    from langgraph.checkpoint.sqlite import SqliteSaver
except ImportError:
    SqliteSaver = None

HEADER = "| what | ours, µs | theirs, µs | ratio | gate / stretch | met |\n|---|--:|--:|--:|--:|:-:|"
WHOLE = "| the runs whole | without, µs | with ours | with theirs | ratio |\n|---|--:|--:|--:|--:|"
LEAST = "| a saver adds to one of 500 supersteps of 2 kB | µs | ratio |\n|---|--:|--:|"
ROUNDS = 9
PROCESSES, THREADS, RUNS = 8, 8, 20


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AIMessage], add_messages]


def rounds_of(steps: int, wrote: Callable[[int], dict[str, Any]]) -> Callable[[Any], Any]:
    """A graph of one node that runs `steps` supersteps."""

    def build(saver: Any) -> Any:
        graph = StateGraph(State)
        graph.add_node("work", lambda state: {"n": state["n"] + 1, **wrote(state["n"])})
        graph.add_edge(START, "work")
        graph.add_conditional_edges("work", lambda s: "work" if s["n"] < steps else END, ["work", END])
        return graph.compile(checkpointer=saver)

    return build


def sending(count: int) -> Callable[[Any], Any]:
    """A graph that sends to `count` tasks at once."""

    def build(saver: Any) -> Any:
        graph = StateGraph(State)
        graph.add_node("plan", lambda state: {"n": 1})
        graph.add_node("work", lambda item: {"log": [f"result {item}"]})
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", lambda s: [Send("work", i) for i in range(count)], ["work"])
        return graph.compile(checkpointer=saver)

    return build


SMALL = rounds_of(100, lambda n: {})
LARGE = rounds_of(500, lambda n: {"log": [f"{n:06}" + "x" * 1994]})
MESSAGES = rounds_of(200, lambda n: {"messages": [AIMessage("said " * 400 + str(n))]})


class Nothing(BaseCheckpointSaver[int]):
    """Stores nothing: what is left is LangGraph's own part, hand-overs to other threads included."""

    def get_tuple(self, config: Any) -> None:
        return None

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None: ...


class Bare(Nothing):
    """Commits 2 kB a superstep as durably as the others, and nothing else: no state, and nobody reads it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE bare (id INTEGER PRIMARY KEY, data BLOB)",
            # A log that is long enough already: making it longer costs a commit half as much again.
            "INSERT INTO bare (data) VALUES (zeroblob(3000000))",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "UPDATE bare SET data = zeroblob(3000001)",
            "PRAGMA wal_checkpoint(RESTART)",
        ):
            self.connection.execute(statement).fetchall()

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self.connection.execute("INSERT INTO bare (data) VALUES (?)", (b"x" * 2000,))
        return super().put(config, checkpoint, metadata, new_versions)


class Store:
    """A saver in a folder of its own."""

    connection: sqlite3.Connection | None = None

    def __init__(self, kind: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dalsegno-bench-"))
        self.file = self.folder / "runs.db"
        self.saver: Any = None
        if kind == "theirs":
            self.connection = sqlite3.connect(self.file, check_same_thread=False)
            self.connection.execute("PRAGMA synchronous = FULL")
            self.saver = SqliteSaver(self.connection)
            self.saver.setup()
        elif kind == "nothing":
            self.saver = Nothing()
        elif kind == "bare":
            self.saver = Bare(self.file)
            self.connection = self.saver.connection
        elif kind != "none":
            self.saver = SqliteCheckpointer(self.file, profile="fast" if kind == "fast" else "durable")
            # As `setup` does there: the file is opened and its tables are made before the clock runs.
            self.saver.get_tuple({"configurable": {"thread_id": "none"}})

    def play(self, build: Callable[[Any], Any]) -> float:
        """Run the graph once; seconds, without building it."""
        app = build(self.saver)
        config = {"configurable": {"thread_id": "t"}, "recursion_limit": 10_000}
        options = {"durability": "sync"} if self.saver is not None else {}
        gc.collect()
        began = time.perf_counter()
        app.invoke({"n": 0, "log": [], "messages": []}, config, **options)
        return time.perf_counter() - began

    def close(self) -> int:
        """Close the saver; the bytes that are left on disk."""
        if isinstance(self.saver, SqliteCheckpointer):
            self.saver.close()
        elif self.connection is not None:
            self.connection.close()
        size = sum(each.stat().st_size for each in self.folder.iterdir())
        shutil.rmtree(self.folder)
        return size


@dataclass(frozen=True)
class Added:
    """What savers add to a run, and the runs whole: medians, seconds a superstep."""

    pair: Pair
    none: float
    ours: float
    theirs: float

    def whole(self) -> str:
        """The runs with LangGraph's own part, as a row."""
        times = " | ".join(f"{each * 1e6:,.0f}" for each in (self.none, self.ours, self.theirs))
        return f"| {self.pair.name.removeprefix('added to ')} | {times} | {self.ours / self.theirs:.2f} × |"


def in_turns(build: Any, per: int, kinds: list[str]) -> dict[str, list[float]]:
    """Seconds a superstep with each of these savers, a round after the other."""
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(ROUNDS + 1):
        turn = number % len(kinds)
        for kind in kinds[turn:] + kinds[:turn]:  # none comes after itself, with what it needs in the caches
            store = Store(kind)
            seconds = store.play(build)
            store.close()
            if number:  # the first round warms up
                took[kind].append(seconds / per)
    return took


def added(name: str, build: Any, per: int, gate: float, stretch: float | None, ours: str = "ours") -> Added:
    """The time that ours adds to a run without a checkpointer, over the time that theirs adds."""
    took = in_turns(build, per, ["none", ours, "theirs"])
    a = [x - none for x, none in zip(took[ours], took["none"], strict=True)]
    b = [x - none for x, none in zip(took["theirs"], took["none"], strict=True)]
    ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
    pair = Pair(name, statistics.median(a), statistics.median(b), ratio, ROUNDS, gate, stretch)
    return Added(pair, *map(statistics.median, took.values()))


def least() -> Iterator[str]:
    """What no saver can do without, as rows: of what theirs adds to 500 supersteps of 2 kB."""
    took = in_turns(LARGE, 500, ["none", "nothing", "bare", "ours", "theirs"])
    more = {kind: [x - none for x, none in zip(took[kind], took["none"], strict=True)] for kind in took}
    for name, kind in (
        ("one that stores nothing: LangGraph's own part", "nothing"),
        ("one that commits 2 kB a superstep, and nothing else", "bare"),
        ("ours", "ours"),
        ("LangGraph's", "theirs"),
    ):
        ratio = statistics.median(x / y for x, y in zip(more[kind], more["theirs"], strict=True))
        yield f"| {name} | {statistics.median(more[kind]) * 1e6:,.0f} | {ratio:.2f} × |"


def reading() -> Iterator[Pair]:
    """Reading what 500 supersteps of 2 kB have stored."""
    ours, theirs = Store("ours"), Store("theirs")
    for store in (ours, theirs):
        store.play(LARGE)
    config: Any = {"configurable": {"thread_id": "t"}}
    yield paired(
        "reading the latest of 500 checkpoints",
        lambda: ours.saver.get_tuple(config),
        lambda: theirs.saver.get_tuple(config),
        rounds=41,
        gate=1.3,
        stretch=1.0,
    )
    yield paired(
        "listing 500 checkpoints",
        lambda: list(ours.saver.list(config)),
        lambda: list(theirs.saver.list(config)),
        rounds=ROUNDS,
        gate=0.15,
        stretch=0.08,
    )
    ours.close(), theirs.close()


def size() -> str:
    """The size of the database over what the supersteps wrote, as a row."""
    sizes = {}
    for kind in ("ours", "theirs"):
        store = Store(kind)
        store.play(LARGE)
        sizes[kind] = store.close()
    ratio = sizes["ours"] / 1_000_000
    met = "yes" if ratio <= 1.6 else "**no**"
    return (
        f"| bytes on disk for 1,000,000 that 500 supersteps wrote | {sizes['ours']:,} B | {sizes['theirs']:,} B "
        f"| {ratio:.2f} × | ≤ 1.6 / 1.3 | {met} |"
    )


# --- many processes on one file ---


def worker(kind: str, file: str, number: int) -> None:
    """One of several processes: waits for a line, runs, and prints what went wrong."""
    if kind == "ours":
        saver: Any = SqliteCheckpointer(file)
    else:
        connection = sqlite3.connect(file, check_same_thread=False, timeout=60)
        saver = SqliteSaver(connection)
        saver.setup()
    app = rounds_of(4, lambda n: {"log": ["x" * 200]})(saver)
    app.invoke({"n": 3}, {"configurable": {"thread_id": f"warm{number}"}}, durability="sync")
    problems: list[str] = []

    def run(thread: int) -> None:
        for run in range(RUNS):
            config = {"configurable": {"thread_id": f"{number}.{thread}.{run}"}}
            try:
                app.invoke({"n": 0}, config, durability="sync")
            except Exception as error:
                problems.append(repr(error))

    print("ready", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=run, args=(each,)) for each in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    print(len(problems), problems[:1], flush=True)


def crowd(kind: str) -> tuple[float, int, int]:
    """Seconds for all runs, errors, and runs that are not whole in the database."""
    folder = Path(tempfile.mkdtemp(prefix="dalsegno-bench-"))
    file = str(folder / "runs.db")
    command = [sys.executable, "-m", "benchmarks.checkpoints", kind, file]
    processes = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = 0
    for process in processes:
        assert process.stdout is not None
        errors += int(process.stdout.readline().split()[0])
    took = time.perf_counter() - began
    for process in processes:
        process.communicate()
    table = "checkpoints JOIN places ON places.id = place" if kind == "ours" else "checkpoints"
    connection = sqlite3.connect(file)
    counted = connection.execute(f"SELECT thread_id, count(*) FROM {table} GROUP BY thread_id").fetchall()
    connection.close()
    shutil.rmtree(folder)
    whole = sum(count == 6 for thread, count in counted if not thread.startswith("warm"))
    return took, errors, PROCESSES * THREADS * RUNS - whole


def crowds(rounds: int = 7) -> str:
    """The throughput of many processes and threads on one file, as a row."""
    runs = PROCESSES * THREADS * RUNS
    ratios, ours, theirs = [], [], []
    wrong = {"ours": [0, 0], "theirs": [0, 0]}
    for number in range(rounds):
        took = {}
        for kind in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            took[kind], errors, lost = crowd(kind)
            wrong[kind][0] += errors
            wrong[kind][1] += lost
        ratios.append(took["theirs"] / took["ours"])
        ours.append(runs / took["ours"])
        theirs.append(runs / took["theirs"])
    ratio = statistics.median(ratios)
    met = "yes" if ratio >= 1.8 and not any(wrong["ours"]) else "**no**"
    return (
        f"| runs a second, {PROCESSES} processes × {THREADS} threads × {RUNS} runs (errors, incomplete) "
        f"| {statistics.median(ours):,.0f} ({wrong['ours'][0]}, {wrong['ours'][1]}) "
        f"| {statistics.median(theirs):,.0f} ({wrong['theirs'][0]}, {wrong['theirs'][1]}) "
        f"| {ratio:.2f} × | ≥ 1.8 / 2.5 | {met} |"
    )


def rows() -> Iterator[str]:
    """The table, a row at a time."""
    if SqliteSaver is None:
        yield "**Skipped: langgraph-checkpoint-sqlite is not installed, so there is nothing to compare with.**"
        return
    yield HEADER
    runs = [
        added("added to a superstep with a small state", SMALL, 100, 0.70, 0.55),
        added('added to the same, `profile="fast"`', SMALL, 100, 0.45, None, ours="fast"),
        added("added to one of 500 supersteps of 2 kB", LARGE, 500, 0.20, 0.15),
        added("added to one of 200 messages", MESSAGES, 200, 0.50, 0.36),
        added("added to one of 1,000 sends", sending(1000), 1000, 0.50, 0.30),
    ]
    for run in runs:
        yield run.pair.row()
    for pair in reading():
        yield pair.row()
    yield size()
    yield crowds()
    yield "\n" + WHOLE
    for run in runs:
        yield run.whole()
    yield "\n" + LEAST
    yield from least()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        os.environ.setdefault("PYTHONPATH", os.getcwd())
        for row in rows():
            print(row, flush=True)
