"""A run column by column: what changes on the picture with each, and what the state is after it.

The frames are differences: a page applies those up to where its slider stands. The last one ends in the
picture of the run as it is drawn everywhere else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dalsegno.graphs.model import START
from dalsegno.nodes.paths import name_of, prefix_of
from dalsegno.viz.captions import progress_line
from dalsegno.viz.cards import card, progress
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramNode, EdgeKey
from dalsegno.viz.laying import counted, entered_again, lay, taken_times
from dalsegno.viz.overlay import Execution, NodeRun, RunView, StateAt
from dalsegno.viz.timeline import Note, Score, score

Look = tuple[str, str]
"""Status (empty: not reached) and the line of a box."""


@dataclass(slots=True)
class _Counts:
    """What a run has done so far."""

    times: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    edges: Counter[EdgeKey] = field(default_factory=Counter)


def frames(diagram: Diagram, run: RunView) -> list[dict[str, Any]]:
    """What each column changes: ``{"n": {box: [status, line]}, "e": {edge: [taken, label]}, "now": [...]}``.

    Boxes are named as in the picture (``n3``, ``c0``); `diagram` is the one without the run.
    """
    return _Replay(diagram, run).frames()


class _Replay:
    def __init__(self, diagram: Diagram, run: RunView) -> None:
        self.diagram, self.run = diagram, run
        self.boxes: dict[str, tuple[str, DiagramNode | Cluster]] = {}
        for i, node in enumerate(diagram.nodes):
            self.boxes[node.id] = (f"n{i}", node)
            self.boxes |= dict.fromkeys(node.members, (f"n{i}", node))
        for i, cluster in enumerate(diagram.clusters):
            self.boxes[cluster.id] = (f"c{i}", cluster)
        self.starts = {e.key for e in diagram.edges if e.key and e.kind == "static" and _is_start(e.key[0])}
        self.joins: dict[str, list[EdgeKey]] = defaultdict(list)
        for edge in diagram.edges:
            if edge.via and edge.key:
                self.joins[edge.key[0]].append(edge.key)
        self.handled: dict[str, set[str]] = defaultdict(set)
        for edge in diagram.edges:
            if edge.kind == "handler" and edge.key:
                self.handled[edge.key[0]].add(edge.key[1])
        self.done = _Counts()
        self.looks: dict[str, Look] = {}
        self.labels = [(False, counted(e, 0)) for e in diagram.edges]

    def frames(self) -> list[dict[str, Any]]:
        placed = score(self.run.executions)
        begins, ends = _by_column(placed)
        found = []
        for column in range(len(placed.columns)):
            looks: dict[str, Look] = {}
            for note in begins[column]:
                if note.span > 1:
                    self._look(note.node, NodeRun(self.done.times[note.node] + 1, "running"), looks)
            for note in ends[column]:
                self._execute(note, looks)
            now = [self.boxes[n.node][0] for n in begins[column] if n.node in self.boxes]
            found.append({"n": looks, "e": self._edges(), "now": list(dict.fromkeys(now))})
            self.looks |= looks
        if found:
            self._settle(found[-1])
        return found

    def _execute(self, note: Note, looks: dict[str, Look]) -> None:
        times, edges = self.done.times, self.done.edges
        for execution in note.executions:
            times[note.node] += 1
            self.done.seconds[note.node] += execution.seconds or 0.0
            self._begin(execution)
            self.done.caught[note.node] += execution.status == "caught"
            if execution.status in ("done", "caught"):
                edges.update((note.node, target, answer) for target, answer in execution.targets)
                if not self._went_on_elsewhere(execution):
                    edges.update(self.joins.get(note.node, ()))
        last = note.executions[-1]
        seen = NodeRun(
            times[note.node],
            note.status,
            self.done.seconds[note.node],
            last.attempts,
            caught=self.done.caught[note.node],
        )
        self._look(note.node, seen, looks)

    def _went_on_elsewhere(self, execution: Execution) -> bool:
        """Whether a handler went on from its failure, so that it reached no join."""
        handled = self.handled.get(execution.node, ())
        caught = execution.status == "caught" and bool(execution.targets)
        return caught and all(target in handled for target, _ in execution.targets)

    def _begin(self, execution: Execution) -> None:
        """The edge from START, which nobody decides on."""
        if execution.superstep != 1:
            return
        key = (prefix_of(execution.node) + START, execution.node, None)
        if key in self.starts:
            self.done.edges[key] += 1

    def _look(self, node: str, seen: NodeRun, looks: dict[str, Look]) -> None:
        if node in self.boxes:
            number, box = self.boxes[node]
            looks[number] = (seen.status, _fitted(box, progress_line(seen, seen.status)))

    def _edges(self) -> dict[str, tuple[int, str]]:
        edges = entered_again(self.diagram.edges, self.done.edges)
        counts = taken_times(edges, self.done.edges)
        changed = {}
        for i, (edge, count) in enumerate(zip(edges, counts, strict=True)):
            label = (count > 0, counted(edge, count) if edge.kind != "compensation" else edge.label)
            if label != self.labels[i]:
                self.labels[i] = label
                changed[f"e{i}"] = (int(label[0]), label[1])
        return changed

    def _settle(self, frame: dict[str, Any]) -> None:
        """Makes the last frame the picture of the whole run."""
        laid = lay(self.diagram, self.run)
        for i, node in enumerate(laid.nodes):
            self._settle_box(frame, f"n{i}", node)
        for i, cluster in enumerate(laid.clusters):
            self._settle_box(frame, f"c{i}", cluster)
        for i, edge in enumerate(laid.edges):
            label = ("taken" in edge.classes, edge.label)
            if label != self.labels[i] and edge.kind != "compensation":
                frame["e"][f"e{i}"] = (int(label[0]), label[1])

    def _settle_box(self, frame: dict[str, Any], number: str, box: DiagramNode | Cluster) -> None:
        look: Look = (box.status or "", _fitted(box, box.lines[0]) if box.lines else "")
        if look != self.looks.get(number, ("", "")) and not (isinstance(box, DiagramNode) and _is_mark(box)):
            frame["n"][number] = look


def _is_mark(node: DiagramNode) -> bool:
    return node.kind in MARKS


def _is_start(path: str) -> bool:
    return name_of(path) == START


def _by_column(placed: Score) -> tuple[dict[int, list[Note]], dict[int, list[Note]]]:
    begins: dict[int, list[Note]] = defaultdict(list)
    ends: dict[int, list[Note]] = defaultdict(list)
    for note in placed.notes:
        begins[note.column].append(note)
        ends[note.column + note.span - 1].append(note)
    return begins, ends


def _fitted(box: DiagramNode | Cluster, line: str) -> str:
    """The line as it stands in the box."""
    shown = replace(box, lines=(line,))
    lines = card(shown).quiet if isinstance(shown, DiagramNode) else progress(shown, 216)
    return next(iter(lines), "")  # of a node that has just begun there is nothing to say


def states(run: RunView) -> list[dict[str, Any]]:
    """The states as differences to the one before: ``{"s": superstep, "v": {key: [head, tail, lines]}, "gone": []}``.

    `head` and `tail` are how many lines at the beginning and the end stay, `lines` what stands between.
    """
    before: Mapping[str, Sequence[str]] = {}
    found = []
    for state in run.states:
        found.append(_difference(before, state))
        before = state.values
    return found


def _difference(before: Mapping[str, Sequence[str]], state: StateAt) -> dict[str, Any]:
    changed = {}
    for key, lines in state.values.items():
        old = before.get(key)
        if old is None:
            changed[key] = (0, 0, list(lines))
        elif old is not lines and list(old) != list(lines):
            changed[key] = _between(old, lines)
    return {
        "s": state.superstep,
        "c": state.checkpoint,
        "v": changed,
        "gone": [k for k in before if k not in state.values],
    }


def _between(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, list[str]]:
    most = min(len(old), len(new))
    head = 0
    while head < most and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < most - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return head, tail, list(new[head : len(new) - tail])
