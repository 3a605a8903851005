"""A `Diagram` -> text for a terminal: a line for each node and each way out of it, arcs to where it leads.

Needs no Graphviz. Nodes stand in the order in which a run can reach them; an arc at the right leads from
the line of an edge to the line of its target, up or down.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from dalsegno.viz.cards import declared
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.overlay import RunView
from dalsegno.viz.palette import SIGNS
from dalsegno.viz.text import plain
from dalsegno.viz.timeline import Note, last_columns, row_name, score

_SHAPES = {
    "start": "●", "end": "◎", "join": "━", "unknown": "?", "function": "▢", "agent": "⬡", "tool": "▣",
    "remote": "⧉", "human": "✎", "handler": "!", "subworkflow": "▤", "folded": "▤",
}  # fmt: skip
_MOST_ARCS = 14
_WIDEST = 76

Part = tuple[str, str]
"""A text and its look: a status, ``quiet``, ``name``, ``loop``, ``alarm``, or empty."""


@dataclass(slots=True)
class Row:
    """One line: its parts, and where arcs begin (`leaves`) or end (`enters`)."""

    parts: list[Part]
    leaves: DiagramEdge | None = None
    enters: str | None = None
    arcs: str = field(default="")

    @property
    def text(self) -> str:
        """The line without looks."""
        return "".join(text for text, _ in self.parts)


def to_text(diagram: Diagram, *, width: int = 100) -> str:
    """The drawing as plain text, its title and caption over it."""
    head = [diagram.title, *diagram.caption, ""]
    return (
        "\n".join([*head, *(f"{row.text}{row.arcs}".rstrip() for row in rows(diagram, width=width))]) + "\n"
    )


def rows(diagram: Diagram, *, width: int = 100) -> list[Row]:
    """The lines of the drawing, at most `width` cells wide (arcs may take more where there are many)."""
    made = list(_level(diagram, None, 0, min(_WIDEST, max(32, width - 2 * _MOST_ARCS))))
    _draw_arcs(made, diagram)
    return made


def _level(diagram: Diagram, cluster: str | None, depth: int, room: int) -> Iterator[Row]:
    outgoing: dict[str, list[DiagramEdge]] = defaultdict(list)
    for edge in diagram.edges:
        outgoing[edge.source].append(edge)
    for box in _in_order(diagram, cluster):
        yield Row(_box_parts(box, depth, room), enters=box.id)
        for line in box.lines[1:]:
            yield Row([("  " * depth + "    " + _cells(line, room - 2 * depth - 4), box.status or "")])
        if isinstance(box, Cluster):
            yield from _level(diagram, box.id, depth + 1, room)
        for edge in outgoing[box.id]:
            yield Row(_edge_parts(edge, depth, room, diagram), leaves=edge)


def _box_parts(box: DiagramNode | Cluster, depth: int, room: int) -> list[Part]:
    kind = box.kind if isinstance(box, DiagramNode) else "subworkflow"
    status = box.status or ("faded" if "untaken" in box.classes else "")
    did = box.lines[0] if box.lines else ""
    # What the run did is told before what was declared, of a long name too.
    name = _cells(plain(box.label), min(40, room - 2 * depth - 4 - min(cells(did), 12)))
    parts: list[Part] = [("  " * depth, ""), (f"{_SHAPES.get(kind, '▢')} ", status), (name, status or "name")]
    left = room - 2 * depth - 3 - cells(name)
    words = " · ".join(declared(box))
    for_words = left - (cells(did) + 2 if did else 0)
    if words and for_words > 8:
        words = _cells(words, for_words)
        parts.append((f"  {words}", "quiet"))
        left -= cells(words) + 2
    if did:
        parts.append((f"  {_cells(did, left)}", status))
    if box.mark:
        parts.append((f"  ↻ {box.mark}", "loop"))
    return parts


def _edge_parts(edge: DiagramEdge, depth: int, room: int, diagram: Diagram) -> list[Part]:
    classes = set(edge.classes)
    look = "faded" if "untaken" in classes else "loop" if "loop" in classes else "quiet"
    look = "alarm" if {"handler", "unknown"} & classes and look == "quiet" else look
    sign = "├" if edge.via else "→"
    if "loop" in classes:
        sign = "↺"
    elif "each" in classes:
        sign = "⇶"
    elif {"spent", "handler", "compensation"} & classes:
        sign = "⇢"
    elif {"choice", "command", "many"} & classes:
        sign = "◇"
    names = {n.id: n.label for n in diagram.nodes} | {c.id: c.label for c in diagram.clusters}
    waits = " (waits for all)" if edge.via else ""
    target = plain(names.get(edge.target, edge.target))
    # A choice stands before the arrow to where it leads; a plain edge has nothing to say but how often it was taken.
    text = f"{edge.label} → {target}" if edge.label and sign != "→" else f"{target} {edge.label}".rstrip()
    return [("  " * depth + "   ", ""), (_cells(f"{sign} {text}{waits}", room - 2 * depth - 3), look)]


def _in_order(diagram: Diagram, cluster: str | None) -> list[DiagramNode | Cluster]:
    """The boxes of one level, those first that a run reaches first; END last."""
    boxes: list[DiagramNode | Cluster] = [
        n for n in diagram.nodes if n.cluster == cluster and n.kind != "join"
    ]
    boxes += [c for c in diagram.clusters if c.parent == cluster]
    known = {box.id: box for box in boxes}
    onward: dict[str, list[str]] = defaultdict(list)
    missing: dict[str, int] = defaultdict(int)
    for edge in diagram.edges:
        is_onward = "loop" not in edge.classes and edge.source != edge.target
        if edge.source in known and edge.target in known and is_onward:
            onward[edge.source].append(edge.target)
            missing[edge.target] += 1
    waiting = [b.id for b in boxes if not missing[b.id]]
    found: list[str] = []
    seen: set[str] = set()
    while len(found) < len(boxes):
        if not waiting:  # a cycle without a loop: the first that is left
            waiting = [next(b.id for b in boxes if b.id not in seen)]
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        found.append(at)
        ready = []
        for target in onward[at]:
            missing[target] -= 1
            if missing[target] <= 0 and target not in seen:
                ready.append(target)
        waiting = ready + waiting
    ends = [name for name in found if _is_end(known[name])]
    return [known[name] for name in found if name not in ends] + [known[name] for name in ends]


def _is_end(box: DiagramNode | Cluster) -> bool:
    return isinstance(box, DiagramNode) and box.kind == "end"


def _draw_arcs(made: Sequence[Row], diagram: Diagram) -> None:
    """Arcs at the right of the lines, each in a lane of its own while it lasts; the shortest innermost."""
    lines = {row.enters: i for i, row in enumerate(made) if row.enters}
    spans = []
    for i, row in enumerate(made):
        if row.leaves is not None and row.leaves.target in lines:
            target = lines[row.leaves.target]
            if not (target > i and all(made[k].leaves is not None for k in range(i, target))):
                spans.append((i, target))
    lanes: list[list[tuple[int, int]]] = []
    placed: list[tuple[int, int, int]] = []
    for i, target in sorted(spans, key=lambda s: abs(s[1] - s[0])):
        low, high = min(i, target), max(i, target)
        free = (k for k, taken in enumerate(lanes) if all(high < a or low > b for a, b in taken))
        lane = next(free, len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((low, high))
        placed.append((i, target, lane))
    if len(lanes) > _MOST_ARCS:
        return
    start = max((cells(row.text) for row in made), default=0) + 2
    grid: dict[int, dict[int, str]] = defaultdict(dict)
    for i, target, lane in placed:
        column = 2 * lane + 2
        low, high = min(i, target), max(i, target)
        for line in range(low + 1, high):
            grid[line][column] = _crossed(grid[line].get(column), "│")
        for line, sign in ((low, "╮"), (high, "╯")):
            for across in range(column):
                grid[line].setdefault(across, "─")
                grid[line][across] = _crossed(grid[line][across], "─")
            grid[line][column] = _crossed(grid[line].get(column), sign)
        grid[target][0] = "◀"
    for i, row in enumerate(made):
        if i in grid:
            last = max(grid[i])
            first = "◀" if grid[i].get(0) == "◀" else " "
            lead = _lead(row, start, bool(grid[i].get(0)))
            row.arcs = lead + first + "".join(grid[i].get(k, " ") for k in range(1, last + 1))
            if first == " " and grid[i].get(0):
                row.arcs = lead + "".join(grid[i].get(k, " ") for k in range(last + 1))


def _lead(row: Row, start: int, touched: bool) -> str:
    """From the end of a line's text to where the arcs begin."""
    gap = start - cells(row.text)
    return f" {'┄' * (gap - 2)} " if touched and gap > 2 else " " * gap


