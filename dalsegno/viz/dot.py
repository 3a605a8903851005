"""A `Diagram` -> DOT, the language of Graphviz.

Names never reach the DOT grammar as markup: an id that is not tame becomes ``#<n>``, labels are
quoted (edges) or HTML-like (nodes) and escaped for both of Graphviz's expansions, entities and
``\\N`` (https://graphviz.org/docs/attr-types/escString/).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from dalsegno.viz import palette as p
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.text import plain, short

if TYPE_CHECKING:
    import graphviz

_TAME = re.compile(r"\w[\w ./-]{0,79}")
_SHAPES = {"tool": "box", "human": "box", "handler": "octagon", "remote": "box"}
_EYEBROWS = {"function": "", "unknown": ""}


def to_dot(diagram: Diagram) -> str:
    """The diagram in DOT: the same text for the same diagram, readable, ready for any Graphviz."""
    return str(_Dot(diagram).graph().source)


class _Dot:
    def __init__(self, diagram: Diagram) -> None:
        self.diagram = diagram
        self.clusters = {c.id: c for c in diagram.clusters}
        self.names = {n.id: _name(n.id, i) for i, n in enumerate(diagram.nodes)}

    def graph(self) -> graphviz.Digraph:
        import graphviz

        graph = graphviz.Digraph(name="workflow", graph_attr=self._graph_attributes())
        font = {"fontname": p.FONT, "penwidth": "1.1"}
        graph.attr("node", fontsize="12", fontcolor=p.INK, margin="0.16,0.09", **font)
        graph.attr("edge", fontsize="9.5", fontcolor=p.MUTED, color=p.LINE, arrowsize="0.65", **font)
        self._level(graph, None)
        for i, edge in enumerate(self.diagram.edges):
            self._edge(graph, edge, i)
        for node in self.diagram.nodes:
            if node.kind == "join":
                self._stem(graph, node)
        return graph

    def _graph_attributes(self) -> dict[str, str]:
        return {
            "bgcolor": p.PAPER,
            "charset": "UTF-8",
            "compound": "true",
            "fontname": p.FONT,
            "fontcolor": p.MUTED,
            "fontsize": "10",
            "label": _title(self.diagram),
            "labelloc": "t",
            "labeljust": "l",
            "nodesep": "0.4",
            "ranksep": "0.5",
            "pad": "0.25",
        }

    def _level(self, graph: graphviz.Digraph, cluster: str | None) -> None:
        """The nodes of one frame, then the frames within it."""
        for i, node in enumerate(self.diagram.nodes):
            if node.cluster == cluster:
                names = {"id": f"node{i}", "class": " ".join(node.classes)}
                graph.node(self.names[node.id], **names, **_node_attributes(node))
        for i, inner in enumerate(self.diagram.clusters):
            if inner.parent == cluster:
                with graph.subgraph(name=f"cluster_{i}") as frame:
                    names = {"id": f"frame{i}", "class": " ".join(inner.classes)}
                    frame.attr(**names, **_cluster_attributes(inner))
                    self._level(frame, inner.id)

    def _edge(self, graph: graphviz.Digraph, edge: DiagramEdge, number: int) -> None:
        tail, head = self._tail(edge.source), self._head(edge.via or edge.target)
        attributes = {"id": f"edge{number}", "class": " ".join(edge.classes)} | _edge_attributes(edge)
        if edge.via:
            attributes |= {"arrowhead": "none"}
        attributes |= self._frames(edge)
        graph.edge(tail, head, label=_padded(edge.label) if edge.label else None, **attributes)

    def _stem(self, graph: graphviz.Digraph, bar: DiagramNode) -> None:
        """From a join's bar to the node that waits."""
        edge = next(e for e in self.diagram.edges if e.via == bar.id)
        attributes = _stroke(bar.classes) | {"class": "stem", "weight": "4"}
        if edge.target in self.clusters:
            attributes["lhead"] = self._frame_name(edge.target)
        graph.edge(self.names[bar.id], self._head(edge.target), **attributes)

    def _tail(self, end: str) -> str:
        return self._tail(self.clusters[end].exit) if end in self.clusters else self.names[end]

    def _head(self, end: str) -> str:
        return self._head(self.clusters[end].entry) if end in self.clusters else self.names[end]

    def _frames(self, edge: DiagramEdge) -> dict[str, str]:
        """Cuts an edge at the border of the frame it enters or leaves; a self-loop has no border."""
        found = {}
        if edge.source != edge.target:
            if edge.source in self.clusters:
                found["ltail"] = self._frame_name(edge.source)
            if edge.target in self.clusters and not edge.via:
                found["lhead"] = self._frame_name(edge.target)
        return found

    def _frame_name(self, cluster: str) -> str:
        return f"cluster_{list(self.clusters).index(cluster)}"


