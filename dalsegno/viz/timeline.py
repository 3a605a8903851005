"""A run as a score: a line for each node, a bar for each superstep, notes where a node was executed.

Executions of one superstep stand in one column, so parallel nodes stand above each other. What is
executed within a subworkflow has columns of its own, under the note of the subworkflow, which is as long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from dalsegno.nodes.paths import name_of, shown
from dalsegno.viz import shapes
from dalsegno.viz.cards import QUIET
from dalsegno.viz.metrics import fitted, width
from dalsegno.viz.overlay import Execution, NodeStatus, RunView
from dalsegno.viz.palette import SIGNS, WORDS
from dalsegno.viz.text import duration, plain

ROW = 18.0
TOP = 22.0
_WIDEST, _LEAST = 30.0, 3.0
_NAMES = 150.0
MOST = 500
"""Columns in a picture that nobody scrolls: the last ones, where a run has more."""


@dataclass(frozen=True, slots=True)
class Note:
    """Executions of one node in one column; those of a fan-out are one note."""

    node: str
    column: int
    span: int
    executions: tuple[Execution, ...]

    @property
    def status(self) -> NodeStatus:
        """The most urgent status among them."""
        return min((e.status for e in self.executions), key=_URGENCY.index)


_URGENCY: tuple[NodeStatus, ...] = ("failed", "interrupted", "running", "pending", "caught", "done")


@dataclass(frozen=True, slots=True)
class Score:
    """All notes of a run; `columns` are the labels: the superstep that begins there, or nothing.

    `ends` says for each column which superstep of the outermost workflow is finished with it.
    """

    notes: tuple[Note, ...]
    columns: tuple[str, ...]
    ends: tuple[int, ...]
    rows: tuple[str, ...]


def score(executions: tuple[Execution, ...]) -> Score:
    """Where each execution of a run stands in its timeline."""
    levels: dict[str, dict[int, list[Execution]]] = defaultdict(lambda: defaultdict(list))
    for execution in executions:
        levels[execution.entry][execution.superstep].append(execution)
    notes: list[Note] = []
    labels: dict[int, str] = {}
    ends: dict[int, int] = {}

    def lay(entry: str, column: int, depth: int) -> int:
        """Places one workflow from a column on; gives the column after it."""
        for superstep in sorted(levels[entry]):
            if not entry:
                labels[column] = str(superstep)
            after = column + 1
            together: dict[str, list[Execution]] = defaultdict(list)
            for execution in levels[entry][superstep]:
                together[execution.node].append(execution)
            spans = dict.fromkeys(together, column + 1)
            for node, found in together.items():
                for child in dict.fromkeys(e.child for e in found if e.child and e.child in levels):
                    if depth < _DEEPEST:
                        spans[node] = max(spans[node], lay(child, column, depth + 1))
            after = max([after, *spans.values()])
            notes.extend(
                Note(node, column, spans[node] - column, tuple(found)) for node, found in together.items()
            )
            if not entry:
                ends[after - 1] = superstep
            column = after
        return column

    total = lay("", 0, 0)
    notes = _together(notes)
    seen = dict.fromkeys(n.node for n in sorted(notes, key=lambda n: (n.column, -n.span)))
    rows: dict[str, None] = {}
    for row in seen:
        rows |= {outer: None for outer in (*_frames(row), row) if outer in seen}
    reached, finished = 0, []
    for column in range(total):
        reached = ends.get(column, reached)
        finished.append(reached)
    return Score(tuple(notes), tuple(labels.get(c, "") for c in range(total)), tuple(finished), tuple(rows))


_DEEPEST = 20


def _together(notes: list[Note]) -> list[Note]:
    """The notes, one of each node in a column: a subworkflow that is sent to is entered several times at once."""
    found: dict[tuple[str, int], Note] = {}
    for note in notes:
        known = found.get((note.node, note.column))
        if known is not None:
            executions = (*known.executions, *note.executions)
            note = replace(note, span=max(known.span, note.span), executions=executions)
        found[note.node, note.column] = note
    return list(found.values())


def _frames(place: str) -> Iterator[str]:
    """The subworkflows around a place, the outermost first."""
    parts = place.split("/")
    yield from ("/".join(parts[:i]) for i in range(1, len(parts)))


def last_columns(placed: Score, most: int) -> Score:
    """The last `most` columns of a score; what began before them and goes on into them begins with them."""
    skipped = len(placed.columns) - most
    if skipped <= 0:
        return placed
    notes = (
        replace(note, column=max(0, note.column - skipped), span=note.span - max(0, skipped - note.column))
        for note in placed.notes
        if note.column + note.span > skipped
    )
    return Score(tuple(notes), placed.columns[skipped:], placed.ends[skipped:], placed.rows)


def resumed_at(placed: Score, mark: int) -> int:
    """The column with which a run went on after the superstep `mark`."""
    # Columns of a superstep that spans several begin with its label.
    first = [i for i, label in enumerate(placed.columns) if label.isdigit() and int(label) > mark]
    after = [i for i, end in enumerate(placed.ends) if end > mark]
    return min(first or after, default=len(placed.columns))


def resume_columns(whole: Score, placed: Score, run: RunView) -> Iterator[tuple[int, int]]:
    """Each shown column with which the run went on, and the superstep after which it did."""
    skipped = len(whole.columns) - len(placed.columns)
    for mark in run.resumed_after:
        at = resumed_at(whole, mark) - skipped
        if at >= 0:
            yield at, mark


def left_out(whole: Score, shown: Score) -> str:
    """What is told where not all columns are shown; nothing where they are."""
    count, total = len(shown.columns), len(whole.columns)
    return f"the last {count:,} of {total:,} columns" if count < total else ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The drawn score, and its size in points; `column` is how wide one column is, `left` where they begin."""

    markup: str
    width: float
    height: float
    left: float
    column: float


