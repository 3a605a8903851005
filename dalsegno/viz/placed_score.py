"""The panel of a run in DOT in which everything has its place: bars and timeline, for PNG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dalsegno.viz import palette as p
from dalsegno.viz.geometry import Point
from dalsegno.viz.metrics import fitted
from dalsegno.viz.overlay import RunView
from dalsegno.viz.palette import SIGNS
from dalsegno.viz.panel import said
from dalsegno.viz.timeline import MOST, ROW, last_columns, left_out, resume_columns, row_name, score

_BAR, _LEFT = 120.0, 104.0
_NAMES = 150.0

Text = Callable[[str, Point, str, int, str], str]
"""A box of text: its name, left middle, text, size and colour."""


def bars_and_score(run: RunView, top: float, room: float, text: Text) -> Iterator[str]:
    """The lines of DOT, from `top` (y upwards) down, about `room` points wide."""
    for i, bar in enumerate(run.used):
        y = top - 16 * i
        yield text(f"bar{i}", (0.0, y), bar.what, 10, p.MUTED)
        yield _box(f"track{i}", 84 + _BAR / 2, y, _BAR, 7, p.HAIR, p.HAIR)
        if bar.proved and bar.used:
            wide = _BAR * min(1.0, bar.used / bar.proved)
            color = p.STATUSES["failed" if bar.used > bar.proved else "done"].border
            yield _box(f"used{i}", 84 + wide / 2, y, wide, 7, color, color)
        yield text(f"amount{i}", (84 + _BAR + 8, y), said(bar), 10, p.INK)
    if run.executions:
        yield from _score(run, top - 16 * len(run.used) - 12, room, text)


def _score(run: RunView, top: float, room: float, text: Text) -> Iterator[str]:
    whole = score(run.executions)
    placed = last_columns(whole, MOST)
    count = max(1, len(placed.columns))
    column = max(3.0, min(30.0, (max(room, 320.0) - _LEFT) / count))
    rows = {row: top - ROW * (i + 1) for i, row in enumerate(placed.rows)}
    every = max(1, round(24 / column))
    for i, label in enumerate(placed.columns):
        if label and i % every == 0:
            yield text(f"step{i}", (_LEFT + column * (i + 0.3), top), label, 10, p.MUTED)
    for i, (row, y) in enumerate(rows.items()):
        yield text(
            f"row{i}",
            (0.0, y),
            row_name(row, lambda text: fitted(text, min(_NAMES, _LEFT - 8), 10)),
            10,
            p.MUTED,
        )
        yield _box(f"rule{i}", _LEFT + column * count / 2, y, column * count, 0.6, p.HAIR, p.HAIR)
    for i, note in enumerate(placed.notes):
        paint, many = p.STATUSES[note.status], len(note.executions)
        wide = column * note.span - min(3.0, column / 4)
        sign = f"×{many}" if many > 1 else SIGNS[note.status]
        style = "filled,rounded,dashed" if note.status == "interrupted" else "filled,rounded"
        x = _LEFT + column * (note.column + note.span / 2)
        label = f'<<FONT POINT-SIZE="8" COLOR="{paint.ink}">{sign}</FONT>>' if column >= 14 else '""'
        yield _box(f"note{i}", x, rows[note.node], wide, ROW - 4, paint.fill, paint.border, label, style)
    if told := left_out(whole, placed):
        yield text("told", (_LEFT, top - ROW * (len(rows) + 1) - 2), told, 10, p.MUTED)
    tall = ROW * len(rows) + 8
    for at in dict(resume_columns(whole, placed, run)):
        for side in (-1.5, 1.5):
            x = _LEFT + column * at + side
            yield _box(f"resume{at}{side:+.0f}", x, top - tall / 2 - 6, 0.8, tall, p.ACCENT, p.ACCENT)


def _box(
    name: str,
    x: float,
    y: float,
    wide: float,
    tall: float,
    fill: str,
    border: str,
    label: str = '""',
    style: str = "filled",
) -> str:
    return (
        f'"{name}" [shape=box,style="{style}",pos="{x:.1f},{y:.1f}",width={wide / 72:.4f},height={tall / 72:.4f},'
        f'fillcolor="{fill}",color="{border}",penwidth=0.8,margin=0,label={label}];'
    )
