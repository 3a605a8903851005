"""A `Diagram` -> SVG: one self-contained file without script, link, font, comment, or path of the machine.

Every node is a ``<g class="node …">``, every edge a ``<g class="edge …">``, each with a ``<title>``
(``write``, ``write->review``) and, one level deeper, what a reader gets on hover. A run over the graph
moves nothing: what there is to tell of the run as a whole stands beneath.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from dalsegno.errors import RenderError
from dalsegno.graphs.model import END, START
from dalsegno.nodes.paths import names_of
from dalsegno.viz import shapes
from dalsegno.viz.backends import picture
from dalsegno.viz.cards import LABEL, LINE, NAME, QUIET, banner, card, slip, slip_top
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.geometry import Box, Line, halfway
from dalsegno.viz.layout import Layout, place
from dalsegno.viz.metrics import fitted, width
from dalsegno.viz.panel import panel
from dalsegno.viz.placed import to_placed_dot
from dalsegno.viz.style import sheet
from dalsegno.viz.text import plain

if TYPE_CHECKING:
    from dalsegno.viz.overlay import RunView

PAD = 18.0
HEAD = 48.0
"""The room over the graph for its name and one line."""


FORMATS = ("svg", "png", "pdf")


def render(diagram: Diagram, format: str, run: RunView | None = None) -> bytes:
    """The picture's bytes; `run`, if it is laid over the diagram, is told beneath in an SVG.

    Raises
    ------
    MissingExtra
        There is neither pygraphviz nor a `dot` on the PATH.
    RenderError
        The format is unknown, or Graphviz failed.
    """
    if format not in FORMATS:
        raise RenderError(f"No picture in the format {format!r}: use svg, png or pdf.", format=str(format))
    if format == "svg":
        return document(diagram, run).encode()
    return picture(to_placed_dot(diagram, place(diagram), run), format, placed=True)


def document(diagram: Diagram, run: RunView | None = None) -> str:
    """The picture as an SVG document: the same text for the same diagram and the same Graphviz.

    Raises
    ------
    MissingExtra
        There is neither pygraphviz nor a `dot` on the PATH.
    RenderError
        Graphviz failed.
    """
    layout = place(diagram)
    below = panel(diagram, run, room=max(layout.width, 560.0)) if run is not None else None
    head = diagram.caption[0] if diagram.caption else ""
    words = max(width(diagram.title, 15, bold=True), width(head, QUIET))
    wide = max(layout.width, words, below.width if below else 0.0) + 2 * PAD
    # The graph keeps its place; a wider panel only widens the picture to its left and right.
    left = -max(0.0, (wide - 2 * PAD - layout.width) / 2)
    low = HEAD + layout.height
    tall = low + PAD + (below.height if below else 0.0) + (callout_room(diagram, layout))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{tall:.0f}" '
        f'viewBox="{left:.1f} 0 {wide:.1f} {tall:.1f}" role="img" class={quoteattr(_classes(diagram))}>',
        f"<title>{escape(diagram.name)}</title><desc>{escape(diagram.description)}</desc>",
        f"<style>{sheet()}</style>",
        f'<path class="paper" d="M{left:.1f} 0h{wide:.1f}v{tall:.1f}h-{wide:.1f}z"/>',
        _text("title", left + PAD, 24, diagram.title),
        _text("caption", left + PAD, 39, fitted(head, wide - 2 * PAD, QUIET)) if head else "",
        f'<g class="graph" transform="translate({PAD:g} {HEAD:g})">',
        *graph(diagram, layout),
        "</g>",
    ]
    if below is not None:
        dy = low + PAD / 2 + callout_room(diagram, layout)
        parts += [f'<g class="panel" transform="translate({left + PAD:.1f} {dy:.1f})">', below.markup, "</g>"]
    return "\n".join(part for part in parts if part) + "\n</svg>\n"


def graph(diagram: Diagram, layout: Layout, *, numbered: bool = False) -> Iterator[str]:
    """The frames, edges and nodes; `numbered` ones say which they are (``data-n``, ``data-e``, ``data-c``)."""
    painter = _Painter(layout, numbered)
    for i, cluster in enumerate(diagram.clusters):
        yield painter.frame(cluster, i)
    for i, edge in enumerate(diagram.edges):
        yield painter.edge(edge, i)
    for i, node in enumerate(diagram.nodes):
        if node.kind == "join":
            yield painter.stem(node, i)
    for i, node in enumerate(diagram.nodes):
        yield painter.node(node, i)
    for i, cluster in enumerate(diagram.clusters if numbered else ()):
        inside = sum(n.id.startswith(f"{cluster.id}/") and n.kind not in MARKS for n in diagram.nodes)
        yield painter.fold(cluster, i, inside)
    boxes: tuple[DiagramNode | Cluster, ...] = (*diagram.nodes, *diagram.clusters)
    for box in boxes:
        yield painter.overlay(box)


def callout_room(diagram: Diagram, layout: Layout) -> float:
    """The room that errors take which stand lower than the graph."""
    places = layout.boxes | layout.frames
    boxes: tuple[DiagramNode | Cluster, ...] = (*diagram.nodes, *diagram.clusters)
    told = [(b, places[b.id], slip(b, places[b.id])) for b in boxes if b.id in places]
    lows = [slip_top(box, at) + 5 + LINE * len(lines) for box, at, lines in told if lines]
    return max(0.0, max(lows, default=0.0) - layout.height)


def _classes(diagram: Diagram) -> str:
    return " ".join(["dalsegno", *([plain(diagram.status)] if diagram.status else [])])


@dataclass(frozen=True)
class _Painter:
    layout: Layout
    numbered: bool

    def node(self, node: DiagramNode, number: int) -> str:
        box = self.layout.boxes[node.id]
        # A join's bar stands for an edge of several sources, it is no node of the workflow.
        classes = " ".join(([] if node.kind == "join" else ["node"]) + list(node.classes))
        marks = node.kind in ("start", "end", "join")
        body = "".join(_mark(node, box) if marks else _card(node, box, 1 if self.numbered else 0))
        return self._group(classes, f"n{number}", spoken(node.id), node.details, body)

    def frame(self, cluster: Cluster, number: int) -> str:
        box = self.layout.frames[cluster.id]
        head = banner(cluster)
        body = f'<path class="frame" d="{shapes.rounded(box.x, box.y, box.width, box.height, 12)}"/>'
        body += _text("name", box.x + 14, box.y + 22, head.name)
        said = " said" if cluster.lines else ""
        rows = head.quiet or ("",)
        body += "".join(_text(f"quiet{said}", box.x + 14, box.y + 36, line) for line in rows)
        classes = " ".join(["cluster", *cluster.classes])
        return self._group(classes, f"c{number}", spoken(cluster.id), cluster.details, body)

    def edge(self, edge: DiagramEdge, number: int) -> str:
        line = self.layout.lines[number]
        if line is None:
            return ""
        body = _stroke(line, double="each" in edge.classes)
        choosing = shapes.diamond(line)
        body += f'<path class="tail" d="{choosing}"/>' if choosing else ""
        if edge.label or self.numbered:
            x, y = line.label or halfway(line)
            body += _text("label", x, y + LABEL * 0.34, edge.label)
        title = f"{spoken(edge.source)}->{spoken(edge.target)}"
        return self._group(" ".join(["edge", *edge.classes]), f"e{number}", title, edge.details, body)

    def stem(self, bar: DiagramNode, number: int) -> str:
        line = self.layout.stems.get(bar.id)
        state = [c for c in bar.classes if c in ("taken", "untaken")]
        named = f' data-stem="n{number}"' if self.numbered else ""
        return f'<g class="{" ".join(["stem", *state])}"{named}>{_stroke(line)}</g>' if line else ""

    def fold(self, cluster: Cluster, number: int, inside: int) -> str:
        """What folds a frame on a page, and what stands in it then."""
        box = self.layout.frames[cluster.id]
        x, y = box.x + box.width - 18, box.y + 18
        label = escape(f"Fold {plain(cluster.label)}", {'"': "&quot;"})
        sign = f'<path class="card" d="{shapes.rounded(x - 9, y - 9, 18, 18, 5)}"/>{_text("", x, y + 4, "−")}'
        told = f"{inside} node{'' if inside == 1 else 's'} folded"
        return (
            f'<g class="fold" data-fold="c{number}" role="button" tabindex="0" aria-expanded="true" '
            f'aria-label="{label}">{sign}</g>'
            f'<text class="summary folded" data-of="c{number}" x="{box.middle[0]:.1f}" '
            f'y="{box.middle[1] + 4:.1f}">{told}</text>'
        )

    def overlay(self, box: DiagramNode | Cluster) -> str:
        """What stands over the picture: the mark of a box, and its error on a slip under it."""
        place = (self.layout.boxes | self.layout.frames).get(box.id)
        if place is None:
            return ""
        mark = _segno(place) if box.mark else ""
        lines = slip(box, place)
        return mark + (self._slip(place, slip_top(box, place), lines) if lines else "")

    def _slip(self, place: Box, y: float, lines: tuple[str, ...]) -> str:
        wide = max(width(line, QUIET) for line in lines) + 14
        x = place.middle[0] - wide / 2
        x = max(0.0, min(x, self.layout.width - wide)) if wide < self.layout.width else x
        ground = f'<path class="card" d="{shapes.rounded(x, y, wide, 6 + LINE * len(lines), 4)}"/>'
        rows = (_text("middle", x + wide / 2, y + 12.5 + LINE * i, line) for i, line in enumerate(lines))
        return f'<g class="callout">{ground}{"".join(rows)}</g>'

    def _group(self, classes: str, number: str, title: str, details: str, body: str) -> str:
        named = f' data-id="{number}"' if self.numbered else ""
        inner = f"<g><title>{escape(details)}</title>{body}</g>" if details else f"<g>{body}</g>"
        return f"<g class={quoteattr(classes)}{named}>\n<title>{escape(title)}</title>{inner}</g>"


def _mark(node: DiagramNode, box: Box) -> Iterator[str]:
    """START, END and the bar of a join; within a frame a dot and a ring."""
    if node.kind == "join":
        yield f'<path class="card" d="{shapes.rounded(box.x, box.y, box.width, box.height, 2)}"/>'
        yield _text("name middle", box.middle[0], box.middle[1] + 2.8, node.label.upper())
    elif node.cluster is None:
        yield f'<path class="card" d="{shapes.pill(box)}"/>'
        yield _text("name middle", box.middle[0], box.middle[1] + 3.2, node.label)
    else:
        yield f'<path class="card" d="{shapes.dot(box, 4.5)}"/>'


def _card(node: DiagramNode, box: Box, least: int) -> Iterator[str]:
    """A node's box and its texts; at least so many quiet lines, for a script to write in."""
    shown = card(node)
    path, trim = shapes.outline(node.kind, box)
    yield f'<path class="card" d="{path}"/>'
    if trim:
        yield f'<path class="trim" d="{trim}"/>'
    x, y = box.middle
    top = y + NAME * 0.35 - LINE * len(shown.quiet) / 2
    yield _text("name middle", x, top, shown.name)
    said = " said" if node.lines else ""
    rows = [*shown.quiet, *[""] * (least - len(shown.quiet))]
    for i, line in enumerate(rows, start=1):
        yield _text(f"quiet middle{said}", x, top + 1 + LINE * i, line)


def _segno(box: Box) -> str:
    """The mark from which the run goes on: the sign that the product has its name from."""
    ground, strokes = shapes.segno(box.x + 2, box.y)
    return (
        f'<g class="mark"><title>resumes here</title><path class="card" d="{ground}"/>'
        f'<path class="trim" d="{strokes}"/></g>'
    )


def _stroke(line: Line, *, double: bool = False) -> str:
    path = shapes.curve(line)
    core = f'<path class="core" d="{path}"/>' if double else ""
    head = shapes.arrow(line)
    return f'<path class="line" d="{path}"/>{core}' + (f'<path class="tip" d="{head}"/>' if head else "")


def _text(classes: str, x: float, y: float, text: str) -> str:
    named = f' class="{classes}"' if classes else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def spoken(path: str) -> str:
    """A place as a reader says it: ``sub/START`` for ``sub/__start__``."""
    *frames, name = names_of(path)
    return plain("/".join([*frames, {START: "START", END: "END"}.get(name, name)]))