def row_name(row: str, fit: Callable[[str], str]) -> str:
    """A row's name: of a node in a subworkflow, where not all of it fits, what tells it from its neighbours.

    >>> row_name("loan_processing/undo check", lambda text: text[:16])
    '…/undo check'
    """
    name, own = plain(shown(row)), plain(name_of(row))
    return fit(name if own == name or fit(name) == name else f"…/{own}")


def timeline(
    run: RunView,
    *,
    room: float | None = None,
    numbers: Mapping[str, str] | None = None,
) -> Timeline:
    """Draws the score of a run.

    Without `room` each column has its full width; `numbers` ties a note to its node in the picture
    (``data-n``), and has every column and note say which it is.
    """
    whole = score(run.executions)
    placed = whole if room is None else last_columns(whole, MOST)
    labels = {row: row_name(row, lambda text: fitted(text, _NAMES, QUIET)) for row in placed.rows}
    left = round(max((width(text, QUIET) for text in labels.values()), default=0.0) + 12)
    count = max(1, len(placed.columns))
    column = _WIDEST if room is None else max(_LEAST, min(_WIDEST, (room - left) / count))
    tall = TOP + ROW * len(placed.rows) + 6
    wide = left + column * count + 2
    rows = {row: TOP + ROW * i for i, row in enumerate(placed.rows)}
    parts = [
        *_staff(placed, rows, left, column, wide),
        *(_names(labels, rows) if numbers is None else ()),
        *_breaks(whole, placed, run, left, column, tall),
        *(_note(note, rows[note.node], left, column, numbers) for note in placed.notes),
    ]
    if numbers is not None:  # over the notes, and beside them also where a reader has scrolled
        ground = f'<path class="paper" d="M0 0h{left - 4:g}v{tall:g}H0z"/>'
        parts.append(f'<g class="names">{ground}{"".join(_names(labels, rows))}</g>')
    if told := left_out(whole, placed):
        parts.append(f'<text class="caption" x="{left:g}" y="{tall + 6:g}">{told}</text>')
        tall += 14
    return Timeline("\n".join(parts), wide, tall, left, column)