def _name(node_id: str, number: int) -> str:
    return node_id if _TAME.fullmatch(node_id) else f"#{number}"


def _padded(text: str) -> str:
    """A quoted label with a space on either side, so that it keeps off its line."""
    import graphviz

    # Graphviz expands entities in quoted labels too.
    return str(graphviz.escape(f"\u00a0{plain(text)}\u00a0")).replace("&", "&amp;")


def markup(text: str) -> str:
    """A text as it may stand in an HTML-like label."""
    return escape(plain(text)).replace("\\", "&#92;&#92;")


def _font(text: str, size: int, color: str, *, bold: bool = False) -> str:
    """Text in points; a whole number, since Graphviz cuts off the rest."""
    body = f"<B>{markup(text)}</B>" if bold else markup(text)
    return f'<FONT POINT-SIZE="{size}" COLOR="{color}">{body}</FONT>'


def _table(rows: Iterator[str], align: str = "CENTER") -> str:
    cells = "".join(f'<TR><TD ALIGN="{align}">{row}</TD></TR>' for row in rows)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{cells}</TABLE>>'


def _title(diagram: Diagram) -> str:
    def rows() -> Iterator[str]:
        yield _font(diagram.title, 14, p.INK, bold=True)
        for i, line in enumerate(diagram.caption):
            status = p.STATUSES.get(p.RUN_STATUSES.get(diagram.status or "", ""))
            yield _font(line, 10, status.ink if status and i == 0 else p.MUTED)
        yield '<FONT POINT-SIZE="4">&#160;</FONT>'

    return _table(rows(), "LEFT")


def _paint(node: DiagramNode | Cluster, kind: str) -> p.Paint:
    if node.status:
        return p.STATUSES[node.status]
    if "untaken" in node.classes:
        return p.FADED
    return p.KINDS.get(kind, p.PLAIN)


def _box_rows(node: DiagramNode | Cluster, kind: str) -> Iterator[str]:
    faded = "untaken" in node.classes
    paint, quiet = _paint(node, kind), p.FAINT if faded else p.MUTED
    eyebrow = _EYEBROWS.get(kind, kind.upper())
    if eyebrow:
        yield _font(eyebrow, 7, quiet)
    ink = paint.ink if faded or kind == "unknown" else p.INK
    yield _font(short(node.label, 40), 13, ink, bold=not faded)
    for row in _packed(node.badges):
        yield _font(row, 9, quiet)
    for line in node.lines:
        yield _font(line, 10, paint.ink)
    if node.mark:
        yield _font(f"↻ {node.mark}", 10, p.STATUSES["pending"].ink, bold=True)


def _packed(words: tuple[str, ...], width: int = 36) -> list[str]:
    """Badges in as few lines as fit."""
    rows: list[str] = []
    for word in words:
        if rows and len(rows[-1]) + len(word) + 3 <= width:
            rows[-1] += f" · {word}"
        else:
            rows.append(word)
    return rows


