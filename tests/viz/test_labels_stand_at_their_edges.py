"""The label of an edge is where the edge is: of loops to themselves, and of loops to a frame."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec, counter_name
from dalsegno.viz.cards import QUIET, card, label_width
from dalsegno.viz.extract import diagram
from dalsegno.viz.geometry import Line, bezier, curves, halfway
from dalsegno.viz.layout import place
from dalsegno.viz.metrics import width
from dalsegno.viz.routing import HEAD, is_across, is_free, label_room, trail


def _loop(source: str, target: str, label: str, most: int, spent: str) -> list[EdgeSpec]:
    counter = counter_name(source, "route", label, target)
    return [
        EdgeSpec(source, target, "choice", router="route", label=label, loop=most),
        EdgeSpec(source, spent, "choice", router="route", label=label, exhausted_of=counter),
    ]


def _nested(depth: int) -> WorkflowSpec:
    """Each workflow goes back to the whole of its inner one."""
    inner = NodeSpec("inner", kind="subworkflow", child=_nested(depth - 1)) if depth else NodeSpec("inner")
    nodes = [inner, NodeSpec("after")]
    edges = (
        EdgeSpec(START, "inner"),
        EdgeSpec("inner", "after"),
        *_loop("after", "inner", "once more", 2, END),
        EdgeSpec("after", END, "choice", router="route", label="good"),
    )
    return WorkflowSpec(f"level {depth}", nodes={n.name: n for n in nodes}, edges=edges)


def _polling() -> WorkflowSpec:
    edges = (
        EdgeSpec(START, "poll"),
        *_loop("poll", "poll", "not yet", 9, END),
        *_loop("poll", "poll", "an error", 2, END),
        EdgeSpec("poll", END, "choice", router="route", label="ready"),
    )
    return WorkflowSpec("polling", nodes={"poll": NodeSpec("poll")}, edges=edges)


def _checked() -> WorkflowSpec:
    """A loop in a frame, close to the frame's border, where its label is wider than the room beside it."""
    edges = (
        EdgeSpec(START, "rate"),
        *_loop("rate", "fix", "bad", 2, END),
        EdgeSpec("fix", "rate"),
        EdgeSpec("rate", END, "choice", router="route", label="ok"),
    )
    inner = WorkflowSpec("check", nodes={name: NodeSpec(name) for name in ("rate", "fix")}, edges=edges)
    outer = (EdgeSpec(START, "write"), EdgeSpec("write", "check"), EdgeSpec("check", END))
    nodes = {"write": NodeSpec("write"), "check": NodeSpec("check", kind="subworkflow", child=inner)}
    return WorkflowSpec("article", nodes=nodes, edges=outer)


def _far(line: Line, wide: float) -> float:
    """How far a label's room is from its line."""
    assert line.label is not None
    room = label_room(line.label, wide)
    trail = [bezier(curve, t / 16) for curve in curves(line.points) for t in range(17)]
    return min(
        max(room.x - x, x - room.x - room.width, 0.0) + max(room.y - y, y - room.bottom, 0.0)
        for x, y in trail
    )


def test_a_loop_to_a_frame_has_its_label_beside_it() -> None:
    picture = diagram(_nested(3))
    layout = place(picture)
    for edge, line in zip(picture.edges, layout.lines, strict=True):
        if edge.base:
            assert line is not None
            assert _far(line, label_width(edge)) < 20, edge
            assert line.label is not None
            assert line.label[0] + label_width(edge) / 2 <= layout.width + 0.01


def test_no_label_stands_across_a_frame_a_box_or_its_own_line() -> None:
    picture = diagram(_checked())
    layout = place(picture)
    (frame,) = layout.frames.values()
    labels = 0
    for edge, line in zip(picture.edges, layout.lines, strict=True):
        if edge.base:
            assert line is not None
            assert line.label is not None
            room = label_room(line.label, label_width(edge))
            assert not is_across(room, frame), edge
            assert is_free(room, layout.boxes.values(), (), [trail(line)]), edge
            assert _far(line, label_width(edge)) < 20, edge
            labels += 1
    assert labels == 3


