"""Edges of large pictures, drawn as plain curves: Graphviz would take minutes to lead each around everything."""

from __future__ import annotations

from collections.abc import Mapping

from dalsegno.viz.diagram import DiagramEdge
from dalsegno.viz.layout import Box, Line, bezier, has_diamond

_HEAD, _TAIL = 8.0, 9.0
"""How long the signs at the ends of an edge are, in points."""


def swung(edge: DiagramEdge, boxes: Mapping[str, Box], end: str) -> Line | None:
    """One curve from a box to another: out at the bottom and in at the top, or by the side on the way back."""
    source, target = boxes.get(edge.source), boxes.get(end)
    if source is None or target is None:
        return None
    arrow = None if edge.via else _HEAD
    if target.y >= source.bottom - 1:
        (x1, _), (x2, _) = source.middle, target.middle
        y1, y2 = source.bottom, target.y
        bend = max(12.0, (y2 - y1) / 2)
        head = (x2, y2) if arrow else None
        stop = y2 - (arrow or 0)
        first = y1 + (_TAIL if has_diamond(edge) else 0)
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
