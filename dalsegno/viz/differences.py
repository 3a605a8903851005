"""Two graphs, or two runs of one, as one picture: what is only in one of them, what is in both and differs.

Sign, stroke and colour say the same thing: ``+`` and a thick border for what is new, ``−`` and dashes for
what is gone, ``≠`` for what has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from dalsegno.nodes.paths import prefix_of
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.laying import lay
from dalsegno.viz.overlay import RunView
from dalsegno.viz.palette import CHANGES
from dalsegno.viz.text import short

Box = TypeVar("Box", bound=DiagramNode | Cluster)
Part = TypeVar("Part", bound=DiagramNode | DiagramEdge | Cluster)


def graphs_apart(before: Diagram, after: Diagram) -> Diagram:
    """Both graphs in one picture; what is the same in both is drawn as always."""
    nodes = _united(_named_joins(before), _named_joins(after), lambda n: n.id, _node_changed)
    edges = _united(_edges_of(before), _edges_of(after), _edge_key, lambda a, b: a.label != b.label)
    clusters = _united(before.clusters, after.clusters, lambda c: c.id, lambda a, b: a.badges != b.badges)
    said = _told((*(n for n in nodes if n.kind not in MARKS), *edges, *clusters))
    return replace(
        after,
        nodes=_within(nodes, clusters),
        edges=edges,
        clusters=clusters,
        caption=(said,),
        status=None,
        description=f"{after.description} Compared with {before.name}: {said}.",
    )


def runs_apart(diagram: Diagram, before: RunView, after: RunView) -> Diagram:
    """Two runs over one graph: each box and edge with what either did, marked where that differs.

    What is to be known of the runs (their notes) is told with what differs.
    """
    one, two = lay(diagram, before), lay(diagram, after)
    nodes = tuple(_both(a, b) for a, b in zip(one.nodes, two.nodes, strict=True))
    clusters = tuple(_both(a, b) for a, b in zip(one.clusters, two.clusters, strict=True))
    edges = tuple(_both_ways(a, b) for a, b in zip(one.edges, two.edges, strict=True))
    names = f"run {before.run_id[:8]} ({before.status}) → run {after.run_id[:8]} ({after.status})"
    used = f"{before.supersteps} → {after.supersteps} supersteps"
    said = _told((*(n for n in nodes if n.kind not in MARKS), *edges, *clusters))
    notes = [short(note, 120) for note in dict.fromkeys((after.note, before.note)) if note]
    told = " ".join([f"{names}, {used}, {said}.", *notes])
    return replace(
        two,
        nodes=nodes,
        edges=edges,
        clusters=clusters,
        caption=(" · ".join([names, used, said, *notes]),),
        status=None,
        description=f"{diagram.description} Two runs compared: {told}",
    )


def _told(parts: Iterable[DiagramNode | DiagramEdge | Cluster]) -> str:
    counts = dict.fromkeys(CHANGES, 0)
    for part in parts:
        for change in CHANGES:
            counts[change] += f"change-{change}" in part.classes
    words = [f"{CHANGES[change]} {count} {change}" for change, count in counts.items() if count]
    return " · ".join(words) or "nothing differs"


def _changed(part: Part, change: str, *, told: bool = True) -> Part:
    """A part with the class, the sign and the word of a change."""
    sign = CHANGES[change]
    more = {"classes": (*part.classes, f"change-{change}"), "details": f"{part.details} · {change}"}
    if isinstance(part, DiagramEdge):
        label = f"{sign} {part.label}".strip()
        return replace(part, **more, label=label, base=label)  # type: ignore[arg-type]
    badges = (f"{sign} {change}", *part.badges) if told else part.badges
    return replace(part, **more, badges=badges)  # type: ignore[arg-type]


def _united(
    before: Iterable[Part],
    after: Iterable[Part],
    name: Callable[[Part], Hashable],
    is_other: Callable[[Part, Part], bool],
) -> tuple[Part, ...]:
    """What is after, then what is gone, each with its change."""
    old, new = _by_name(before, name), _by_name(after, name)
    found = []
    for known, part in new.items():
        if known not in old:
            found.append(_changed(part, "added"))
        else:
            found.append(_changed(part, "changed") if is_other(old[known], part) else part)
    return (*found, *(_changed(part, "removed") for known, part in old.items() if known not in new))


def _by_name(parts: Iterable[Part], name: Callable[[Part], Hashable]) -> dict[Hashable, Part]:
    """Parts by their names, those of one name (as of two routers that answer the same) by their order as well."""
    seen: Counter[Hashable] = Counter()
    found: dict[Hashable, Part] = {}
    for part in parts:
        known = name(part)
        found[known, seen[known]] = part
        seen[known] += 1
    return found


def _node_changed(before: DiagramNode, after: DiagramNode) -> bool:
    return (before.kind, before.badges) != (after.kind, after.badges)


def _named_joins(diagram: Diagram) -> tuple[DiagramNode, ...]:
    """Nodes with their joins named by what they join: their numbers differ from graph to graph."""
    names = _joins(diagram)
    return tuple(replace(n, id=names[n.id]) if n.id in names else n for n in diagram.nodes)


def _joins(diagram: Diagram) -> Mapping[str, str]:
    """The bars by what they join, each in its own workflow; no name has a colon."""
    sources: dict[str, list[str]] = {}
    targets: dict[str, str] = {}
    for edge in diagram.edges:
        if edge.via:
            sources.setdefault(edge.via, []).append(edge.source.removeprefix(prefix_of(edge.via)))
            targets[edge.via] = edge.target.removeprefix(prefix_of(edge.via))
    named: dict[str, str] = {}
    for bar, found in sources.items():
        name = f"{prefix_of(bar)}join:{':'.join(sorted(found))}:{targets[bar]}"
        while name in named.values():
            name += ":"
        named[bar] = name
    return named


def _edges_of(diagram: Diagram) -> tuple[DiagramEdge, ...]:
    names = _joins(diagram)
    return tuple(replace(e, via=names[e.via]) if e.via else e for e in diagram.edges)


def _edge_key(edge: DiagramEdge) -> Hashable:
    answer = edge.key[2] if edge.key else None
    return (edge.source, edge.target, edge.kind, answer, edge.via, "spent" in edge.classes)


def _within(nodes: tuple[DiagramNode, ...], clusters: tuple[Cluster, ...]) -> tuple[DiagramNode, ...]:
    """A box that has become a frame, or was one, is drawn as the frame alone."""
    frames = {c.id for c in clusters}
    return tuple(n for n in nodes if n.id not in frames)


def _both(one: Box, two: Box) -> Box:
    if isinstance(two, DiagramNode) and two.kind in MARKS:
        same = one.classes == two.classes
        return two if same else _changed(two, "changed", told=False)
    seen = [b.lines[0] if b.lines else "not reached" for b in (one, two)]
    plain = replace(two, classes=tuple(c for c in two.classes if c != "resumes"), mark=None)
    if _without_time(seen[0]) == _without_time(seen[1]):
        return replace(plain, lines=plain.lines[:1])
    change = "changed" if one.lines and two.lines else "added" if two.lines else "removed"
    line = f"{CHANGES[change]} {_brief(seen[0])} → {_brief(seen[1])}"
    return replace(_changed(plain, change, told=False), lines=(line,), details=f"{plain.details} · {line}")


def _without_time(line: str) -> tuple[str, ...]:
    """What a node did without how long it took, which no two runs share."""
    return tuple(word for word in line.split(" · ") if not word.endswith((" s", " ms", " min")))[:3] or (
        line[:1],
    )


def _brief(line: str) -> str:
    """The sign of a status, and how many times."""
    words = line.split(" ")
    times = next((w for w in words if w.startswith("×")), "")
    return f"{words[0]} {times}".strip() if words[0] != "not" else "–"


def _both_ways(one: DiagramEdge, two: DiagramEdge) -> DiagramEdge:
    if one.label == two.label and ("taken" in one.classes) == ("taken" in two.classes):
        return two
    change = "changed"
    if "taken" not in one.classes:
        change = "added"
    elif "taken" not in two.classes:
        change = "removed"
    label = two.label
    if one.label != two.label:
        words, _, count = two.label.rpartition(" ")
        same = bool(words) and one.label.startswith(f"{words} ")
        label = f"{one.label} → {count}" if same else f"{one.label or '×1'} → {two.label or '×1'}"
    return replace(_changed(two, change), label=f"{CHANGES[change]} {label}".strip(), base=two.base)
