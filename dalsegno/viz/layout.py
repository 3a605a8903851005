"""Where everything of a `Diagram` stands: Graphviz places boxes whose sizes we give, and routes edges.

The boxes have no text in them when they are placed, so the layout depends on the diagram alone: not on
the fonts of the machine, and not on the run that is laid over it.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dalsegno.graphs.model import END
from dalsegno.viz import routing
from dalsegno.viz.backends import picture
from dalsegno.viz.cards import banner, card, label_width
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.geometry import Box, Line, Point, bezier, curves, has_diamond
from dalsegno.viz.lanes import Lanes

_LARGE, _LARGER, _HUGE = 80, 400, 800
"""Nodes from which on we lead the edges, not Graphviz; from which on they are plain curves; and from which on Graphviz
looks less for few crossings."""
_NEAR = 32.0
"""How far a label may stand from its edge, in points."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A placed diagram, y downwards from the upper border; lines in the order of the diagram's edges.

    `stems` are the lines from a join's bar to the node that waits, by the bar's id.
    """

    width: float
    height: float
    boxes: dict[str, Box] = field(default_factory=dict)
    frames: dict[str, Box] = field(default_factory=dict)
    lines: tuple[Line | None, ...] = ()
    stems: dict[str, Line] = field(default_factory=dict)


def place(diagram: Diagram) -> Layout:
    """The layout of a diagram; that of a diagram with a run over it is the same.

    Raises
    ------
    MissingExtra
        There is neither pygraphviz nor a `dot` on the PATH.
    RenderError
        Graphviz failed.
    """
    placed = json.loads(picture("\n".join(_source(diagram)), "json0"))
    return _read(placed, diagram)


def _source(diagram: Diagram) -> Iterator[str]:
    """The boxes and edges in DOT, without a word of text."""
    names = {n.id: f"n{i}" for i, n in enumerate(diagram.nodes)}
    clusters = {c.id: c for c in diagram.clusters}
    frames = {c.id: f"cluster_{i}" for i, c in enumerate(diagram.clusters)}
    count = len(diagram.nodes)
    haste = "nslimit=1;splines=line;" if count > _LARGE else ""
    haste += "nslimit1=1;mclimit=0.1;" if count > _HUGE else ""
    yield f"digraph g{{compound=true;nodesep=0.38;ranksep=0.46;{haste}"
    yield 'node[shape=box,fixedsize=true,label=""];edge[arrowsize=0.7];'
    yield from _level(diagram, None, names)
    # Each of many edges from everywhere to END would take a lane through all that is between.
    ends = {i for i, e in enumerate(diagram.edges) if e.target == END and count > _LARGE}
    ends -= {max(ends, default=0)}
    yield f"{{rank=sink;{names[END]}}}" if ends else ""
    for i, edge in enumerate(diagram.edges):
        if i in ends:
            continue
        tail = _end(edge.source, clusters, "exit")
        head = _end(edge.via or edge.target, clusters, "entry")
        attributes = [f'id="e{i}"', *_routing(edge, labelled=count <= _HUGE)]
        if edge.source != edge.target:
            attributes += [f"ltail={frames[edge.source]}"] if edge.source in clusters else []
            attributes += [f"lhead={frames[edge.target]}"] if edge.target in clusters and not edge.via else []
        yield f"{names[tail]}->{names[head]}[{','.join(attributes)}];"
    for bar, target in _stems(diagram).items():
        into = f",lhead={frames[target]}" if target in clusters else ""
        yield f'{names[bar]}->{names[_end(target, clusters, "entry")]}[id="s{names[bar]}",weight=4{into}];'
    yield "}"


def _level(diagram: Diagram, cluster: str | None, names: dict[str, str]) -> Iterator[str]:
    for node in diagram.nodes:
        if node.cluster == cluster:
            size = card(node)
            yield f"{names[node.id]}[width={size.width / 72:.4f},height={size.height / 72:.4f}];"
    for i, inner in enumerate(diagram.clusters):
        if inner.parent == cluster:
            head = banner(inner)
            # Around it another one that is not drawn, or an arrow to the frame has no room; where we lead it, it has.
            yield f"subgraph clusterof{i}{{margin=12;" if len(diagram.nodes) <= _LARGE else "{"
            yield f"subgraph cluster_{i}{{margin=24;labeljust=l;label={_room(head.width, head.height)};"
            yield from _level(diagram, inner.id, names)
            yield "}}"


def _room(wide: float, tall: float) -> str:
    return f'<<TABLE BORDER="0" FIXEDSIZE="TRUE" WIDTH="{wide:.0f}" HEIGHT="{tall:.0f}"><TR><TD></TD></TR></TABLE>>'


def _routing(edge: DiagramEdge, *, labelled: bool) -> Iterator[str]:
    wide = label_width(edge) if labelled else 0
    if wide:
        yield f"label={_room(wide, 15)}"
    if edge.via:
        yield "arrowhead=none"
    if "back" in edge.classes and edge.source != edge.target:
        yield "constraint=false,tailport=e,headport=e"
    elif "back" in edge.classes or edge.kind == "compensation":
        yield "constraint=false"
    if has_diamond(edge):
        yield "dir=both"


def _end(name: str, clusters: dict[str, Cluster], side: str) -> str:
    """The node at which an edge of a frame begins or ends."""
    while name in clusters:
        name = getattr(clusters[name], side)
    return name


def _stems(diagram: Diagram) -> dict[str, str]:
    return {edge.via: edge.target for edge in diagram.edges if edge.via}


def _read(placed: dict[str, Any], diagram: Diagram) -> Layout:
    left, low, right, high = _numbers(placed.get("bb") or "0,0,0,0")

    def at(x: float, y: float) -> Point:
        return round(x - left, 2), round(high - y, 2)

    boxes: dict[str, Box] = {}
    frames: dict[str, Box] = {}
    for thing in placed.get("objects", ()):
        kind, _, number = thing["name"].rpartition("cluster_")
        if "bb" in thing and not kind and number.isdigit():
            x1, y1, x2, y2 = _numbers(thing["bb"])
            frames[diagram.clusters[int(number)].id] = Box(*at(x1, y2), round(x2 - x1, 2), round(y2 - y1, 2))
        elif "pos" in thing:
            node: DiagramNode = diagram.nodes[int(thing["name"][1:])]
            size = card(node)
            x, y = at(*_numbers(thing["pos"]))
            corner = round(x - size.width / 2, 2), round(y - size.height / 2, 2)
            boxes[node.id] = Box(*corner, size.width, size.height)
    lines: list[Line | None] = [None] * len(diagram.edges)
    stems: dict[str, Line] = {}
    for thing in placed.get("edges", ()):
        line = _line(thing, at)
        if thing["id"].startswith("s"):
            stems[diagram.nodes[int(thing["id"][2:])].id] = line
        else:
            lines[int(thing["id"][1:])] = line
    width, height = round(right - left, 2), round(high - low, 2)
    if len(diagram.nodes) > _LARGER:
        lines = [routing.swung(e, boxes | frames, e.via or e.target) for e in diagram.edges]
    elif len(diagram.nodes) > _LARGE:
        labels = {
            i: line.label for i, line in enumerate(lines) if line is not None and line.label is not None
        }
        lines = Lanes(diagram, boxes, frames, labels).lines()
    _loop(diagram, boxes, frames if len(diagram.nodes) > _LARGE else {}, lines)
    if len(diagram.nodes) > _LARGE:
        width = max([width, *(x for line in lines if line for x, _ in line.points)])
    else:
        led = list(lines)
        for i, edge in enumerate(diagram.edges):  # one after the other: each keeps off those before it
            lines[i] = _arch(i, edge, lines, diagram, boxes, frames, width)
        if lines != led:
            width = min(width, _reach(boxes, frames, lines))
        _bring_labels(diagram, boxes, frames, lines)
    labels_end = [
        line.label[0] + label_width(edge) / 2
        for edge, line in zip(diagram.edges, lines, strict=True)
        if line is not None and line.label is not None
    ]
    width = round(max([width, *labels_end]), 2)
    return Layout(width, height, boxes, frames, tuple(lines), stems)


def _reach(boxes: dict[str, Box], frames: dict[str, Box], lines: list[Line | None]) -> float:
    """How far to the right boxes and edges go."""
    trails = (bezier(c, t / 8)[0] for line in lines if line for c in curves(line.points) for t in range(9))
    return max([*(box.x + box.width for box in (*boxes.values(), *frames.values())), *trails], default=0.0)


def _loop(diagram: Diagram, boxes: dict[str, Box], frames: dict[str, Box], lines: list[Line | None]) -> None:
    """Leads the loops of a box to itself, the innermost first; and those of `frames`, whose labels have no room yet."""
    mine: dict[str, list[int]] = defaultdict(list)
    for i, edge in enumerate(diagram.edges):
        if edge.source == edge.target and (edge.source in boxes or edge.source in frames):
            mine[edge.source].append(i)
    for name, found in mine.items():
        places = {i: line.label if (line := lines[i]) is not None else None for i in found}
        box, right = boxes.get(name) or frames[name], 0.0
        for number, i in enumerate(sorted(found, key=lambda i: (places[i] or (0.0, 0.0))[0])):
            place, wide = places[i], label_width(diagram.edges[i])
            if name in frames and wide:
                right = max(right, box.x + box.width) + 22
                place = right + wide / 2, box.middle[1]
                right += wide
            lines[i] = routing.looped(box, place, wide, number)


def _bring_labels(
    diagram: Diagram, boxes: dict[str, Box], frames: dict[str, Box], lines: list[Line | None]
) -> None:
    """Brings labels to their edges: that of an edge to a frame, which ends at the frame's border, from where it would
    have gone on to; and one that stands across a frame's border to where it does not, if there is such a place."""
    rooms = {
        i: routing.label_room(line.label, label_width(diagram.edges[i]))
        for i, line in enumerate(lines)
        if line is not None and line.label is not None
    }
    trails = functools.cache(lambda: [routing.trail(line) for line in lines if line is not None])
    for i, room in list(rooms.items()):
        line = lines[i]
        assert line is not None
        is_far = routing.away(room, line) > _NEAR
        if not is_far and not any(routing.is_across(room, frame) for frame in frames.values()):
            continue
        solid = [*boxes.values(), *(other for k, other in rooms.items() if k != i)]
        places = list(routing.beside(line, room.width))
        if not is_far:
            places.sort(key=functools.partial(math.dist, room.middle))
        free = (
            at
            for passed in (trails(), [])  # rather across a line than across a box
            for at in places
            if routing.is_free(routing.label_room(at, room.width), solid, frames.values(), passed)
        )
        at = next(free, places[0] if is_far else room.middle)
        lines[i], rooms[i] = replace(line, label=at), routing.label_room(at, room.width)


