"""What patterns cost: `map_reduce` against a plain StateGraph that sends, `parallel` against the ideal."""

from __future__ import annotations

import asyncio
import operator
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from dalsegno.checkpoints import SqliteCheckpointer
from dalsegno.graphs.patterns import map_reduce, parallel

HEADER = "| what | ours | theirs, or ideal | ratio | gate | met |\n|---|--:|--:|--:|--:|:-:|"
ITEMS, BRANCHES, PAUSE, ROUNDS = 10_000, 100, 0.1, 3


class State(TypedDict, total=False):
    items: list[int]
    results: Annotated[list[int], operator.add]
    value: int


def square(state: Any) -> int:
    return int(state["item"]) ** 2


def total(state: Any) -> int:
    return sum(state["results"])


def plain(saver: Any) -> Any:
    """The same by hand, in the order in which LangGraph applies the tasks."""
    graph = StateGraph(State)
    graph.add_node("begin", lambda state: {})
    graph.add_node("map", lambda sent: {"results": [square(sent)]})
    graph.add_node("reduce", lambda state: {"value": total(state)})
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", lambda s: [Send("map", {"item": i}) for i in s["items"]], ["map"])
    graph.add_edge("map", "reduce").add_edge("reduce", END)
    return graph.compile(checkpointer=saver)


def ours(saver: Any) -> Any:
    return map_reduce(square, reducer=total, max_items=ITEMS).compile(saver)


def seconds(make: Callable[[Any], Any], items: int) -> float:
    """One run with durable checkpoints."""
    with tempfile.TemporaryDirectory() as folder, SqliteCheckpointer(Path(folder) / "runs.db") as saver:
        graph = make(saver)
        given, config = {"items": list(range(items))}, {"configurable": {"thread_id": "t"}}
        began = time.perf_counter()
        output = graph.invoke(given, config, durability="sync")
        took = time.perf_counter() - began
        assert output["value"] == sum(n * n for n in range(items))
        return took


def megabytes(make: Callable[[Any], Any], items: int) -> float:
    """The most that a run has allocated at once."""
    seconds(make, 10)  # what is imported at the first run is not counted
    tracemalloc.start()
    try:
        seconds(make, items)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def side_by_side() -> float:
    """Seconds of `BRANCHES` branches that pause."""

    async def branch(state: Any) -> int:
        await asyncio.sleep(PAUSE)
        return 1

    graph = parallel({f"b{number}": branch for number in range(BRANCHES)}).compile()
    began = time.perf_counter()
    asyncio.run(graph.ainvoke({"value": 1}))
    return time.perf_counter() - began


def rows() -> Iterator[str]:
    """The table's rows."""
    pairs = [(seconds(ours, ITEMS), seconds(plain, ITEMS)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    yield _row(
        f"map_reduce over {ITEMS:,} items", mine, theirs, statistics.median(a / b for a, b in pairs), 2
    )
    large, small = megabytes(ours, 2500), megabytes(ours, 500)
    yield _row("its memory, 2,500 items against 5 × 500", large, small * 5, large / (small * 5), 1.5, "MB")
    took = statistics.median(side_by_side() for _ in range(ROUNDS))
    yield _row(f"parallel, {BRANCHES} branches of {PAUSE:g} s", took, PAUSE, took / PAUSE, 1.5)


def _row(what: str, mine: float, theirs: float, ratio: float, gate: float, unit: str = "s") -> str:
    met = "yes" if ratio <= gate else "**no**"
    return f"| {what} | {mine:.2f} {unit} | {theirs:.2f} {unit} | {ratio:.2f} | ≤ {gate} | {met} |"


if __name__ == "__main__":
    print(HEADER)
    for row in rows():
        print(row, flush=True)
