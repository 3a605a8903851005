"""Parts of a diagram folded into one box each, where it would be too large to be read.

A folded box names how many nodes it stands for, and shows what a run did in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

from dalsegno.nodes.paths import around
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramEdge, DiagramNode

MOST = 150
"""Nodes above which a picture folds by itself."""
LARGEST = 400
"""Nodes up to which a page has all that it folds by itself."""
_SHORTEST = 4


def folded(diagram: Diagram, *, most: int = MOST) -> Diagram:
    """The diagram, folded until it has at most `most` nodes: subworkflows first, the innermost first, then
    chains. What cannot be folded stays.
    """
    diagram = fold(diagram, crowded(diagram, most=most))
    return fold_chains(diagram) if len(_nodes(diagram)) > most else diagram


def shut(diagram: Diagram, *, most: int = MOST, largest: int = LARGEST) -> Diagram:
    """The diagram for a page, whose subworkflows can be unfolded: those that would be folded are, to begin with.

    One of more than `largest` nodes is folded for good, as is a chain that makes it too large.
    """
    if len(_nodes(diagram)) > largest:
        return folded(diagram, most=most)
    names = crowded(diagram, most=most)
    if len(_nodes(fold(diagram, names))) > most:
        diagram = fold_chains(diagram)
    return replace(diagram, shut=tuple(names))


def crowded(diagram: Diagram, *, most: int = MOST) -> list[str]:
    """The subworkflows that have to be folded for a diagram to have at most `most` nodes, the innermost first."""
    found: list[str] = []
    while len(_nodes(diagram)) > most and diagram.clusters:
        parents = {c.parent for c in diagram.clusters}
        inner = [c.id for c in diagram.clusters if c.id not in parents]
        sizes = {name: sum(n.cluster == name for n in diagram.nodes) for name in inner}
        over = len(_nodes(diagram)) - most
        chosen: list[str] = []
        for name in sorted(inner, key=lambda n: -sizes[n]):
            if over <= 0:
                break
            chosen.append(name)
            over -= sizes[name]
        diagram = fold(diagram, chosen)
        found += chosen
    return found


def fold(diagram: Diagram, names: Collection[str]) -> Diagram:
    """The diagram with these subworkflows (paths) folded into a box each."""
    outermost = {n for n in names if not any(n.startswith(f"{other}/") for other in names)}
    known = {c.id: c for c in diagram.clusters if c.id in outermost}
    inside = {n.id: _holder(n.id, known) for n in diagram.nodes}
    nodes: list[DiagramNode] = [n for n in diagram.nodes if not inside[n.id]]
    for cluster in known.values():
        nodes.append(_box_of(cluster, [n for n in diagram.nodes if inside[n.id] == cluster.id]))
    edges = tuple(e for e in diagram.edges if not _holder(e.source, known))
    clusters = tuple(c for c in diagram.clusters if c.id not in known and not _holder(c.id, known))
    return replace(diagram, nodes=tuple(nodes), edges=edges, clusters=clusters)


def _holder(name: str, known: Collection[str]) -> str:
    """The folded subworkflow that something is within; itself is not within itself."""
    path = around(name)
    while path:
        if path in known:
            return path
        path = around(path)
    return ""


def _box_of(cluster: Cluster, members: Collection[DiagramNode]) -> DiagramNode:
    count = sum(m.kind not in MARKS for m in members)
    return DiagramNode(
        cluster.id,
        cluster.label,
        "subworkflow",
        cluster.parent,
        classes=(*cluster.classes, "folded-box"),
        badges=(f"{count} nodes", *cluster.badges),
        details=f"{cluster.details} · {count} nodes, folded",
        members=tuple(m.id for m in members),
    )


def fold_chains(diagram: Diagram, *, shortest: int = _SHORTEST) -> Diagram:
    """The diagram with every chain of at least so many nodes folded between its first and its last one.

    A chain is a way without a choice: each of its nodes is left by one edge and entered by one.
    """
    chains = [c[1:-1] for c in _chains(diagram) if len(c) >= shortest + 2]
    holder = {name: f"chain:{chain[0]}" for chain in chains for name in chain}
    if not holder:
        return diagram
    known = {n.id: n for n in diagram.nodes}
    nodes = [n for n in diagram.nodes if n.id not in holder]
    for chain in chains:
        first, last = known[chain[0]], known[chain[-1]]
        label = f"{first.label} … {last.label}"
        details = f"{len(chain)} nodes in a row, folded: {', '.join(known[name].label for name in chain)}"
        badges = (f"{len(chain)} nodes in a row",)
        nodes.append(
            DiagramNode(
                holder[first.id],
                label,
                "folded",
                first.cluster,
                ("folded",),
                badges,
                details=details,
                members=tuple(chain),
            )
        )
    edges = []
    for edge in diagram.edges:
        source, target = holder.get(edge.source, edge.source), holder.get(edge.target, edge.target)
        if source != target or edge.source == edge.target:
            edges.append(replace(edge, source=source, target=target))
    return replace(diagram, nodes=tuple(nodes), edges=tuple(edges))


def _chains(diagram: Diagram) -> list[list[str]]:
    plain = {n.id: n for n in diagram.nodes if n.kind not in MARKS}
    onward: dict[str, list[DiagramEdge]] = defaultdict(list)
    entering: dict[str, int] = defaultdict(int)
    for edge in diagram.edges:
        onward[edge.source].append(edge)
        entering[edge.target] += 1

    def follows(name: str) -> str | None:
        edges = onward[name]
        if len(edges) != 1 or edges[0].via or edges[0].target not in plain or name not in plain:
            return None
        target = edges[0].target
        return target if entering[target] == 1 and plain[target].cluster == plain[name].cluster else None

    after = {name: following for name in plain if (following := follows(name))}
    heads = [name for name in after if name not in set(after.values())]
    found = []
    for head in heads:
        chain = [head]
        while chain[-1] in after and after[chain[-1]] not in chain[:1]:
            chain.append(after[chain[-1]])
        found.append(chain)
    return found


def _nodes(diagram: Diagram) -> list[DiagramNode]:
    return [n for n in diagram.nodes if n.kind not in MARKS]
