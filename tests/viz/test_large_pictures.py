"""What is too large to be read folds by itself, and what cannot fold is drawn all the same, soon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from dalsegno import viz
from dalsegno.errors import RenderError
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.cards import label_width
from dalsegno.viz.extract import diagram
from dalsegno.viz.folding import fold, fold_chains, folded
from dalsegno.viz.geometry import Box, bezier, curves
from dalsegno.viz.laying import lay
from dalsegno.viz.layout import place
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.page import page
from dalsegno.viz.routing import label_room


def _chain(name: str, count: int) -> WorkflowSpec:
    names = [f"step {i}" for i in range(count)]
    edges = [
        EdgeSpec(START, names[0]),
        *(EdgeSpec(a, b) for a, b in pairwise(names)),
        EdgeSpec(names[-1], END),
    ]
    return WorkflowSpec(name, nodes={n: NodeSpec(n) for n in names}, edges=tuple(edges))


def _stages(count: int, each: int) -> WorkflowSpec:
    names = [f"stage {i}" for i in range(count)]
    nodes = {n: NodeSpec(n, kind="subworkflow", child=_chain(n, each)) for n in names}
    edges = [
        EdgeSpec(START, names[0]),
        *(EdgeSpec(a, b) for a, b in pairwise(names)),
        EdgeSpec(names[-1], END),
    ]
    return WorkflowSpec("stages", nodes=nodes, edges=tuple(edges))


def _tree(count: int) -> WorkflowSpec:
    """Nothing in it folds: everything branches, and every leaf leads to END."""
    names = [f"node {i}" for i in range(count)]
    edges = [EdgeSpec(START, names[0])]
    edges += [EdgeSpec(names[(i - 1) // 2], name) for i, name in enumerate(names) if i]
    edges += [EdgeSpec(name, END) for name in names[count // 2 :]]
    edges += [
        EdgeSpec(names[i], names[i // 4], "choice", router="r", label="again", loop=2)
        for i in range(9, count, 9)
    ]
    return WorkflowSpec("tree", nodes={n: NodeSpec(n) for n in names}, edges=tuple(edges))


def _shown(picture: viz.Diagram) -> list[str]:
    return [n.id for n in picture.nodes if n.kind not in ("start", "end", "join", "unknown")]


def test_a_picture_of_150_nodes_is_left_as_it_is() -> None:
    picture = diagram(_stages(10, 15))
    assert folded(picture) == picture


def test_subworkflows_fold_until_the_picture_can_be_read() -> None:
    picture = folded(diagram(_stages(20, 15)))
    assert len(_shown(picture)) <= 150
    boxes = [n for n in picture.nodes if n.kind == "subworkflow"]
    assert boxes
    assert boxes[0].badges == ("15 nodes",)
    assert len(boxes[0].members) == 17  # START and END are in it too
    assert picture.clusters  # no more than has to be


def test_a_long_chain_folds_between_its_ends() -> None:
    picture = folded(diagram(_chain("long", 200)))
    assert _shown(picture) == ["step 0", "step 199", "chain:step 1"]
    assert [(e.source, e.target) for e in picture.edges] == [
        (START, "step 0"), ("step 0", "chain:step 1"), ("chain:step 1", "step 199"), ("step 199", END),
    ]  # fmt: skip
    (box,) = [n for n in picture.nodes if n.kind == "folded"]
    assert (box.label, box.badges) == ("step 1 … step 198", ("198 nodes in a row",))


def test_a_chain_ends_where_a_choice_begins() -> None:
    spec = _chain("w", 9)
    spec = WorkflowSpec(
        "w", nodes=spec.nodes, edges=(*spec.edges, EdgeSpec("step 4", END, "choice", label="x"))
    )
    assert _shown(fold_chains(diagram(spec), shortest=2)) == [
        "step 0", "step 4", "step 5", "step 8", "chain:step 1", "chain:step 6",
    ]  # fmt: skip


def test_a_folded_box_shows_what_a_run_did_in_it() -> None:
    picture = fold(diagram(_stages(2, 3)), ["stage 0"])
    nodes = {
        "stage 0": NodeRun(1, "failed", 3.0),
        "stage 0/step 0": NodeRun(1),
        "stage 0/step 1": NodeRun(1, "failed"),
    }
    laid = lay(picture, RunView("r", "t", "stages", "failed", nodes, pending=("stage 0/step 1",)))
    (box,) = [n for n in laid.nodes if n.id == "stage 0"]
    assert (box.status, box.mark) == ("failed", "resumes here")


def test_a_page_says_how_to_see_what_is_in_a_folded_box() -> None:
    spec = _stages(2, 3)
    assert page(fold(diagram(spec), ["stage 0"])).count("drawn with --fold none") == 1
    assert "drawn with --fold none" not in page(diagram(spec))


def test_a_chain_that_stopped_in_the_middle_shows_the_worst() -> None:
    picture = fold_chains(diagram(_chain("w", 8)))
    nodes = {
        "step 0": NodeRun(1),
        "step 1": NodeRun(1, seconds=1.0),
        "step 2": NodeRun(1, "failed", 2.0, error="no"),
    }
    laid = lay(picture, RunView("r", "t", "w", "failed", nodes, pending=("step 2",)))
    (box,) = [n for n in laid.nodes if n.kind == "folded"]
    assert (box.status, box.lines, box.mark) == ("failed", ("✕ failed · 3.0 s", "no"), "resumes here")


def test_one_subworkflow_is_folded_by_its_path_alone() -> None:
    spec = _stages(3, 2)
    assert viz.picture(spec, fold="stage 1") == viz.picture(spec, fold=["stage 1"])
    with pytest.raises(RenderError, match=r"`stage 9`: no subworkflow has this path"):
        viz.picture(spec, fold="stage 9")


def test_only_a_subworkflow_can_be_folded() -> None:
    with pytest.raises(
        RenderError, match="Cannot fold `stage`: no subworkflow has this path; did you mean `stage 0`"
    ):
        viz.picture_of(_stages(1, 2), fold=["stage"])


@pytest.mark.parametrize("count", [300, 3000])
def test_hundreds_and_thousands_of_nodes_are_drawn_once_each(count: int) -> None:
    began = time.perf_counter()
    svg = viz.svg(_tree(count))
    assert time.perf_counter() - began < count / 15  # far above what it takes: no minutes, no hours
    assert svg.count('<g class="node ') == count + 2
    assert svg.count('<g class="edge ') == len(_tree(count).edges)


def test_text_and_mermaid_take_any_size() -> None:
    spec = _tree(3000)
    assert viz.to_text(spec).count("▢ ") == 3000
    assert viz.to_mermaid(spec).count("-->") >= 3000


def _crowd(count: int) -> WorkflowSpec:
    """Choices, loops, a subworkflow, a join and edges between neighbours, all over."""
    names = [f"node {i}" for i in range(count)]
    nodes = [NodeSpec(n) for n in names[:-1]]
    nodes.append(NodeSpec(names[-1], kind="subworkflow", child=_chain("inner", 3)))
    edges = [EdgeSpec(START, names[0])]
    edges += [
        EdgeSpec(names[(i * 7 // 11)], names[i], "choice", router="r", label=f"to {i}")
        for i in range(1, count)
    ]
    edges += [
        EdgeSpec(names[i], names[i // 3], "choice", router="l", label="back", loop=2)
        for i in range(5, count, 9)
    ]
    edges += [EdgeSpec(name, END, "choice", router="e", label="done") for name in names[count // 2 :: 3]]
    edges.append(EdgeSpec(names[3], names[-1], "join", sources=(names[3], names[8])))
    edges.append(EdgeSpec(names[4], names[4], "choice", router="s", label="once more", loop=1))
    return WorkflowSpec("crowd", nodes={n.name: n for n in nodes}, edges=tuple(edges))


@pytest.mark.parametrize("count", [90, 140])
def test_no_edge_of_a_large_picture_passes_through_a_box(count: int) -> None:
    picture = diagram(_crowd(count))
    layout = place(picture)
    through = []
    for edge, line in zip(picture.edges, layout.lines, strict=True):
        assert line is not None
        ends = (edge.source, edge.target, edge.via)
        trail = [bezier(curve, t / 12) for curve in curves(line.points) for t in range(13)]
        for name, box in layout.boxes.items():
            if name in ends or any(name.startswith(f"{end}/") for end in ends):
                continue
            inside = [
                (x, y)
                for x, y in trail
                if box.x + 2 < x < box.x + box.width - 2 and box.y + 2 < y < box.bottom - 2
            ]
            if inside:
                through.append((edge.source, edge.target, name))
        assert all(0 <= x <= layout.width + 1 and -1 <= y <= layout.height + 1 for x, y in trail), edge
    assert not through


@pytest.mark.parametrize("count", [90, 410])
def test_a_subworkflow_of_a_large_picture_that_loops_to_itself_has_an_arc_at_its_side(count: int) -> None:
    spec = _chain("outer", count)
    inner = {"step 1": NodeSpec("step 1", kind="subworkflow", child=_chain("inner", 2))}
    loops = [
        EdgeSpec("step 1", "step 1", "choice", router="r", label=label, loop=3) for label in ("again", "anew")
    ]
    picture = diagram(WorkflowSpec("outer", nodes=dict(spec.nodes) | inner, edges=(*spec.edges, *loops)))
    layout = place(picture)
    frame, labels = layout.frames["step 1"], []
    for edge, line in zip(picture.edges, layout.lines, strict=True):
        if edge.source == edge.target:
            assert line is not None
            assert line.label is not None
            trail = [bezier(curve, t / 8) for curve in curves(line.points) for t in range(9)]
            assert all(x >= frame.x + frame.width - 0.1 and frame.y < y < frame.bottom for x, y in trail)
            assert max(x for x, _ in trail) - min(x for x, _ in trail) > 15
            assert max(y for _, y in trail) - min(y for _, y in trail) > 8
            labels.append(label_room(line.label, label_width(edge)))
    first, second = sorted(labels, key=lambda room: room.x)
    assert frame.x + frame.width < first.x
    assert first.x + first.width < second.x
    assert second.x + second.width <= layout.width + 0.1


def test_every_label_of_a_large_picture_has_a_place_of_its_own() -> None:
    picture = diagram(_crowd(90))
    layout = place(picture)
    rooms = [
        label_room(line.label, label_width(edge) - 8)
        for edge, line in zip(picture.edges, layout.lines, strict=True)
        if line is not None and line.label is not None
    ]
    assert len(rooms) == sum(bool(e.base) for e in picture.edges)
    solid = [*rooms, *layout.boxes.values()]

    def overlap(one: Box, other: Box) -> bool:
        across = one.x + 2 < other.x + other.width and other.x + 2 < one.x + one.width
        return across and one.y + 4 < other.bottom and other.y + 4 < one.bottom

    met = [(a, b) for i, a in enumerate(rooms) for b in solid[i + 1 :] if overlap(a, b)]
    assert not met


def test_a_large_picture_is_the_same_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/viz');"
        "from test_large_pictures import _crowd; from dalsegno import viz; from hashlib import sha256;"
        "print(sha256(viz.svg(_crowd(90)).encode()).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1


def test_on_a_page_what_folds_by_itself_can_be_unfolded() -> None:
    spec = _stages(20, 15)
    picture = viz.picture_of(spec, page=True)
    small = viz.picture_of(spec)
    assert len(_shown(picture)) == 300
    assert set(picture.shut) == {n.id for n in small.nodes if n.kind == "subworkflow"}
    told = page(picture)
    assert "drawn with --fold none" not in told
    numbers = {c.id: f"c{i}" for i, c in enumerate(picture.clusters)}
    assert json.dumps([numbers[name] for name in picture.shut], separators=(",", ":")) in told


def test_a_page_of_more_than_400_nodes_is_folded_for_good() -> None:
    picture = viz.picture_of(_stages(40, 15), page=True)
    assert not picture.shut
    assert len(_shown(picture)) <= 150
