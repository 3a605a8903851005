"""Boxes, lines and curves: the plain geometry of a picture, y downwards, in points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    """Beside the middle of a line, where a count (``×12``) can stand that has no room of its own."""
    spans = list(curves(line.points))
    if not spans:
        return line.points[0] if line.points else (0.0, 0.0)
    at = 0.5 if len(spans) % 2 else 0.0
    middle = spans[len(spans) // 2]
    (x, y), (after_x, after_y) = bezier(middle, at), bezier(middle, at + 0.1)
    return (x + 13, y) if abs(after_y - y) >= abs(after_x - x) else (x, y - 9)


def curves(points: Iterable[Point]) -> Iterator[tuple[Point, Point, Point, Point]]:
    """The cubic curves of a chain of Bézier points."""
    known = list(points)
    for i in range(0, len(known) - 3, 3):
        yield known[i], known[i + 1], known[i + 2], known[i + 3]


def bezier(curve: tuple[Point, Point, Point, Point], t: float) -> Point:
    """The point of a cubic curve at `t`."""
    s = 1.0 - t
    a, b, c, d = s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t
    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = curve
    return a * x1 + b * x2 + c * x3 + d * x4, a * y1 + b * y2 + c * y3 + d * y4
