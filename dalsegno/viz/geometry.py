"""Boxes, lines and curves: the plain geometry of a picture, y downwards, in points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from dalsegno.viz.diagram import DiagramEdge

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: its left upper corner and its size, in points."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def bottom(self) -> float:
        """Its lower border."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Line:
    """An edge: the points of its Bézier curve, the tips of its ends, and the middle of its label."""

    points: tuple[Point, ...]
    head: Point | None = None
    tail: Point | None = None
    label: Point | None = None


def has_diamond(edge: DiagramEdge) -> bool:
    """Whether a sign stands where the edge begins: a router, or the node itself, chooses."""
    classes = set(edge.classes)
    return bool({"choice", "many", "command"} & classes) and not {"loop", "spent", "each"} & classes


def halfway(line: Line) -> Point:
    """The middle of a line along its curve, where a count can stand that has no room of its own."""
    spans = list(curves(line.points))
    if not spans:
        return line.points[0] if line.points else (0.0, 0.0)
    middle = spans[len(spans) // 2] if len(spans) % 2 else None
    if middle is None:
        return spans[len(spans) // 2][0]
    return bezier(middle, 0.5)


def curves(points: Iterable[Point]) -> Iterator[tuple[Point, Point, Point, Point]]:
    """The cubic curves of a chain of Bézier points."""
    known = list(points)
    for i in range(0, len(known) - 3, 3):
        yield known[i], known[i + 1], known[i + 2], known[i + 3]


def bezier(curve: tuple[Point, Point, Point, Point], t: float) -> Point:
    """The point of a cubic curve at `t`, by De Casteljau's halving."""
    layer: list[Point] = list(curve)
    while len(layer) > 1:
        layer = [(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for a, b in pairwise(layer)]
    return layer[0]