def _arch(
    number: int,
    edge: DiagramEdge,
    lines: list[Line | None],
    diagram: Diagram,
    boxes: dict[str, Box],
    frames: dict[str, Box],
    width: float,
) -> Line | None:
    """A loop between two boxes of one level, as an arc where there is room for it in their frame."""
    line = lines[number]
    ends = edge.source in boxes and edge.target in boxes and edge.source != edge.target
    if line is None or not ends or "back" not in edge.classes:
        return line
    inside = next((n.cluster for n in diagram.nodes if n.id == edge.source), None)
    limit = frames[inside].x + frames[inside].width - 4 if inside in frames else width
    level = {n.id: boxes[n.id] for n in diagram.nodes if n.cluster == inside}
    level |= {c.id: frames[c.id] for c in diagram.clusters if c.parent == inside and c.id in frames}
    labels = [
        routing.label_room(other.label, label_width(diagram.edges[i]))
        for i, other in enumerate(lines)
        if other is not None and other.label is not None and i != number
    ]
    loops = [
        other
        for i, other in enumerate(diagram.edges)
        if i != number and "back" in other.classes and other.source in level and other.target in level
    ]
    top, low = sorted((boxes[edge.source].y, boxes[edge.target].y))
    alone = not any(
        other.source != other.target
        and min(level[other.source].y, level[other.target].y) <= low
        and max(level[other.source].y, level[other.target].y) >= top
        for other in loops
    )
    return routing.arched(edge, line, level, labels, limit, alone=alone)


def _line(edge: dict[str, Any], at: Any) -> Line:
    head = tail = None
    points = []
    for part in edge.get("pos", "").split():
        if part[0] in "es":
            tip = at(*_numbers(part[2:]))
            head, tail = (tip, tail) if part[0] == "e" else (head, tip)
        else:
            points.append(at(*_numbers(part)))
    label = at(*_numbers(edge["lp"])) if "lp" in edge else None
    return Line(tuple(points), head, tail, label)


def _numbers(text: str) -> list[float]:
    return [float(n) for n in re.split("[, ]", text)]