def _staff(
    placed: Score,
    rows: Mapping[str, float],
    left: float,
    column: float,
    wide: float,
) -> Iterator[str]:
    every = max(1, round(24 / column))
    for i, label in enumerate(placed.columns):
        if label and (i % every == 0 or every == 1):
            x = left + column * (i + 0.5)
            yield f'<text class="caption middle" x="{x:.1f}" y="12">{escape(label)}</text>'
    lines = "".join(f"M{left:g} {y + ROW / 2:g}H{wide:g}" for y in rows.values())
    yield f'<path class="rule" d="{lines}"/>'


def _names(labels: Mapping[str, str], rows: Mapping[str, float]) -> Iterator[str]:
    for row, y in rows.items():
        full = escape(plain(shown(row)))
        yield f'<text class="quiet" x="0" y="{y + ROW / 2 + 3.4:g}"><title>{full}</title>{escape(labels[row])}</text>'


def _breaks(
    whole: Score, placed: Score, run: RunView, left: float, column: float, tall: float
) -> Iterator[str]:
    """A double bar where the run went on from its mark, a broken one where it had been cut short."""
    cut = {n.column for n in placed.notes if any(e.again for e in n.executions)}
    resumed = dict(resume_columns(whole, placed, run))
    for at in sorted(resumed.keys() | cut):
        x = left + column * at
        if at in resumed:
            yield (
                f'<g class="resume"><title>resumed here, after superstep {resumed[at]}</title>'
                f'<path class="break" d="M{x - 1.5:.1f} 15V{tall - 4:.1f}M{x + 1.5:.1f} 15V{tall - 4:.1f}"/></g>'
            )
        else:
            yield (
                '<g class="cut"><title>executed again: it had failed, waited, or was in flight when the run was '
                f'cut short</title><path class="again" d="M{x:.1f} 15V{tall - 4:.1f}"/></g>'
            )


def _note(note: Note, y: float, left: float, column: float, numbers: Mapping[str, str] | None) -> str:
    gap = 1.5 if column > 8 else 0.3
    x, wide = left + column * note.column + gap, column * note.span - 2 * gap
    many = len(note.executions)
    tries = max(e.attempts for e in note.executions)
    sign = f"×{many}" if many > 1 else SIGNS[note.status]
    text = ""
    if column >= 14:
        text = f'<text class="said" x="{x + wide / 2:.1f}" y="{y + ROW / 2 + 3.2:.1f}">{sign}</text>'
    ticks = ""
    if tries > 1 and column >= 8:  # each further try is a tick on the note
        ticks = "".join(f"M{x + 4 + 3 * i:.1f} {y + 2.5:.1f}v3.5" for i in range(min(tries - 1, 5)))
        ticks = f'<path class="again" d="{ticks}"/>'
    named = ""
    if numbers is not None:
        number = f' data-n="{numbers[note.node]}"' if note.node in numbers else ""
        named = f'{number} data-col="{note.column}"'
    dashed = " waits" if note.status == "interrupted" else ""
    again = " repeated" if any(e.again for e in note.executions) else ""
    return (
        f'<g class="note {note.status}{dashed}{again}"{named}><title>{escape(said(note))}</title>'
        f'<g><path class="card" d="{shapes.rounded(x, y + 2, max(1.0, wide), ROW - 4, 4)}"/>{ticks}{text}</g></g>'
    )


def said(note: Note) -> str:
    """A note in words, for hover and for readers."""
    first = note.executions[0]
    words = [plain(shown(note.node)), f"superstep {first.superstep}", WORDS[note.status]]
    many = len(note.executions)
    times = [e.seconds for e in note.executions if e.seconds is not None]
    words.append(f"{many} in parallel" if many > 1 else "")
    tries = max(e.attempts for e in note.executions)
    words.append(f"{tries} tries" if tries > 1 else "")
    words.append(duration(max(times)) if times else "")
    words.append("executed again" if any(e.again for e in note.executions) else "")
    words += [plain(e.error) for e in note.executions if e.error][:1]
    return " · ".join(w for w in words if w)