def _node_attributes(node: DiagramNode) -> dict[str, str]:
    faded = "untaken" in node.classes
    color = p.HAIR if faded else p.INK
    if node.kind in ("start", "end"):
        return _pill(node, color)
    if node.kind == "join":
        bar, text = (p.HAIR, p.INK) if faded else (p.INK, p.PAPER)
        return {
            "label": _table(iter([_font(node.label.upper(), 7, text, bold=True)])),
            "shape": "box", "style": "filled", "fillcolor": bar, "color": bar,
            "width": "0.9", "height": "0.19", "fixedsize": "true", "margin": "0",
        }  # fmt: skip
    paint = _paint(node, node.kind)
    style = ["filled"] if node.kind in ("tool", "handler") else ["filled", "rounded"]
    if node.kind == "unknown" or node.status == "pending":
        style.append("dashed")
    elif "deferred" in node.classes:
        style.append("dotted")
    attributes = {
        "label": _table(_box_rows(node, node.kind)),
        "shape": _SHAPES.get(node.kind, "box"),
        "style": ",".join(style),
        "fillcolor": paint.fill,
        "color": paint.border,
        "width": "1.1",
        "height": "0.46",
    }
    if node.status in ("failed", "interrupted", "running") or node.mark:
        attributes["penwidth"] = "2"
    if node.kind == "remote":
        attributes["peripheries"] = "2"
    return attributes


def _pill(node: DiagramNode, color: str) -> dict[str, str]:
    """START and END: small pills; inside a frame a dot and a ring."""
    if node.cluster is not None:
        return {
            "label": "", "shape": "circle", "style": "filled", "width": "0.13", "height": "0.13",
            "fixedsize": "true", "color": color, "fillcolor": color if node.kind == "start" else p.PAPER,
            "penwidth": "2" if node.kind == "end" else "1",
        }  # fmt: skip
    start = node.kind == "start"
    full = start and color == p.INK
    text = p.PAPER if full else p.FAINT if color == p.HAIR else p.INK
    return {
        "label": _table(iter([_font(node.label, 9, text, bold=True)])),
        "shape": "box", "style": "filled,rounded", "penwidth": "1.6",
        "width": "0.62", "height": "0.3", "fixedsize": "true", "margin": "0",
        "color": color, "fillcolor": color if full else p.PAPER,
    }  # fmt: skip


def _cluster_attributes(cluster: Cluster) -> dict[str, str]:
    paint = _paint(cluster, "subworkflow")
    style = "rounded,filled" + (",dashed" if cluster.status == "pending" else "")
    return {
        "label": _table(_box_rows(cluster, "subworkflow"), "LEFT"),
        "labeljust": "l",
        "style": style,
        "fillcolor": p.FRAME,
        "color": paint.border if cluster.status else p.HAIR,
        "penwidth": "1.6" if cluster.status else "1.1",
        "margin": "14",
    }


def _stroke(classes: tuple[str, ...]) -> dict[str, str]:
    """Width and colour of a line that was taken, was not, or has no run over it."""
    if "taken" in classes:
        return {"color": p.TAKEN, "penwidth": "1.8", "fontcolor": p.INK}
    if "untaken" in classes:
        return {"color": p.HAIR, "fontcolor": p.FAINT}
    return {}


def _edge_attributes(edge: DiagramEdge) -> dict[str, Any]:
    classes = set(edge.classes)
    found: dict[str, Any] = dict(_stroke(edge.classes))
    faded = "untaken" in classes
    if "loop" in classes:
        found["style"] = "dashed"
        if not faded:
            found |= {"color": p.ACCENT, "fontcolor": p.ACCENT}
    elif "spent" in classes:
        found["style"] = "dotted"
        found["penwidth"] = found.get("penwidth", "1.4")
    elif "handler" in classes or "unknown" in classes:
        found["style"] = "dashed" if "handler" in classes else "dotted"
        if not faded:
            found |= {"color": p.ALARM, "fontcolor": p.ALARM}
    elif "compensation" in classes:
        found |= {"style": "dashed", "color": p.KINDS["human"].border, "constraint": "false"}
    if "back" in classes:
        found["constraint"] = "false"
    if "each" in classes:
        color = found.get("color", p.LINE)
        found["color"] = f"{color}:{p.PAPER}:{color}"
    elif {"choice", "many", "command"} & classes and "loop" not in classes and "spent" not in classes:
        found |= {"dir": "both", "arrowtail": "odiamond" if "many" not in classes else "odot"}
    return found
