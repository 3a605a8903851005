"""A `WorkflowSpec` (and a run of it) -> a `Diagram`: what is declared is drawn, nothing is guessed."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from dalsegno.graphs.model import END, START
from dalsegno.graphs.shaping import DEEPEST
from dalsegno.nodes.paths import coded, shown
from dalsegno.viz.captions import badges, caption, description
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.laying import lay
from dalsegno.viz.text import plain, short

if TYPE_CHECKING:
    from dalsegno.graphs.model import EdgeSpec, NodeSpec, WorkflowSpec
    from dalsegno.viz.overlay import RunView


def diagram(spec: WorkflowSpec, *, run: RunView | None = None, report: Any = None) -> Diagram:
    """The picture of a workflow, with a run laid over it if there is one.

    `report` is what `validate` returned: its certificate is written beside the name, and the codes
    of its findings stand at the nodes they name. A run does not change which nodes and edges there
    are, nor their order, so both pictures have the same layout.
    """
    drawing = _Drawing(_findings(report))
    drawing.level(spec, prefix="", cluster=None, depth=0)
    nodes, edges, clusters = tuple(drawing.nodes), tuple(drawing.edges), tuple(drawing.clusters)
    picture = Diagram(
        name=plain(spec.name),
        title=short(spec.name, 60),
        nodes=nodes,
        edges=edges,
        clusters=clusters,
        caption=caption(None, report),
        description=description(plain(spec.name), nodes, edges, clusters),
    )
    return picture if run is None else lay(picture, run, report)


class _Drawing:
    """Collects nodes, edges and clusters, level by level."""

    def __init__(self, findings: dict[str, tuple[str, ...]]) -> None:
        self.findings = findings
        self.nodes: list[DiagramNode] = []
        self.edges: list[DiagramEdge] = []
        self.clusters: list[Cluster] = []

    def level(self, spec: WorkflowSpec, *, prefix: str, cluster: str | None, depth: int) -> None:
        """Draws one workflow: START, its nodes (a child is a cluster), END, its edges."""
        self.nodes.append(DiagramNode(prefix + START, "START", "start", cluster, ("start",)))
        handled = {e.source for e in spec.edges if e.kind == "handler"}
        for node in spec.nodes.values():
            self._node(node, prefix, cluster, handled, depth)
        self.nodes.append(DiagramNode(prefix + END, "END", "end", cluster, ("end",)))
        _Edges(self, spec, prefix, cluster).draw()

    def _node(self, node: NodeSpec, prefix: str, cluster: str | None, handled: set[str], depth: int) -> None:
        path = prefix + coded(node.name)
        declared = badges(node, handled)
        classes = [node.kind, *_node_classes(node)]
        codes = self.findings.get(shown(path), ())
        if codes:
            classes.append("finding")
        said = [plain(node.name), node.kind, *declared, *codes]
        box = DiagramNode(
            path,
            node.name,
            node.kind,
            cluster,
            classes=tuple(classes),
            badges=(*declared, *codes),
            details=" · ".join(said),
        )
        if node.child is None or depth >= DEEPEST:
            self.nodes.append(box)
            return
        self.clusters.append(_framed(box))
        self.level(node.child, prefix=path + "/", cluster=path, depth=depth + 1)


class _Edges:
    """The edges of one level, with what they need to know of each other."""

    def __init__(self, drawing: _Drawing, spec: WorkflowSpec, prefix: str, cluster: str | None) -> None:
        self.drawing, self.spec, self.prefix, self.cluster = drawing, spec, prefix, cluster
        self.loops = Counter(e.source for e in spec.edges if e.loop is not None)
        self.ways = _ways(spec)
        self.marks: dict[str, str] = {}

    def draw(self) -> None:
        """Appends every edge once, in the order in which it was declared; then the compensations."""
        for number, edge in enumerate(self.spec.edges):
            target = self._target(edge, number)
            via = self._bar(edge, number) if edge.kind == "join" else None
            for source in edge.origins:
                self._edge(edge, self._end_of(source), target, source, via)
        for node in self.spec.nodes.values():
            if node.compensate in self.spec.nodes and node.compensate != node.name:
                self._compensation(node.name, str(node.compensate))

    def _edge(self, edge: EdgeSpec, source: str, target: str, name: str, via: str | None) -> None:
        classes = [edge.kind, *_edge_classes(edge)]
        if edge.loop is not None and edge.source in self.ways[edge.target]:
            classes.append("back")
        label = self._label(edge)
        said = [f"{_spoken(name)} → {_spoken(edge.target or 'undeclared')}", edge.kind, label]
        if edge.loop is not None:
            within = "each time its subworkflow is entered" if self.prefix else "in a run"
            said.append(f"at most {'once' if edge.loop == 1 else f'{edge.loop} times'} {within}")
        self.drawing.edges.append(
            DiagramEdge(
                source,
                target,
                edge.kind,
                label,
                tuple(classes),
                via,
                " · ".join(s for s in said if s),
                key=(self._at(name), self._at(edge.target), edge.label) if edge.target else None,
                bound=edge.loop,
                base=label,
            )
        )

    def _compensation(self, source: str, target: str) -> None:
        """From a node to the one that undoes it: no way that a run takes, but what a rollback does."""
        said = f"{_spoken(source)} → {_spoken(target)} · compensation · undoes {_spoken(source)}"
        ends = self._end_of(source), self._end_of(target)
        self.drawing.edges.append(
            DiagramEdge(*ends, "compensation", "undo", ("compensation",), details=said, base="undo")
        )

    def _label(self, edge: EdgeSpec) -> str:
        words = _answer(edge)
        if edge.exhausted_of is not None:
            words = [*words, "spent"] if self.loops[edge.source] > 1 else ["spent"]
        if edge.kind == "handler":
            words.append("on error")
        if edge.loop is not None:
            words.append(f"≤ {edge.loop}")
        elif edge.fans_out or edge.each is not None:
            words.append(f"each ≤ {edge.each}" if edge.each is not None else "each, no maximum")
        return " ".join(words)

    def _target(self, edge: EdgeSpec, number: int) -> str:
        if edge.kind == "unknown" or not edge.target:
            mark = f"{self.prefix}unknown:{number}"
            details = f"{plain(edge.source)} may go anywhere: its targets are not declared"
            self._mark(DiagramNode(mark, "unknown", "unknown", self.cluster, ("unknown",), details=details))
            return mark
        return self._end_of(edge.target)

    def _end_of(self, name: str) -> str:
        """The id of a node that an edge names; one that does not exist is drawn as unknown."""
        if name in (START, END) or name in self.spec.nodes:
            return self._at(name)
        mark = f"{self.prefix}missing:{coded(name)}"
        if name not in self.marks:
            self.marks[name] = mark
            details = f"{plain(name)}: no node has this name"
            classes, badges = ("unknown", "missing"), ("no such node",)
            self._mark(DiagramNode(mark, name, "unknown", self.cluster, classes, badges, details=details))
        return mark

    def _at(self, name: str) -> str:
        return self.prefix + coded(name)

    def _bar(self, edge: EdgeSpec, number: int) -> str:
        bar = f"{self.prefix}join:{number}"
        names = ", ".join(plain(s) for s in edge.origins)
        details = f"{plain(edge.target)} waits for all of {names}"
        self._mark(DiagramNode(bar, "all", "join", self.cluster, ("join",), details=details))
        return bar

    def _mark(self, node: DiagramNode) -> None:
        self.drawing.nodes.append(node)


def _answer(edge: EdgeSpec) -> list[str]:
    """The router's answer; nothing where it is only the `Each` or `Loop` that stood in a list."""
    said = "" if edge.label is None else _spoken(str(edge.label))
    return [] if not said or said.startswith(("Each(target=", "Loop(target=")) else [short(said, 32)]


