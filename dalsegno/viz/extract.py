"""A `WorkflowSpec` (and a run of it) -> a `Diagram`: what is declared is drawn, nothing is guessed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dalsegno.graphs.model import END, START
from dalsegno.viz.captions import RESUMABLE, badges, caption, description, progress_line
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.text import plain, short, wrapped

if TYPE_CHECKING:
    from dalsegno.graphs.model import EdgeSpec, NodeSpec, WorkflowSpec


def diagram(spec: WorkflowSpec, *, run: RunView | None = None, report: Any = None) -> Diagram:
    """The picture of a workflow, with a run laid over it if there is one.

    `report` is what `validate` returned: its certificate is written beside the name, and the codes
    of its findings stand at the nodes they name. A run does not change which nodes and edges there
    are, nor their order, so both pictures have the same layout.
    """
    drawing = _Drawing(run, _findings(report))
    drawing.level(spec, prefix="", cluster=None)
    return Diagram(
        title=short(spec.name, 60),
        nodes=tuple(drawing.nodes),
        edges=tuple(drawing.edges),
        clusters=tuple(drawing.clusters),
        caption=caption(run, report),
        status=run.status if run else None,
        description=description(plain(spec.name), drawing.nodes, drawing.edges, drawing.clusters, run),
    )


class _Drawing:
    """Collects nodes, edges and clusters, level by level."""

    def __init__(self, run: RunView | None, findings: dict[str, tuple[str, ...]]) -> None:
        self.run = run
        self.findings = findings
        self.nodes: list[DiagramNode] = []
        self.edges: list[DiagramEdge] = []
        self.clusters: list[Cluster] = []

    def level(self, spec: WorkflowSpec, *, prefix: str, cluster: str | None) -> None:
        """Draws one workflow: START, its nodes (a child is a cluster), END, its edges."""
        self.nodes.append(DiagramNode(prefix + START, "START", "start", cluster, ("start",)))
        handled = {e.source for e in spec.edges if e.kind == "handler"}
        for node in spec.nodes.values():
            self._node(node, prefix, cluster, handled)
        self.nodes.append(DiagramNode(prefix + END, "END", "end", cluster, ("end",)))
        _Edges(self, spec, prefix, cluster).draw()
        self._fade_marks(prefix)

    def _node(self, node: NodeSpec, prefix: str, cluster: str | None, handled: set[str]) -> None:
        path = prefix + node.name
        declared = badges(node, handled)
        classes = [node.kind, *_node_classes(node)]
        codes = self.findings.get(path, ())
        if codes:
            classes.append("finding")
        status, mark, lines, error = self._progress(path)
        if self.run:
            classes += [status or "untaken"] + (["resumes"] if mark else [])
        said = [plain(node.name), node.kind, *declared, *codes, *lines, error, mark]
        box = DiagramNode(
            path,
            node.name,
            node.kind,
            cluster,
            classes=tuple(classes),
            badges=(*declared, *codes),
            lines=(*lines, *(wrapped(error) if error else ())),
            status=status,
            mark=mark,
            details=" · ".join(s for s in said if s),
        )
        if node.child is None:
            self.nodes.append(box)
            return
        self.clusters.append(_framed(box))
        self.level(node.child, prefix=path + "/", cluster=path)

    def _progress(self, path: str) -> tuple[str | None, str | None, list[str], str]:
        """Status, resume mark, words and error of one node in the run."""
        if self.run is None:
            return None, None, [], ""
        seen = self.run.nodes.get(path)
        waits = path in self.run.pending
        if seen is None and not waits:
            return None, None, [], ""
        done = seen or NodeRun(status="pending")
        status: str = done.status
        if (waits and status == "done") or (status == "running" and self.run.status in RESUMABLE):
            status = "pending"
        mark = "resumes here" if waits and self.run.status in RESUMABLE else None
        return status, mark, [progress_line(done, status)], plain(done.error) if done.error else ""

    def _fade_marks(self, prefix: str) -> None:
        """START and END are taken when an edge that leaves or reaches them was."""
        if self.run is None:
            return
        taken = {end for e in self.edges if "taken" in e.classes for end in (e.source, e.target)}
        for i, node in enumerate(self.nodes):
            if node.kind in ("start", "end", "unknown") and node.id.startswith(prefix):
                reached = node.id in taken or (node.kind == "start" and self._entered(prefix))
                state = "taken" if reached else "untaken"
                base = [c for c in node.classes if c not in ("taken", "untaken")]
                self.nodes[i] = replace(node, classes=(*base, state))

    def _entered(self, prefix: str) -> bool:
        return self.run is not None and any(name.startswith(prefix) for name in self.run.nodes)


class _Edges:
    """The edges of one level, with what they need to know of each other."""

    def __init__(self, drawing: _Drawing, spec: WorkflowSpec, prefix: str, cluster: str | None) -> None:
        self.drawing, self.spec, self.prefix, self.cluster = drawing, spec, prefix, cluster
        self.loops = Counter(e.source for e in spec.edges if e.loop is not None)
        self.between = Counter((s, e.target) for e in spec.edges for s in e.origins)
        self.ways = _ways(spec)
        self.left: dict[tuple[str, str, str | None], int] = {}
        self.marks: dict[str, str] = {}

    def draw(self) -> None:
        """Appends every edge once, in the order in which it was declared."""
        for number, edge in enumerate(self.spec.edges):
            target = self._target(edge, number)
            via = self._bar(edge, number) if edge.kind == "join" else None
            for source in edge.origins:
                self._edge(edge, self._end_of(source), target, source, via)

    def _edge(self, edge: EdgeSpec, source: str, target: str, name: str, via: str | None) -> None:
        run = self.drawing.run
        taken = self._taken(edge, name) if run else 0
        classes = [edge.kind, *_edge_classes(edge)]
        if edge.loop is not None and edge.source in self.ways[edge.target]:
            classes.append("back")
        if run:
            classes.append("taken" if taken else "untaken")
        label = self._label(edge, taken if run else None)
        said = [f"{_spoken(name)} → {_spoken(edge.target or 'undeclared')}", edge.kind, label]
        if edge.loop is not None:
            said.append(f"at most {edge.loop} times in a run")
        if run:
            said.append(("taken once" if taken == 1 else f"taken {taken} times") if taken else "not taken")
        self.drawing.edges.append(
            DiagramEdge(
                source,
                target,
                edge.kind,
                label,
                tuple(classes),
                via,
                " · ".join(s for s in said if s),
            )
        )

    def _taken(self, edge: EdgeSpec, source: str) -> int:
        """How often the run took the edge.

        A loop and what follows it when spent may share source, target and label: the loop is
        credited up to its bound, the rest goes to the next.
        """
        run = self.drawing.run
        assert run is not None
        target = self.prefix + edge.target
        key = (self.prefix + source, target, edge.label)
        if key not in run.edges and self.between[source, edge.target] == 1:
            key = (self.prefix + source, target, None)
        left = self.left.setdefault(key, run.edges.get(key, 0))
        shared = edge.loop is not None and self.between[source, edge.target] > 1
        taken = min(left, edge.loop) if shared and edge.loop is not None else left
        self.left[key] = left - taken
        return taken

    def _label(self, edge: EdgeSpec, taken: int | None) -> str:
        words = _answer(edge)
        if edge.exhausted_of is not None:
            words = [*words, "spent"] if self.loops[edge.source] > 1 else ["spent"]
        if edge.kind == "handler":
            words.append("on error")
        if edge.loop is not None:
            words.append(f"≤ {edge.loop}" if taken is None else f"{taken}/{edge.loop}")
            return " ".join(words)
        if edge.fans_out or edge.each is not None:
            words.append(f"each ≤ {edge.each}" if edge.each is not None else "each, no maximum")
        if taken is not None and taken > 1:
            words.append(f"×{taken}")
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
            return self.prefix + name
        mark = f"{self.prefix}missing:{name}"
        if name not in self.marks:
            self.marks[name] = mark
            details = f"{plain(name)}: no node has this name"
            classes, badges = ("unknown", "missing"), ("no such node",)
            self._mark(DiagramNode(mark, name, "unknown", self.cluster, classes, badges, details=details))
        return mark

    def _bar(self, edge: EdgeSpec, number: int) -> str:
        bar = f"{self.prefix}join:{number}"
        names = ", ".join(plain(s) for s in edge.origins)
        details = f"{plain(edge.target)} waits for all of {names}"
        classes: tuple[str, ...] = ("join",)
        run = self.drawing.run
        if run:
            keys = [(self.prefix + s, self.prefix + edge.target, None) for s in edge.origins]
            classes = ("join", "taken" if all(run.edges.get(key) for key in keys) else "untaken")
        self._mark(DiagramNode(bar, "all", "join", self.cluster, classes, details=details))
        return bar

    def _mark(self, node: DiagramNode) -> None:
        self.drawing.nodes.append(node)


def _answer(edge: EdgeSpec) -> list[str]:
    """The router's answer; nothing where it is only the `Each` or `Loop` that stood in a list."""
    said = "" if edge.label is None else str(edge.label)
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
        lines=box.lines,
        status=box.status,
        mark=box.mark,
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
