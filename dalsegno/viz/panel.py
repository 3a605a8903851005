"""What stands under the picture of a run: *proved against used*, the error, the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from dalsegno.viz import shapes
from dalsegno.viz.cards import QUIET
from dalsegno.viz.diagram import Diagram
from dalsegno.viz.metrics import fitted, width
from dalsegno.viz.overlay import RunView, Used
from dalsegno.viz.text import duration
from dalsegno.viz.timeline import timeline

_BAR = 120.0


@dataclass(frozen=True, slots=True)
class Panel:
    """Markup with its own origin, and its size in points."""

    markup: str
    width: float
    height: float


def panel(diagram: Diagram, run: RunView, *, room: float) -> Panel:
    """The panel of a run, about `room` points wide."""
    parts: list[str] = []
    y = 12.0
    wide = 0.0
    for i, line in enumerate(diagram.caption[1:]):
        text = fitted(line, max(room, 320.0), QUIET)
        wide = max(wide, width(text, QUIET))
        parts.append(f'<text class="{"caption" if i else ""}" x="0" y="{y:.1f}">{escape(text)}</text>')
        y += 15
    if run.used:
        bars = list(_bars(run.used, y))
        parts += bars
        y += 17 * len(bars) + 6
        wide = max(wide, 320.0)
    if run.executions:
        drawn = timeline(run, room=max(room, 320.0))
        parts.append(f'<g class="timeline" transform="translate(0 {y:.1f})">{drawn.markup}</g>')
        y += drawn.height
        wide = max(wide, drawn.width)
    return Panel("\n".join(parts), wide, y + 6)


def _bars(used: tuple[Used, ...], y: float) -> Iterator[str]:
    """One bar for what was used, against what was proved."""
    for i, bar in enumerate(used):
        top = y + 17 * i
        spoken = said(bar)
        share = min(1.0, bar.used / bar.proved) if bar.proved else 0.0
        over = bar.proved is not None and bar.used > bar.proved
        filled = shapes.rounded(84, top - 3, max(3.0, _BAR * share), 7, 3.5) if share else ""
        yield (
            f'<g class="measure"><title>{escape(f"{bar.what}: {spoken}")}</title>'
            f'<text class="caption" x="0" y="{top + 4:.1f}">{escape(bar.what)}</text>'
            f'<path class="bar" d="{shapes.rounded(84, top - 3, _BAR, 7, 3.5)}"/>'
            + (f'<path class="{"over" if over else "used"}" d="{filled}"/>' if filled else "")
            + f'<text x="{84 + _BAR + 8:g}" y="{top + 4:.1f}">{escape(spoken)}</text></g>'
        )


def said(bar: Used) -> str:
    """A bar in words: ``9 of 10``, ``9, no bound``."""
    amount = duration if bar.what == "seconds" else _count
    return (
        f"{amount(bar.used)} of {amount(bar.proved)}"
        if bar.proved is not None
        else f"{amount(bar.used)}, no bound"
    )


def _count(number: float) -> str:
    return f"{number:,.0f}"
