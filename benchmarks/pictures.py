"""How long pictures take, and how large pages are."""

from __future__ import annotations

import operator
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypedDict

from dalsegno import END, START, Loop, Runner, Workflow, viz
from dalsegno.graphs.model import EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.runtime.seeing import Seeing

HEADER = "| what | took | gate | size | gate | met |\n|---|--:|--:|--:|--:|:-:|"
_REPEATS = 5
_SUPERSTEPS = 500
_ENTRY = 2000


class Log(TypedDict, total=False):
    """A state that grows."""

    entries: Annotated[list[str], operator.add]


def tree(count: int) -> WorkflowSpec:
    """A graph that branches everywhere, with a loop at every ninth node and an edge to END from every leaf."""
    names = [f"node {i}" for i in range(count)]
    edges = [EdgeSpec(START, names[0])]
    edges += [EdgeSpec(names[(i - 1) // 2], name) for i, name in enumerate(names) if i]
    edges += [EdgeSpec(name, END) for name in names[count // 2 :]]
    for i in range(9, count, 9):
        edges.append(EdgeSpec(names[i], names[i // 4], "choice", router="r", label="again", loop=2))
    return WorkflowSpec(f"tree of {count}", nodes={n: NodeSpec(n) for n in names}, edges=tuple(edges))


def long_run(db: Path) -> Workflow:
    """A run of 500 supersteps, each of which appends 2 kB to the state."""

    def write(state: Log) -> Log:
        return {"entries": [f"{len(state.get('entries', ()))}: ".ljust(_ENTRY, "x")]}

    flow = Workflow("long", Log)
    flow.add_node("write", write, calls=0).add_edge(START, "write")
    again = Loop("write", max=_SUPERSTEPS - 1, on_exhausted=END)
    flow.add_conditional_edges("write", lambda state: "again", {"again": again})
    with Runner(flow, db=db) as runner:
        runner.run({"entries": []}, thread="t1").raise_for_status()
    return flow


def rows() -> Iterator[str]:
    """One row a picture; the first drawing in a process, which loads Graphviz, is not counted."""
    viz.svg(tree(3))
    yield _row("30 nodes to SVG", 0.15, lambda: viz.svg(tree(30)))
    yield _row("300 nodes to SVG", 1.0, lambda: viz.svg(tree(300)))
    yield _row("3,000 nodes to SVG", None, lambda: viz.svg(tree(3000)), repeats=1)
    yield _row("page of 30 nodes", None, lambda: _page(tree(30)), size=150_000)
    with tempfile.TemporaryDirectory() as folder:
        flow = long_run(Path(folder) / "runs.db")

        def page() -> str:
            with Seeing(flow, Path(folder) / "runs.db") as seeing:
                run = seeing.ledger.latest("t1")
                assert run is not None
                view = seeing.view(run, states=True)
            assert len(view.states) > _SUPERSTEPS
            return _page(flow.spec, view)

        yield _row(
            f"page of {_SUPERSTEPS} supersteps, {_ENTRY // 1000} kB each",
            2.0,
            page,
            size=2_000_000,
            repeats=3,
        )


def _page(spec: WorkflowSpec, run: viz.RunView | None = None) -> str:
    from dalsegno.viz.page import page

    return page(viz.picture_of(spec), run)


def _row(
    what: str,
    gate: float | None,
    draw: Callable[[], str],
    *,
    size: int | None = None,
    repeats: int = _REPEATS,
) -> str:
    times, drawn = [], ""
    for _ in range(repeats):
        began = time.perf_counter()
        drawn = draw()
        times.append(time.perf_counter() - began)
    took, large = statistics.median(times), len(drawn.encode())
    met = (gate is None or took <= gate) and (size is None or large <= size)
    limit = f"≤ {gate:g} s" if gate is not None else "–"
    most = f"≤ {size / 1000:,.0f} kB" if size is not None else "–"
    return f"| {what} | {took:.3f} s | {limit} | {large / 1000:,.0f} kB | {most} | {'yes' if met else '**no**'} |"
