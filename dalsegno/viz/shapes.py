"""The outlines of a picture as SVG path data: one shape for each kind of node, and the signs on lines."""

from __future__ import annotations

import math

from dalsegno.viz.geometry import Box, Line, Point


def outline(kind: str, box: Box) -> tuple[str, str]:
    """The outline of a node's box, and the trim that some kinds have besides (empty for the others)."""
    x, y, w, h = box.x, box.y, box.width, box.height
    if kind == "agent":
        return _polygon((x + 13, y), (x + w - 13, y), (x + w, y + h / 2), (x + w - 13, y + h), (x + 13, y + h),
                        (x, y + h / 2)), ""  # fmt: skip
    if kind == "human":
        fold = 10
        form = _polygon((x, y), (x + w - fold, y), (x + w, y + fold), (x + w, y + h), (x, y + h))
        return form, f"M{_n(x + w - fold)} {_n(y)}v{fold}h{fold}"
    if kind == "handler":
        c = 9
        return _polygon((x + c, y), (x + w - c, y), (x + w, y + c), (x + w, y + h - c), (x + w - c, y + h),
                        (x + c, y + h), (x, y + h - c), (x, y + c)), ""  # fmt: skip
    if kind == "tool":
        sides = f"M{_n(x + 5)} {_n(y)}v{_n(h)}M{_n(x + w - 5)} {_n(y)}v{_n(h)}"
        return rounded(x, y, w, h, 1.5), sides
    if kind == "remote":
        return rounded(x, y, w, h, 8), rounded(x + 3.5, y + 3.5, w - 7, h - 7, 5)
    if kind in ("subworkflow", "folded"):
        behind = f"M{_n(x + 4)} {_n(y - 3.5)}h{_n(w - 6)}a6 6 0 0 1 6 6v{_n(h - 7)}"
        return rounded(x, y, w, h, 8), behind
    return rounded(x, y, w, h, 8), ""


def pill(box: Box) -> str:
    """START and END."""
    return rounded(box.x, box.y, box.width, box.height, box.height / 2)


def dot(box: Box, radius: float) -> str:
    """A circle in the middle of a box."""
    x, y = box.middle
    half = f"a{_n(radius)} {_n(radius)} 0 1 1"
    return f"M{_n(x - radius)} {_n(y)}{half} {_n(2 * radius)} 0{half} {_n(-2 * radius)} 0z"


def rounded(x: float, y: float, w: float, h: float, r: float) -> str:
    """A rectangle with round corners."""
    r = min(r, w / 2, h / 2)
    a = f"a{_n(r)} {_n(r)} 0 0 1"
    return (
        f"M{_n(x + r)} {_n(y)}h{_n(w - 2 * r)}{a} {_n(r)} {_n(r)}v{_n(h - 2 * r)}{a} {_n(-r)} {_n(r)}"
        f"h{_n(2 * r - w)}{a} {_n(-r)} {_n(-r)}v{_n(2 * r - h)}{a} {_n(r)} {_n(-r)}z"
    )


def curve(line: Line) -> str:
    """The line of an edge, from where it begins to where its head begins."""
    if not line.points:
        return ""
    first, *rest = line.points
    start = f"M{_p(line.tail)}L{_p(first)}" if line.tail else f"M{_p(first)}"
    return start + (f"C{' '.join(_p(point) for point in rest)}" if rest else "")


def arrow(line: Line, half: float = 3.4) -> str:
    """The head of an edge; nothing where it has none."""
    if line.head is None or not line.points:
        return ""
    (x, y), (tx, ty) = line.points[-1], line.head
    dx, dy = _unit(tx - x, ty - y)
    return _polygon((tx, ty), (x - dy * half, y + dx * half), (x + dy * half, y - dx * half))


def diamond(line: Line, half: float = 3.2) -> str:
    """The sign where a router chooses, at the beginning of an edge."""
    if line.tail is None or not line.points:
        return ""
    (tx, ty), (x, y) = line.tail, line.points[0]
    mx, my = (tx + x) / 2, (ty + y) / 2
    dx, dy = _unit(x - tx, y - ty)
    return _polygon((tx, ty), (mx - dy * half, my + dx * half), (x, y), (mx + dy * half, my - dx * half))


def segno(x: float, y: float) -> tuple[str, str]:
    """The sign 𝄋 around a point: its ground, and its strokes."""
    ground = dot(Box(x - 9, y - 9, 18, 18), 9)
    s = f"M{_n(x + 2.6)} {_n(y - 3.4)}c-1.6 -2.4 -5.4 -1.4 -5 1.2c.4 2.2 4.4 2.2 4.8 4.4c.4 2.6 -3.4 3.6 -5 1.2"
    slash = f"M{_n(x + 4.4)} {_n(y - 4.6)}L{_n(x - 4.4)} {_n(y + 4.6)}"
    dots = f"M{_n(x - 4.6)} {_n(y - 0.6)}h.01M{_n(x + 4.6)} {_n(y + 0.6)}h.01"
    return ground, s + slash + dots


def _polygon(*points: Point) -> str:
    return "M" + "L".join(_p(point) for point in points) + "z"


def _unit(dx: float, dy: float) -> Point:
    length = math.hypot(dx, dy) or 1.0
    return dx / length, dy / length


def _p(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(number: float) -> str:
    """A number without zeros that say nothing."""
    text = f"{number:.1f}"
    return text[:-2] if text.endswith(".0") else text
