"""A run laid over a `Diagram`: the same nodes and edges, with what the run did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dalsegno.graphs.model import START
from dalsegno.nodes.paths import around, name_of, prefix_of
from dalsegno.viz.captions import RESUMABLE, caption, progress_line, run_description
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramEdge, DiagramNode, EdgeKey
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.text import plain, wrapped

Box = TypeVar("Box", bound=DiagramNode | Cluster)


def lay(diagram: Diagram, run: RunView, report: Any = None) -> Diagram:
    """The diagram with the run over it: statuses, counts against bounds, the mark, the rest faded."""
    whole = entered_again(diagram.edges, run.edges)
    counts = taken_times(whole, run.edges)
    edges = tuple(_edge(edge, count) for edge, count in zip(whole, counts, strict=True))
    reached = {end for e in edges if "taken" in e.classes for end in (e.source, e.target)}
    passed = Counter(e.via for e in edges if e.via and "taken" in e.classes)
    waited_for = Counter(e.via for e in edges if e.via)
    full = {bar for bar, count in waited_for.items() if passed[bar] == count}
    entered = set(filter(None, map(around, run.nodes)))
    nodes = tuple(
        _faded(n, n.id in (full if n.kind == "join" else reached) or _is_entry(n, entered, run))
        if n.kind in MARKS
        else _progress(n, run)
        for n in diagram.nodes
    )
    clusters = tuple(_without_echo(_progress(c, run), run) for c in diagram.clusters)
    return replace(
        diagram,
        nodes=nodes,
        edges=edges,
        clusters=clusters,
        caption=caption(run, report),
        status=run.status,
        description=run_description(diagram, (*nodes, *clusters), edges, run),
    )


def entered_again(edges: Iterable[DiagramEdge], taken: Mapping[EdgeKey, int]) -> tuple[DiagramEdge, ...]:
    """The edges, each with the bound of the whole run: a loop in a subworkflow has its own at each entry."""
    edges = tuple(edges)
    entries: Counter[str] = Counter()
    for edge in edges:
        if edge.key and name_of(edge.key[0]) == START:
            level, count = prefix_of(edge.key[0]), taken.get(edge.key, 0)
            entries[level] = max(entries[level], count) if edge.kind == "static" else entries[level] + count
    return tuple(
        replace(e, bound=e.bound * entries[level])
        if e.key and e.bound is not None and (level := prefix_of(e.key[0])) and entries[level] > 1
        else e
        for e in edges
    )


def taken_times(edges: Collection[DiagramEdge], taken: Mapping[EdgeKey, int]) -> list[int]:
    """How often each edge was taken.

    A loop and the edge that follows when it is spent may share source, target and label: the loop is
    credited up to its bound, the rest goes to the next. Where only one edge leads from a node to
    another, a count without the router's answer is meant for it; else it is of what was sent.
    """
    between = Counter(e.key[:2] for e in edges if e.key)
    left: dict[EdgeKey, int] = {}
    counts = []
    for edge in edges:
        key = edge.key
        if key is None:
            counts.append(0)
            continue
        ends = key[:2]
        if key not in taken and (between[ends] == 1 or "each" in edge.classes):
            key = (*ends, None)
        rest = left.setdefault(key, taken.get(key, 0))
        count = min(rest, edge.bound) if edge.bound is not None and between[ends] > 1 else rest
        left[key] = rest - count
        counts.append(count)
    return counts


def counted(edge: DiagramEdge, count: int) -> str:
    """An edge's label with how often it was taken: against its bound where it has one."""
    if edge.bound is not None:
        words = edge.base.rpartition("≤")[0].strip()
        return f"{words} {count}/{edge.bound}".strip()
    return f"{edge.base} ×{count}".strip() if count > 1 else edge.base


def _edge(edge: DiagramEdge, count: int) -> DiagramEdge:
    if edge.kind == "compensation":
        return edge
    said = ("taken once" if count == 1 else f"taken {count} times") if count else "not taken"
    label = counted(edge, count)
    details = edge.details
    if edge.label and label != edge.label:
        details = details.replace(f" · {edge.label}", f" · {label}", 1)
    elif label != edge.label:
        details = f"{details} · {label}"
    return replace(
        edge,
        label=label,
        classes=(*edge.classes, "taken" if count else "untaken"),
        details=f"{details} · {said}",
    )


def _progress(box: Box, run: RunView) -> Box:
    """A box with its status, its words, its error and the mark of the run's resume."""
    seen, waits = _seen(box, run)
    if seen is None and not waits:
        return replace(box, classes=(*box.classes, "untaken"))
    done = seen or NodeRun(status="pending")
    status: str = done.status
    if (waits and status == "done") or (status == "running" and run.status in RESUMABLE):
        status = "pending"
    mark = "resumes here" if waits and run.status in RESUMABLE else None
    line = progress_line(done, status, in_vain=run.status == "cancelled")
    error = plain(done.error) if done.error else ""
    return replace(
        box,
        classes=(*box.classes, status, *(["resumes"] if mark else [])),
        lines=(line, *(wrapped(error) if error else ())),
        status=status,
        mark=mark,
        details=" · ".join(s for s in (box.details, line, error, mark) if s),
    )


def _without_echo(frame: Cluster, run: RunView) -> Cluster:
    """A frame without the error that a box within it shows already; its details have it all the same."""
    own = run.nodes.get(frame.id)
    inside = [node for name, node in run.nodes.items() if name.startswith(f"{frame.id}/")]
    if own is None or all(node.error != own.error for node in inside):
        return frame
    return replace(frame, lines=frame.lines[:1])


def _seen(box: DiagramNode | Cluster, run: RunView) -> tuple[NodeRun | None, bool]:
    """What the run did in a box; in a folded one, what it did in all that it stands for."""
    members = box.members if isinstance(box, DiagramNode) else ()
    if not members:
        return run.nodes.get(box.id), box.id in run.pending
    own = run.nodes.get(box.id)
    waits = any(name in run.pending for name in (box.id, *members))
    if own is not None:
        return own, waits
    inner = [run.nodes[name] for name in members if name in run.nodes]
    if not inner:
        return None, waits
    worst = min(inner, key=lambda n: _URGENCY.index(n.status))
    times = [n.seconds for n in inner if n.seconds is not None]
    spent = sum(times) if times else None
    caught = max(n.caught for n in inner)
    return NodeRun(max(n.count for n in inner), worst.status, spent, error=worst.error, caught=caught), waits


_URGENCY = ("failed", "interrupted", "running", "pending", "caught", "done")


def _faded(node: DiagramNode, taken: bool) -> DiagramNode:
    return replace(node, classes=(*node.classes, "taken" if taken else "untaken"))


def _is_entry(node: DiagramNode, entered: Collection[str], run: RunView) -> bool:
    """START is reached where anything of its workflow was executed."""
    if node.kind != "start":
        return False
    level = node.id.removesuffix(START).rstrip("/")
    return (
        any(name == level or name.startswith(f"{level}/") for name in entered) if level else bool(run.nodes)
    )