def _spoken(name: str) -> str:
    return {START: "START", END: "END"}.get(name, plain(name))


def _framed(box: DiagramNode) -> Cluster:
    """The frame of a subworkflow, from the box that it would be without its inside."""
    return Cluster(
        box.id,
        box.label,
        entry=f"{box.id}/{START}",
        exit=f"{box.id}/{END}",
        parent=box.cluster,
        classes=box.classes,
        badges=box.badges,
        details=box.details,
    )


def _node_classes(node: NodeSpec) -> list[str]:
    flags = {
        "deferred": node.defer,
        "effect": node.effect,
        "interrupts": node.interrupts > 0,
        "compensated": node.compensate is not None,
    }
    return [name for name, on in flags.items() if on]


def _edge_classes(edge: EdgeSpec) -> list[str]:
    flags = {
        "loop": edge.loop is not None,
        "each": edge.fans_out or edge.each is not None,
        "spent": edge.exhausted_of is not None,
        "many": edge.many,
    }
    return [name for name, on in flags.items() if on]


def _ways(spec: WorkflowSpec) -> dict[str, set[str]]:
    """Which nodes each node leads to when no loop is taken."""
    onward: dict[str, list[str]] = defaultdict(list)
    for edge in spec.edges:
        if edge.loop is None:
            for source in edge.origins:
                onward[source].append(edge.target)
    found: dict[str, set[str]] = {}
    for target in {e.target for e in spec.edges if e.loop is not None}:
        seen, waiting = {target}, [target]
        while waiting:
            fresh = [n for n in onward[waiting.pop()] if n not in seen]
            seen.update(fresh)
            waiting += fresh
        found[target] = seen
    return found


def _findings(report: Any) -> dict[str, tuple[str, ...]]:
    """Codes of findings by the nodes on their paths."""
    codes: dict[str, list[str]] = defaultdict(list)
    for finding in getattr(report, "findings", None) or ():
        path = getattr(finding, "path", None) or ()
        for name in dict.fromkeys((path,) if isinstance(path, str) else path):
            codes[str(name)].append(str(finding.code))
    return {name: tuple(dict.fromkeys(found)) for name, found in codes.items()}
