"""A picture on a terminal: the drawing in characters, in colour where there is colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dalsegno.cli.screen import Screen
    from dalsegno.viz.diagram import Diagram
    from dalsegno.viz.overlay import RunView

_STYLES = {
    "done": "green", "caught": "magenta", "failed": "bold red", "running": "bold cyan", "interrupted": "bold yellow",
    "pending": "blue", "quiet": "dim", "faded": "dim", "loop": "cyan", "alarm": "red", "name": "bold",
}  # fmt: skip


def print_drawing(screen: Screen, picture: Diagram, *, head: bool = True) -> None:
    """Print a diagram; its title and caption over it, unless `head` is False."""
    from dalsegno.viz.terminal import rows

    if head:
        screen.line(screen.paint(picture.title, "bold"))
        for line in picture.caption:
            screen.line(screen.paint(line, "dim"))
        screen.line()
    for row in rows(picture, width=screen.columns):
        text = "".join(_painted(screen, part, look) for part, look in row.parts)
        screen.line((text + screen.paint(row.arcs, "dim")).rstrip())


def print_timeline(screen: Screen, run: RunView) -> None:
    """Print a line for each node of a run, with a sign in the column of each superstep in which it was executed."""
    from dalsegno.viz.terminal import timeline_rows

    for row in timeline_rows(run, width=screen.columns):
        screen.line("".join(_painted(screen, part, look) for part, look in row).rstrip())


def _painted(screen: Screen, part: str, look: str) -> str:
    return screen.paint(part, _STYLES[look]) if look in _STYLES else part
