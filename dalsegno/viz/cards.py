"""How large each box of a picture is, and what stands in it: the same with a run over it as without.

A box has its name and one quiet line; in the picture of a run that line says what the run did instead
of what was declared. So a run never moves a box.
"""

from __future__ import annotations

from dataclasses import dataclass

from dalsegno.viz.diagram import Cluster, DiagramEdge, DiagramNode
from dalsegno.viz.geometry import Box
from dalsegno.viz.metrics import fitted, width
from dalsegno.viz.palette import SIGNS, WORDS
from dalsegno.viz.text import plain

NAME, QUIET, LABEL = 13.0, 10.0, 10.0
"""Font sizes in points: a name, the quiet line under it, an edge's label."""

LINE = 13.0
_WIDEST = 216.0
_MARGIN = 16.0
_RUN_LINE = "↷ failed, caught"
_WAITS = f"{SIGNS['interrupted']} {WORDS['interrupted']}"
_ROWS = 2
# What a shape takes away at its sides.
_INSET = {
    "agent": 14.0,
    "human": 5.0,
    "handler": 8.0,
    "remote": 7.0,
    "tool": 5.0,
    "folded": 5.0,
    "subworkflow": 5.0,
}
_QUIET_KINDS = ("function", "unknown", "start", "end", "join", "folded")
_PILL = (52.0, 24.0)
_DOT = (12.0, 12.0)
_BAR = (66.0, 13.0)


@dataclass(frozen=True, slots=True)
class Card:
    """One box: its size in points, its name and its quiet lines as they fit."""

    width: float
    height: float
    name: str
    quiet: tuple[str, ...]


def card(node: DiagramNode) -> Card:
    """The card of a node or of a mark."""
    if node.kind in ("start", "end"):
        size = _PILL if node.cluster is None else _DOT
        return Card(*size, node.label if node.cluster is None else "", ())
    if node.kind == "join":
        return Card(*_BAR, node.label.upper(), ())
    inset = _INSET.get(node.kind, 0.0)
    name = fitted(plain(node.label), _WIDEST, NAME, bold=True)
    quiet = packed(declared(node), _WIDEST)
    rows = [
        width(name, NAME, bold=True),
        width(_RUN_LINE, QUIET, bold=True),
        *(width(row, QUIET) for row in quiet),
    ]
    wide = round(max(rows) + 24 + 2 * inset)
    tall = 26 + LINE * max(1, len(quiet))
    shown = progress(node, wide - 10 - 2 * inset) or quiet
    return Card(wide, tall, name, tuple(shown))


def declared(box: DiagramNode | Cluster) -> tuple[str, ...]:
    """The quiet words of a box: its kind, where it is a special one, and what was declared on it."""
    kind = box.kind if isinstance(box, DiagramNode) else "subworkflow"
    words = () if kind in _QUIET_KINDS else (kind,)
    return (*words, *box.badges)


def progress(box: DiagramNode | Cluster, room: float) -> tuple[str, ...]:
    """The line of what the run did in a box, as much of it as fits; its error is told beside it."""
    if not box.lines:
        return ()
    words = box.lines[0].split(" · ")
    if words[0] == _WAITS and width(_WAITS, QUIET, bold=True) > room:
        words[0] = f"{SIGNS['interrupted']} waits"  # the sign and the details say for whom
    while len(words) > 1 and width(" · ".join(words), QUIET, bold=True) > room:
        words.pop()
    return (fitted(" · ".join(words), room, QUIET, bold=True),)


def slip(box: DiagramNode | Cluster, place: Box) -> tuple[str, ...]:
    """The lines of an error that stand on a slip under a box; where a run went on from it, details have it.

    A frame has its own in one line at its foot, for what follows a frame stands close under it.
    """
    lines = () if box.status == "caught" else box.lines[1:]
    if isinstance(box, DiagramNode) or not lines:
        return lines
    return (fitted(" ".join(lines), place.width - 2 * _MARGIN, QUIET),)


def slip_top(box: DiagramNode | Cluster, place: Box) -> float:
    """Where the slip of a box begins, downwards as the layout has it."""
    return place.bottom + 3 if isinstance(box, DiagramNode) else place.bottom - LINE - 8


def packed(words: tuple[str, ...], room: float) -> list[str]:
    """Quiet words in as few lines as fit, at most two."""
    rows: list[str] = []
    for word in words:
        if rows and width(f"{rows[-1]} · {word}", QUIET) <= room:
            rows[-1] += f" · {word}"
        elif len(rows) == _ROWS:
            rows[-1] = fitted(f"{rows[-1]} · {word}", room, QUIET)
            break
        else:
            rows.append(fitted(word, room, QUIET))
    return rows


def banner(cluster: Cluster) -> Card:
    """The head of a frame: its name, and a quiet line beside it."""
    name = fitted(plain(cluster.label), _WIDEST, NAME, bold=True)
    quiet = packed(declared(cluster), _WIDEST)[:1]
    rows = [
        width(name, NAME, bold=True),
        width(_RUN_LINE, QUIET, bold=True),
        *(width(row, QUIET) for row in quiet),
    ]
    return Card(round(max(rows) + 12), 32.0, name, tuple(progress(cluster, _WIDEST) or quiet))


def label_width(edge: DiagramEdge) -> float:
    """The room that an edge's label takes in the layout, with or without a run's count; 0 for none."""
    if not edge.base:
        return 0.0
    bounded = edge.bound is not None
    return round(width(edge.base, LABEL, bold=bounded) + (6 if bounded else 22))
