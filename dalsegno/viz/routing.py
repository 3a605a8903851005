"""Edges that are drawn as plain curves, and the places that are free for labels beside them.

Those of very large pictures, where every way around takes time and nobody follows it; and loops, which Graphviz
leads back in waves where there is room for an arc.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dalsegno.viz.cards import label_width
from dalsegno.viz.diagram import DiagramEdge
from dalsegno.viz.geometry import Box, Line, Point, bezier, curves, has_diamond

HEAD, TAIL = 8.0, 9.0
"""How long the signs at the ends of an edge are, in points."""


def swung(edge: DiagramEdge, boxes: Mapping[str, Box], end: str) -> Line | None:
    """One curve from a box to another: out at the bottom and in at the top, or by the side on the way back."""
    source, target = boxes.get(edge.source), boxes.get(end)
    if source is None or target is None:
        return None
    arrow = None if edge.via else HEAD
    if target.y >= source.bottom - 1:
        (x1, _), (x2, _) = source.middle, target.middle
        y1, y2 = source.bottom, target.y
        bend = max(12.0, (y2 - y1) / 2)
        head = (x2, y2) if arrow else None
        stop = y2 - (arrow or 0)
        first = y1 + (TAIL if has_diamond(edge) else 0)
        points = ((x1, first), (x1, y1 + bend), (x2, y2 - bend), (x2, stop))
        tail = (x1, y1) if has_diamond(edge) else None
    else:
        x1, y1 = source.x + source.width, source.middle[1]
        x2, y2 = target.x + target.width, target.middle[1]
        out = max(x1, x2) + min(90.0, 24 + abs(y1 - y2) / 8)
        head = (x2, y2) if arrow else None
        points = ((x1, y1), (out, y1), (out, y2), (x2 + (arrow or 0), y2))
        tail = None
    return Line(points, head, tail, bezier(points, 0.5) if edge.base else None)


_BULGES = (26.0, 38.0, 54.0, 76.0, 106.0, 148.0)
_STEPS, _STRIDE = 16, 6.0
_SWING = 120.0
"""How far a loop may go beyond what it leads back over, in points: Graphviz swings the wider the longer it is."""
_CORNER, _GAP = 14.0, 14.0


def arched(
    edge: DiagramEdge,
    known: Line,
    boxes: Mapping[str, Box],
    others: list[Box],
    limit: float,
    *,
    alone: bool,
) -> Line:
    """A loop as an arc at the right side of what it leads back over, if one fits left of `limit`.

    One that is `alone`, with no other loop beside it that it might cross, may go straight up as well, and is kept from
    swinging far out. `others` are the rooms of other labels. Its own label stands beside the arc, or where Graphviz
    kept room for it. Without room the loop stays as Graphviz led it.
    """
    source, target = boxes[edge.source], boxes[edge.target]
    x1, y1 = source.x + source.width, source.middle[1]
    x2, y2 = target.x + target.width, target.middle[1]
    taken = [box for name, box in boxes.items() if name not in (edge.source, edge.target)] + others
    top, low = min(y1, y2), max(y1, y2)
    between = [box.x + box.width for box in taken if box.y < low and box.bottom > top]
    xs = [x for x, _ in known.points] or [0.0]
    swings = alone and max(xs) > max(x1, x2, *between) + _SWING
    if min(xs) > min(x1, x2) - 3 and not swings:
        return known  # no wave: it bends to the right as it should
    wide = label_width(edge)
    near = max(x1, x2)
    bulges = (*_BULGES[3:], *_BULGES[:3]) if swings else _BULGES  # a long one is seen better from afar
    ways: list[tuple[Point, ...]] = [
        ((x1, y1), (near + bulge, y1), (near + bulge, y2), (x2 + HEAD, y2)) for bulge in bulges
    ]
    if alone:
        rights = sorted({right for right in between if right > near})
        ways += [_straight_up(x1, y1, x2, y2, right + _GAP) for right in rights]
    for points in ways:
        passed = trail(Line(points))
        right = max(x for x, _ in passed)
        if right > limit or any(_meets(box, passed) for box in taken):
            continue
        for label in ((right + wide / 2 + 3, (y1 + y2) / 2), known.label):
            if label is None or not wide:
                return Line(points, (x2, y2), None, None)
            room = label_room(label, wide)
            fits = label[0] + wide / 2 <= limit and not _meets(room, passed[2:-2], near=0)
            if fits and not any(_overlap(room, box) for box in taken):
                return Line(points, (x2, y2), None, label)
    return known


def _straight_up(x1: float, y1: float, x2: float, y2: float, lane: float) -> tuple[Point, ...]:
    """The way back out to a lane at the right, along it, and in again, with round corners."""
    up = -1 if y2 < y1 else 1
    round_ = min(_CORNER, abs(y2 - y1) / 2, lane - max(x1, x2))
    soft = round_ * 0.45  # how far the handles of a quarter of a circle stand from its corner
    inner, first, last = lane - round_, y1 + up * round_, y2 - up * round_
    return (
        *((x1, y1), (x1, y1), (inner, y1), (inner, y1)),
        *((lane - soft, y1), (lane, y1 + up * soft), (lane, first)),
        *((lane, first), (lane, last), (lane, last)),
        *((lane, y2 - up * soft), (lane - soft, y2), (inner, y2)),
        *((inner, y2), (x2 + HEAD, y2), (x2 + HEAD, y2)),
    )


def looped(box: Box, label: Point | None, wide: float, number: int) -> Line:
    """A loop from a box to itself, at its right side, around the labels of the `number` loops before it."""
    right, middle = box.x + box.width, box.middle[1]
    reach = label[0] - wide / 2 - right if label is not None and wide else 18.0 + 12 * number
    out = right + max(16.0, reach) / 0.75  # a curve goes three quarters of the way to its handles
    low, far = min(5.0 + 6 * number, box.height / 2 - 3), 13.0 + 21 * number
    points = ((right, middle - low), (out, middle - far), (out, middle + far), (right + HEAD, middle + low))
    return Line(points, (right, middle + low), None, label)


def beside(line: Line, wide: float) -> Iterator[Point]:
    """The places for a label at a line, on all its sides: at the right and in the middle first."""
    for curve in curves(line.points):
        for t in (0.5, 0.75, 0.25):
            x, y = bezier(curve, t)
            yield x + wide / 2 + 6, y
            yield x - wide / 2 - 6, y
            yield x, y + 14
            yield x, y - 14


def away(room: Box, line: Line) -> float:
    """How far a label stands from its line."""
    x, y = room.middle
    return min(max(abs(px - x) - room.width / 2, abs(py - y)) for px, py in trail(line))


def is_free(
    room: Box, solid: Iterable[Box], frames: Iterable[Box], trails: Iterable[Sequence[Point]]
) -> bool:
    """Whether a label may stand there: on no box, on no line, and across no frame's border. `trails` are the lines'."""
    return (
        not any(_overlap(room, box) for box in solid)
        and not any(is_across(room, frame) for frame in frames)
        and not any(_meets(room, passed, near=0) for passed in trails)
    )


def is_across(room: Box, frame: Box) -> bool:
    """Whether the border of a frame goes through a room."""
    across = frame.x <= room.x and room.x + room.width <= frame.x + frame.width
    return _overlap(room, frame) and not (across and frame.y <= room.y and room.bottom <= frame.bottom)


def trail(line: Line) -> list[Point]:
    """Points that a line passes, a few from one to the next."""
    found = []
    for curve in curves(line.points):
        steps = max(_STEPS, round(sum(map(math.dist, curve, curve[1:])) / _STRIDE))
        found += [bezier(curve, i / steps) for i in range(steps + 1)]
    return found


def label_room(middle: Point, wide: float) -> Box:
    """The room of a label around its middle."""
    return Box(middle[0] - wide / 2, middle[1] - 8, wide, 16)


def _meets(box: Box, passed: Sequence[Point], near: float = 5.0) -> bool:
    """Whether a curve comes near a box."""
    left, right = box.x - near, box.x + box.width + near
    top, low = box.y - near, box.bottom + near
    return any(left < x < right and top < y < low for x, y in passed)


def _overlap(one: Box, other: Box) -> bool:
    across = one.x < other.x + other.width and other.x < one.x + one.width
    return across and one.y < other.bottom and other.y < one.bottom
