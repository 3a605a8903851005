"""What is too large to be read folds by itself, and what cannot fold is drawn all the same, soon."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from dalsegno import viz
from dalsegno.errors import RenderError
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.extract import diagram
from dalsegno.viz.folding import fold, fold_chains, folded
from dalsegno.viz.laying import lay
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.page import page


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
