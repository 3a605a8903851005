"""A `Diagram` and its `Layout` -> DOT in which everything has its place, for PNG and PDF.

Graphviz only paints it (its engine ``nop2``), so these pictures have the layout of the SVG, and a run
over the graph moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from dalsegno.viz import palette as p
from dalsegno.viz.cards import LINE, NAME, QUIET, banner, card, slip, slip_top
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.dot import markup
from dalsegno.viz.geometry import Box, Line, Point, halfway, has_diamond
from dalsegno.viz.layout import Layout
from dalsegno.viz.metrics import width
from dalsegno.viz.overlay import RunView
from dalsegno.viz.placed_score import bars_and_score

_HEAD = 44.0
_SHAPES = {"agent": "box", "human": "note", "handler": "octagon", "tool": "component"}


def to_placed_dot(diagram: Diagram, layout: Layout, run: RunView | None = None) -> str:
    """The DOT of a placed diagram, and what there is to tell of a run beneath; y upwards, as Graphviz has it."""
    return "\n".join(_Placed(diagram, layout, run).lines())


class _Placed:
    def __init__(self, diagram: Diagram, layout: Layout, run: RunView | None) -> None:
        self.diagram, self.layout, self.run = diagram, layout, run
        self.names = {n.id: f"n{i}" for i, n in enumerate(diagram.nodes)}
        self.frames = {c.id: f"cluster_{i}" for i, c in enumerate(diagram.clusters)}

    def lines(self) -> Iterator[str]:
        font = f'fontname="{p.FONT}"'
        yield f'digraph "" {{graph [bgcolor="{p.PAPER}",pad=0.25,{font}];'
        yield f'node [{font},fixedsize=true,fontcolor="{p.INK}"];edge [{font},fontsize=10];'
        yield from self._level(None)
        for i, edge in enumerate(self.diagram.edges):
            line = self.layout.lines[i]
            if line is not None:
                yield self._edge(edge, line)
        for bar, line in self.layout.stems.items():
            node = next(n for n in self.diagram.nodes if n.id == bar)
            target = next(e.target for e in self.diagram.edges if e.via == bar)
            look = _stroke(node.classes)
            yield f"{self.names[bar]}->{self._end(target, 'entry')} [{_route(line, self.layout)},{look}];"
        yield from self._words()
        yield "}"

    def _level(self, cluster: str | None) -> Iterator[str]:
        for node in self.diagram.nodes:
            if node.cluster == cluster:
                yield self._node(node)
        for inner in self.diagram.clusters:
            if inner.parent == cluster:
                yield f"subgraph {self.frames[inner.id]} {{{self._frame(inner)}"
                yield from self._level(inner.id)
                yield "}"

    def _node(self, node: DiagramNode) -> str:
        box = self.layout.boxes[node.id]
        shape, style, paint = _look(node)
        label = _label(node, paint)
        pen = 1.8 if node.status else 1.1
        around = ",peripheries=2" if node.kind == "remote" else ""
        return (
            f'{self.names[node.id]} [{self._place(box)},shape={shape},style="{style}",label={label},'
            f'fillcolor="{paint.fill}",color="{paint.border}",penwidth={pen}{around}];'
        )

    def _frame(self, cluster: Cluster) -> str:
        box = self.layout.frames[cluster.id]
        head = banner(cluster)
        paint = p.STATUSES.get(cluster.status or "", p.Paint(p.FRAME, p.HAIR))
        x, y = _up(self.layout, (box.x, box.bottom))
        wide = 8 + max([width(head.name, NAME, bold=True), *(width(line, QUIET) for line in head.quiet)])
        soft = paint.ink if cluster.lines else p.MUTED
        rows = _rows(head.name, head.quiet, p.INK, soft, f'WIDTH="{wide:.0f}"', align="LEFT")
        lp = f"{x + 14 + wide / 2:.1f},{y + box.height - 6 - head.height / 2:.1f}"
        return (
            f'bb="{x:.1f},{y:.1f},{x + box.width:.1f},{y + box.height:.1f}";label={rows};lp="{lp}";'
            f'style="rounded,filled";fillcolor="{p.FRAME}";color="{paint.border}";'
        )

    def _edge(self, edge: DiagramEdge, line: Line) -> str:
        tail, head = self._end(edge.source, "exit"), self._end(edge.via or edge.target, "entry")
        parts = [_route(line, self.layout), _stroke(edge.classes)]
        if edge.via:
            parts.append("arrowhead=none")
        if has_diamond(edge):
            parts.append("dir=both,arrowtail=odiamond")
        if edge.label:
            x, y = _up(self.layout, line.label or halfway(line))
            ink = _ink(edge.classes)
            parts.append(f'label=<<FONT COLOR="{ink}">{markup(edge.label)}</FONT>>,lp="{x:.1f},{y:.1f}"')
        return f"{tail}->{head} [{','.join(parts)}];"

    def _words(self) -> Iterator[str]:
        """Title, caption, errors and the mark, where the SVG has them."""
        title = [
            (self.diagram.title, 15, p.INK, True),
            *((c, 10, p.MUTED, False) for c in self.diagram.caption[:1]),
        ]
        y = self.layout.height + _HEAD - 12
        for i, (text, size, ink, bold) in enumerate(title):
            yield self._text(f"title{i}", (0.0, y - 15 * i), text, size, ink, bold=bold)
        for i, text in enumerate(self.diagram.caption[1:]):
            yield self._text(f"caption{i}", (0.0, -22.0 - 14 * i), text, 10, p.MUTED)
        if self.run is not None:
            low = -26.0 - 14 * len(self.diagram.caption[1:])
            yield from bars_and_score(self.run, low, self.layout.width, self._text)
        boxes: tuple[DiagramNode | Cluster, ...] = (*self.diagram.nodes, *self.diagram.clusters)
        for i, box in enumerate(boxes):
            place = (self.layout.boxes | self.layout.frames).get(box.id)
            if place is None:
                continue
            if box.mark:
                yield self._mark(f"mark{i}", (place.x + 2, place.y))
            lines = slip(box, place)
            if lines:
                yield self._slip(f"error{i}", place.middle[0], slip_top(box, place), lines)

    def _slip(self, name: str, middle: float, top: float, lines: tuple[str, ...]) -> str:
        """An error under its box, on a ground of its own: it may be wider than the frame that it stands in."""
        paint = p.STATUSES["failed"]
        wide, tall = max(width(line, QUIET) for line in lines) + 14, 6 + LINE * len(lines)
        rows = "".join(
            f'<TR><TD><FONT POINT-SIZE="10" COLOR="{paint.ink}">{markup(line)}</FONT></TD></TR>'
            for line in lines
        )
        x, y = _up(self.layout, (middle, top + tall / 2))
        return (
            f'"{name}" [shape=box,style="filled,rounded",fillcolor="{paint.fill}",color="{paint.border}",'
            f'penwidth=0.8,fixedsize=true,margin=0,width={wide / 72:.3f},height={tall / 72:.3f},pos="{x:.1f},{y:.1f}",'
            f'label=<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{rows}</TABLE>>];'
        )

    def _mark(self, name: str, middle: Point) -> str:
        """Where the run goes on: at the corner of its box, as the SVG has it; its caption says it in words."""
        x, y = _up(self.layout, middle)
        ink = p.STATUSES["pending"].ink
        return (
            f'"{name}" [shape=circle,style=filled,fillcolor="{ink}",color="{p.PAPER}",penwidth=1.5,fixedsize=true,'
            f'margin=0,width=0.25,pos="{x:.1f},{y:.1f}",'
            f'label=<<FONT POINT-SIZE="11" COLOR="{p.PAPER}"><B>↻</B></FONT>>];'
        )

    def _text(
        self,
        name: str,
        at: Point,
        text: str,
        size: int,
        ink: str,
        *,
        bold: bool = False,
    ) -> str:
        wide = width(text, size, bold=bold) + 8
        body = f"<B>{markup(text)}</B>" if bold else markup(text)
        label = (
            '<<TABLE BORDER="0" CELLPADDING="0" CELLSPACING="0" FIXEDSIZE="TRUE" '
            f'WIDTH="{wide:.0f}" HEIGHT="{size + 3}">'
            f'<TR><TD ALIGN="LEFT"><FONT POINT-SIZE="{size}" COLOR="{ink}">{body}</FONT></TD></TR></TABLE>>'
        )
        return (
            f'"{name}" [shape=none,style=filled,fillcolor="{p.PAPER}",fixedsize=shape,margin=0,'
            f"width={wide / 72:.3f},height={(size + 3) / 72:.3f},"
            f'pos="{at[0] + wide / 2:.1f},{at[1]:.1f}",label={label}];'
        )

    def _place(self, box: Box) -> str:
        x, y = _up(self.layout, box.middle)
        return f'pos="{x:.2f},{y:.2f}",width={box.width / 72:.4f},height={box.height / 72:.4f}'

    def _end(self, name: str, side: str) -> str:
        clusters = {c.id: c for c in self.diagram.clusters}
        while name in clusters:
            name = getattr(clusters[name], side)
        return self.names[name]


def _up(layout: Layout, point: Point) -> Point:
    return point[0], layout.height - point[1]


def _route(line: Line, layout: Layout) -> str:
    def at(point: Point) -> str:
        x, y = _up(layout, point)
        return f"{x:.2f},{y:.2f}"

    ends = [f"{kind},{at(tip)}" for kind, tip in (("s", line.tail), ("e", line.head)) if tip]
    return f'pos="{" ".join([*ends, *map(at, line.points)])}"'


def _look(node: DiagramNode) -> tuple[str, str, p.Paint]:
    faded = "untaken" in node.classes
    if node.kind in ("start", "end", "join"):
        ink = p.HAIR if faded else p.INK
        full = node.kind != "end"
        paint = p.Paint(ink if full else p.PAPER, ink, p.PAPER if full and not faded else p.INK)
        return (
            ("circle", "filled", paint)
            if node.cluster and node.kind != "join"
            else ("box", "filled,rounded", paint)
        )
    paint = p.KINDS.get(node.kind, p.PLAIN)
    if node.status:
        paint = p.STATUSES[node.status]
    elif faded:
        paint = p.FADED
    style = ["filled", *(["rounded"] if node.kind not in _SHAPES else [])]
    if node.kind == "agent":
        style.append("diagonals")
    if node.kind == "unknown" or node.status == "pending":
        style.append("dashed")
    elif "deferred" in node.classes:
        style.append("dotted")
    return _SHAPES.get(node.kind, "box"), ",".join(style), paint


def _label(node: DiagramNode, paint: p.Paint) -> str:
    shown = card(node)
    if node.kind in ("start", "end", "join"):
        return (
            f'<<FONT POINT-SIZE="8" COLOR="{paint.ink}"><B>{markup(shown.name)}</B></FONT>>'
            if shown.name
            else '""'
        )
    faded = "untaken" in node.classes
    ink = p.FAINT if faded else p.ALARM if node.kind == "unknown" else p.INK
    return _rows(shown.name, shown.quiet, ink, paint.ink if node.lines else p.FAINT if faded else p.MUTED)


def _rows(
    name: str, quiet: tuple[str, ...], ink: str, soft: str, size: str = "", *, align: str = "CENTER"
) -> str:
    cells = [f'<FONT POINT-SIZE="13" COLOR="{ink}"><B>{markup(name)}</B></FONT>']
    cells += [f'<FONT POINT-SIZE="10" COLOR="{soft}">{markup(line)}</FONT>' for line in quiet]
    rows = "".join(f'<TR><TD ALIGN="{align}">{cell}</TD></TR>' for cell in cells)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="0" {size}>{rows}</TABLE>>'


def _ink(classes: tuple[str, ...]) -> str:
    found = set(classes)
    if "untaken" in found:
        return p.FAINT
    if "loop" in found:
        return p.ACCENT
    if {"handler", "unknown"} & found:
        return p.ALARM
    return p.INK if "taken" in found else p.MUTED


def _stroke(classes: tuple[str, ...]) -> str:
    found = set(classes)
    color = p.HAIR if "untaken" in found else p.TAKEN if "taken" in found else p.LINE
    style = "solid"
    if "loop" in found:
        color, style = (color if "untaken" in found else p.ACCENT), "dashed"
    elif "spent" in found:
        style = "dotted"
    elif {"handler", "compensation"} & found:
        color, style = (
            (p.HAIR if "untaken" in found else p.ALARM if "handler" in found else "#cfab62"),
            "dashed",
        )
    elif "unknown" in found:
        color, style = p.ALARM, "dotted"
    if "each" in found:
        color = f"{color}:{p.PAPER}:{color}"
    return f'color="{color}",style={style},penwidth={1.8 if "taken" in found else 1.2},arrowsize=0.7'