def test_loops_of_a_box_to_itself_go_around_each_others_labels() -> None:
    picture = diagram(_polling())
    layout = place(picture)
    loops = [
        (edge, line)
        for edge, line in zip(picture.edges, layout.lines, strict=True)
        if edge.source == edge.target and line is not None
    ]
    assert len(loops) == 2
    for edge, line in loops:
        assert _far(line, label_width(edge)) < 20
        for other, beside in loops:
            if other is not edge:
                assert beside.label is not None
                room = label_room(beside.label, label_width(other) - 8)
                trail = [bezier(curve, t / 32) for curve in curves(line.points) for t in range(33)]
                inside = [
                    (x, y)
                    for x, y in trail
                    if room.x < x < room.x + room.width and room.y + 4 < y < room.bottom - 4
                ]
                assert not inside


def test_a_count_without_room_stands_beside_its_line() -> None:
    down = Line(((0.0, 0.0), (0.0, 10.0), (0.0, 20.0), (0.0, 30.0)))
    across = Line(((0.0, 0.0), (20.0, 0.0), (40.0, 0.0), (60.0, 0.0)))
    assert halfway(down) == (13.0, 15.0)
    assert halfway(across) == (30.0, -9.0)


def test_every_status_fits_its_box() -> None:
    node = replace(diagram(_polling()).nodes[1], lines=("↷ failed, caught · ×3 · 0 ms",))
    shown = card(node)
    assert shown.quiet == ("↷ failed, caught",)
    assert width(shown.quiet[0], QUIET, bold=True) <= shown.width - 10


def _pipeline(steps: int) -> WorkflowSpec:
    """One step after the other, and from the last one back to the first."""
    names = [f"step {i}" for i in range(steps)]
    edges = (
        EdgeSpec(START, names[0]),
        *(EdgeSpec(one, next_) for one, next_ in pairwise(names)),
        *_loop(names[-1], names[0], "again", 2, END),
        EdgeSpec(names[-1], END, "choice", router="route", label="good"),
    )
    return WorkflowSpec("pipeline", nodes={name: NodeSpec(name) for name in names}, edges=edges)


@pytest.mark.parametrize("steps", [4, 15, 40])
def test_a_long_way_back_does_not_swing_far_out(steps: int) -> None:
    picture = diagram(_pipeline(steps))
    layout = place(picture)
    right = max(box.x + box.width for box in layout.boxes.values())
    (loop,) = [line for edge, line in zip(picture.edges, layout.lines, strict=True) if "back" in edge.classes]
    assert loop is not None
    assert max(x for curve in curves(loop.points) for x, _ in curve) < right + 200
    assert layout.width < right + 250


def test_a_way_back_over_a_frame_has_no_waves() -> None:
    inner = NodeSpec("inner", kind="subworkflow", child=_nested(2))
    edges = (
        EdgeSpec(START, "first"),
        EdgeSpec("first", "inner"),
        EdgeSpec("inner", "check"),
        *_loop("check", "first", "again", 2, END),
        EdgeSpec("check", END, "choice", router="route", label="good"),
    )
    nodes = {"first": NodeSpec("first"), "inner": inner, "check": NodeSpec("check")}
    picture = diagram(WorkflowSpec("over", nodes=nodes, edges=edges))
    layout = place(picture)
    (loop,) = [
        line
        for edge, line in zip(picture.edges, layout.lines, strict=True)
        if (edge.source, edge.target) == ("check", "first")
    ]
    assert loop is not None
    xs = [bezier(curve, t / 8)[0] for curve in curves(loop.points) for t in range(9)]
    farthest = xs.index(max(xs))
    assert all(a <= b + 2 for a, b in pairwise(xs[: farthest + 1]))
    assert all(a + 2 >= b for a, b in pairwise(xs[farthest:]))


def test_an_arrow_to_a_frame_and_one_from_it_have_room_for_a_line() -> None:
    inner = WorkflowSpec(
        "inner", nodes={"a": NodeSpec("a")}, edges=(EdgeSpec(START, "a"), EdgeSpec("a", END))
    )
    nodes = {"first": NodeSpec("first"), "inner": NodeSpec("inner", kind="subworkflow", child=inner)}
    edges = (EdgeSpec(START, "first"), EdgeSpec("first", "inner"), EdgeSpec("inner", END))
    layout = place(diagram(WorkflowSpec("outer", nodes=nodes, edges=edges)))
    frame = layout.frames["inner"]
    assert frame.y - layout.boxes["first"].bottom > 2 * HEAD
    assert layout.boxes[END].y - frame.bottom > 2 * HEAD