def timeline_rows(run: RunView, *, width: int = 100) -> list[list[Part]]:
    """The timeline of a run: a line a node, two cells a superstep; the last supersteps where all are too many."""
    whole = score(run.executions)
    names = {row: row_name(row, lambda text: _cells(text, 28)) for row in whole.rows}
    left = max((cells(name) for name in names.values()), default=0) + 2
    placed = last_columns(whole, max(4, (width - left - 2) // 2))
    more = "… " if placed is not whole else ""
    head = "".join(label[-2:].ljust(2) for label in placed.columns)
    lines: list[list[Part]] = [[(" " * left + more + head, "quiet")]]
    for row, name in names.items():
        notes = {note.column: note for note in placed.notes if note.node == row}
        line: list[Part] = [(name + " " * (left - cells(name)), ""), (more, "quiet")]
        column = 0
        while column < len(placed.columns):
            note = notes.get(column)
            line.append(_note(note) if note else ("· ", "quiet"))
            column += note.span if note else 1
        lines.append(line)
    return lines


def _note(note: Note) -> Part:
    """A sign; as long as what was executed within it."""
    many = len(note.executions)
    sign = (f"{many}" if 1 < many < 10 else "+" if many > 1 else "") + SIGNS[note.status]
    return sign.ljust(2, "━" if note.span > 1 else " ") + "━━" * (note.span - 1), note.status


_JOINTS = {
    frozenset("│─"): "┼", frozenset("╮─"): "┬", frozenset("╯─"): "┴", frozenset("╮╯"): "┤",
    frozenset("│╮"): "┤", frozenset("│╯"): "┤", frozenset("┬│"): "┼", frozenset("┴│"): "┼",
}  # fmt: skip


def _crossed(one: str | None, other: str) -> str:
    """What stands where two lines meet."""
    if one is None or one == other:
        return other
    return _JOINTS.get(frozenset((one, other)), one)


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_taken, text))


@lru_cache(maxsize=1024)
def _taken(character: str) -> int:
    """The cells of one character: none of one that is set over or under another, or that nobody sees."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cells(text: str, room: int) -> str:
    """A text cut to so many cells."""
    room = max(4, room)
    if cells(text) <= room:
        return text
    out = ""
    taken = 1
    for character in text:
        taken += cells(character)
        if taken > room:
            break
        out += character
    return out.rstrip() + "…"
