"""Edges of large pictures, led through the gaps between the boxes.

Graphviz places the boxes and the labels of a large graph in no time, and takes minutes to lead each edge around
them. But its boxes stand in rows: so an edge heads straight for its target and, at each row on its way, passes
through the gap that is nearest. Between them it is smooth and does not overshoot (Fritsch and Carlson, 1980,
"Monotone piecewise cubic interpolation").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from dalsegno.nodes.paths import around
from dalsegno.viz.cards import label_width
from dalsegno.viz.diagram import Diagram, DiagramEdge
from dalsegno.viz.geometry import Box, Line, Point, bezier, curves, has_diamond
from dalsegno.viz.routing import HEAD, TAIL, label_room

_NEAR = 6.0
"""How near an edge comes to a box or a label, in points."""
_APART = 5.0
"""How near it comes to another edge in the same gap, where there is room."""
_LANES = 10
"""How many lanes out of its way it goes for one that is free."""
_DETOUR = 70.0
"""How far out of its way it goes to keep out of a frame that it has no business in."""
_WALL = 4.0
_SIDE = 11.0

Span = tuple[float, float]
Cell = tuple[int, int]


@dataclass(slots=True)
class _Row:
    """Boxes and labels beside each other: what they leave free is where edges pass."""

    top: float
    bottom: float
    taken: list[tuple[float, float, str]] = field(default_factory=list)
    frames: list[tuple[float, float, str]] = field(default_factory=list)
    free: list[Span] = field(default_factory=list)
    lanes: set[int] = field(default_factory=set)

    def gap(self, own: set[str], ideal: float) -> Span:
        """From where to where an edge may pass, as near as may be to where it wants to."""
        mine = any(name in own for _, _, name in self.taken)
        free = _free_of((a, b) for a, b, name in self.taken if name not in own) if mine else self.free
        left, right = _nearest(free, ideal)
        foreign = [(a, b) for a, b, name in self.frames if name not in own]
        if foreign:
            better = _nearest(
                _free_of([*foreign, *((a, b) for a, b, name in self.taken if name not in own)]), ideal
            )
            if abs(_clamped(ideal, *better) - _clamped(ideal, left, right)) <= _DETOUR:
                left, right = better
        return self._lane(left, right, _clamped(ideal, left, right))

    def _lane(self, left: float, right: float, ideal: float) -> Span:
        """A lane of the gap that no other edge has, where there is one near."""
        at = round(ideal / _APART)
        if at not in self.lanes:
            return left, right
        for away in range(1, _LANES):
            for lane in (at + away, at - away):
                if lane not in self.lanes and left <= lane * _APART <= right:
                    return lane * _APART, lane * _APART
        return left, right


class Lanes:
    """Leads the edges of one picture, one after the other.

    `labels` are the places that Graphviz has kept for labels, by the number of their edge.
    """

    def __init__(
        self,
        diagram: Diagram,
        boxes: Mapping[str, Box],
        frames: Mapping[str, Box],
        labels: Mapping[int, Point],
    ) -> None:
        self._diagram = diagram
        self._places = {**boxes, **frames}
        self._frames = frames
        self._labels = dict(labels)
        self._doors = {c.id: (c.entry, c.exit) for c in diagram.clusters}
        self._rows = _rows(self._obstacles(boxes), frames)
        self._tops = [row.top for row in self._rows]
        self._bottoms = [row.bottom for row in self._rows]
        self._ports = self._spread()

    def lines(self) -> list[Line | None]:
        """The ways of all edges, in their order; then those labels find a place for which none was kept."""
        found = [self._line(number) for number in range(len(self._diagram.edges))]
        if any(self._misses_label(number) for number in range(len(found))):
            drawn = {cell for line in found if line is not None for cell in _cells(line)}
            for number, line in enumerate(found):
                if line is not None and self._misses_label(number):
                    place = self._free(line, label_width(self._diagram.edges[number]), drawn)
                    found[number] = replace(line, label=place)
        return found

    def _misses_label(self, number: int) -> bool:
        return bool(self._diagram.edges[number].base) and number not in self._labels

    def _line(self, number: int) -> Line | None:
        edge = self._diagram.edges[number]
        end = edge.via or edge.target
        source, target = self._places.get(edge.source), self._places.get(end)
        if source is None or target is None:
            return None
        if target.y >= source.bottom - 1:
            line = self._down(number, edge, source, target, end)
        elif source.y >= target.bottom - 1:
            line = self._up(number, edge, source, target, end)
        else:
            line = self._beside(source, target)
        return replace(line, label=self._labels.get(number) if edge.base else None)

    # -- three ways to go ---------------------------------------------------------------------------

    def _down(self, number: int, edge: DiagramEdge, source: Box, target: Box, end: str) -> Line:
        x1, x2 = self._ports[number, "out"], self._ports[number, "in"]
        y1, y2 = source.bottom, target.y
        room = y2 - y1
        tail = TAIL if has_diamond(edge) and room > TAIL + HEAD + 8 else 0.0
        tip = HEAD if not edge.via and room > tail + HEAD else 0.0
        points = self._led(number, edge, (x1, y1 + tail), (x2, y2 - tip), end)
        head = (x2, y2) if not edge.via else None
        return Line(points, head, (x1, y1) if tail else None)

    def _up(self, number: int, edge: DiagramEdge, source: Box, target: Box, end: str) -> Line:
        """Out at the right side, up beside it, and in at the right side of the target."""
        x1, y1 = source.x + source.width, source.middle[1]
        x2, y2 = target.x + target.width, target.middle[1]
        low, high = (x1 + _SIDE, source.y), (x2 + _SIDE, target.bottom)
        way = self._led(number, edge, high, low, end)[::-1]
        tip = HEAD if not edge.via else 0.0
        out = ((x1, y1), (low[0], y1), (low[0], (y1 + low[1]) / 2), low)
        into = (high, (high[0], (y2 + high[1]) / 2), (high[0] + 4, y2), (x2 + tip, y2))
        points = (*out, *way[1:], *into[1:])
        return Line(points, (x2, y2) if tip else None)

    def _beside(self, source: Box, target: Box) -> Line:
        """To a box of the same row: out at the bottom, and in from below."""
        low = max(source.bottom, target.bottom) + 24
        (x1, _), (x2, _) = source.middle, target.middle
        points = ((x1, source.bottom), (x1, low), (x2, low), (x2, target.bottom + HEAD))
        return Line(points, (x2, target.bottom))

    # -- through the rows ---------------------------------------------------------------------------

    def _led(self, number: int, edge: DiagramEdge, start: Point, stop: Point, end: str) -> tuple[Point, ...]:
        own = {edge.source, end, f"label {number}"} | _around(edge.source) | _around(end)
        first = bisect_right(self._bottoms, start[1] + 1)
        last = bisect_left(self._tops, stop[1] - 1)
        knots, forced = [start], [True]
        passed = []
        x, y = start
        for row in self._rows[first:last]:
            top, bottom = max(row.top, start[1]), min(row.bottom, stop[1])
            if bottom - top < 1:
                continue
            slope = (stop[0] - x) / max(1.0, stop[1] - y)
            ideal = x + slope * (top - y), x + slope * (bottom - y)
            label = self._labels.get(number)
            if label is not None and row.top <= label[1] <= row.bottom:
                at = label[0] - label_width(edge) / 2
                chosen = at, at
            else:
                left, right = row.gap(own, sum(ideal) / 2)
                chosen = _clamped(ideal[0], left, right), _clamped(ideal[1], left, right)
            for place, wished, height in zip(chosen, ideal, (top, bottom), strict=True):
                if height - knots[-1][1] > 0.5:
                    knots.append((place, height))
                    forced.append(abs(place - wished) > 0.5)
            passed.append((row, sum(chosen) / 2))
            x, y = chosen[1], bottom
        if stop[1] - knots[-1][1] <= 0.5 and len(knots) > 1:
            knots.pop()
            forced.pop()
        knots.append(stop)
        forced.append(True)
        for row, place in passed:
            row.lanes.add(round(place / _APART))
        few = _smooth([knot for knot, kept in zip(knots, forced, strict=True) if kept])
        return few if not self._meets(few, own) else _smooth(knots)

    def _meets(self, points: Sequence[Point], own: set[str]) -> bool:
        """Whether a way comes near to what stands in the rows."""
        for curve in curves(points):
            for step in range(9):
                x, y = bezier(curve, step / 8)
                at = bisect_right(self._tops, y) - 1
                if at >= 0 and y < self._rows[at].bottom:
                    row = self._rows[at]
                    if any(a - 2 < x < b + 2 for a, b, name in row.taken if name not in own):
                        return True
        return False

    # -- labels -------------------------------------------------------------------------------------

    def _free(self, line: Line, wide: float, drawn: set[Cell]) -> Point:
        """The first place beside a line that is free of boxes, labels and other lines; or at least of boxes."""
        places = [bezier(curve, t) for curve in curves(line.points) for t in (0.3, 0.6, 1.0)][:60]
        best, fewest = places[0], float("inf")
        for x, y in places:
            for side in (1, -1):
                room = label_room((x + side * (wide / 2 + 5), y), wide)
                rows = self._rows[bisect_right(self._bottoms, room.y) : bisect_left(self._tops, room.bottom)]
                boxed = any(a < room.x + room.width and room.x < b for row in rows for a, b, _ in row.taken)
                crossed = sum(cell in drawn for cell in _covered(room)) + 1000 * boxed
                if crossed < fewest and room.x > 0:
                    best, fewest = room.middle, crossed
            if not fewest:
                break
        drawn.update(_covered(label_room(best, wide)))
        return best

    # -- what there is ------------------------------------------------------------------------------

    def _obstacles(self, boxes: Mapping[str, Box]) -> dict[str, Box]:
        found = dict(boxes)
        for number, place in self._labels.items():
            wide = label_width(self._diagram.edges[number])
            found[f"label {number}"] = label_room(place, max(1.0, wide - 6))
        return found

    def _spread(self) -> dict[tuple[int, str], float]:
        """Where each edge leaves its source and enters its target, side by side in the order of their other ends."""
        ends: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        for number, edge in enumerate(self._diagram.edges):
            end = edge.via or edge.target
            source, target = self._places.get(edge.source), self._places.get(end)
            if source is None or target is None or target.y < source.bottom - 1:
                continue
            ends[edge.source, "out"].append((target.middle[0], number))
            ends[end, "in"].append((source.middle[0], number))
        found = {}
        for (name, side), others in ends.items():
            box = self._places[name]
            door = self._doors.get(name, (name, name))[side == "out"]
            middle = self._places.get(door, box).middle[0]
            apart = min(14.0, box.width * 0.6 / len(others)) if name not in self._frames else 6.0
            for place, (_, number) in enumerate(sorted(others)):
                found[number, side] = middle + (place - (len(others) - 1) / 2) * apart
        return found


def _rows(obstacles: Mapping[str, Box], frames: Mapping[str, Box]) -> list[_Row]:
    """What overlaps in height is one row."""
    rows: list[_Row] = []
    for name, box in sorted(obstacles.items(), key=lambda item: item[1].y):
        if not rows or box.y > rows[-1].bottom - 1:
            rows.append(_Row(box.y, box.bottom))
        row = rows[-1]
        row.bottom = max(row.bottom, box.bottom)
        row.taken.append((box.x, box.x + box.width, name))
    for name, box in frames.items():
        for row in rows:
            if row.top < box.bottom and box.y < row.bottom:
                row.frames.append((box.x, box.x + box.width, name))
    for row in rows:
        row.free = _free_of((a, b) for a, b, _ in row.taken)
    return rows


_CELL = 7.0


def _cells(line: Line) -> Iterator[Cell]:
    """The cells of a grid through which a line passes."""
    for curve in curves(line.points):
        steps = max(2, int((abs(curve[3][0] - curve[0][0]) + abs(curve[3][1] - curve[0][1])) / (_CELL - 1)))
        for step in range(steps + 1):
            x, y = bezier(curve, step / steps)
            yield int(x // _CELL), int(y // _CELL)


def _covered(room: Box) -> Iterator[Cell]:
    """The cells under a label's text."""
    for column in range(int((room.x + 4) // _CELL), int((room.x + room.width - 4) // _CELL) + 1):
        for row in range(int((room.y + 3) // _CELL), int((room.bottom - 3) // _CELL) + 1):
            yield column, row


def _around(name: str) -> set[str]:
    """The frames that something stands in."""
    found = set()
    while name := around(name):
        found.add(name)
    return found


def _free_of(taken: Iterable[Span]) -> list[Span]:
    """The gaps between what is taken, which may overlap, from left to right; the last one is open."""
    found, left = [], _WALL
    for a, b in sorted(taken):
        if a - _NEAR > left:
            found.append((left, a - _NEAR))
        left = max(left, b + _NEAR)
    return [*found, (left, float("inf"))]


def _nearest(free: Sequence[Span], ideal: float) -> Span:
    """The gap that is nearest."""
    at = bisect_right(free, (ideal, float("inf")))
    return min(free[max(0, at - 1) : at + 1], key=lambda gap: abs(_clamped(ideal, *gap) - ideal))


def _clamped(x: float, left: float, right: float) -> float:
    return min(max(x, left), right)


def _smooth(knots: Sequence[Point]) -> tuple[Point, ...]:
    """Bézier points of a smooth way down through the knots that goes nowhere beyond them."""
    heights = [b[1] - a[1] for a, b in pairwise(knots)]
    slopes = [(b[0] - a[0]) / h for (a, b), h in zip(pairwise(knots), heights, strict=True)]
    bends = [0.0]
    for before, after in pairwise(slopes):
        bends.append(0.0 if before * after <= 0 else 2 * before * after / (before + after))
    bends.append(0.0)
    points = [knots[0]]
    for i, h in enumerate(heights):
        (x1, y1), (x2, y2) = knots[i], knots[i + 1]
        points += [(x1 + bends[i] * h / 3, y1 + h / 3), (x2 - bends[i + 1] * h / 3, y2 - h / 3), (x2, y2)]
    return tuple((round(x, 2), round(y, 2)) for x, y in points)
