"""Two graphs, or two runs, in one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dalsegno import viz
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.differences import graphs_apart, runs_apart
from dalsegno.viz.extract import diagram
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.remembered import spec_of_shape


def _changes(picture: viz.Diagram) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"added": set(), "removed": set(), "changed": set()}
    for part in (*picture.nodes, *picture.clusters):
        for change in found:
            if f"change-{change}" in part.classes:
                found[change].add(part.id)
    for edge in picture.edges:
        for change in found:
            if f"change-{change}" in edge.classes:
                found[change].add(f"{edge.source}->{edge.target}")
    return found


def test_the_same_graph_twice_has_no_difference(spec: WorkflowSpec) -> None:
    picture = graphs_apart(diagram(spec), diagram(spec))
    assert picture.caption == ("nothing differs",)
    assert {n.id for n in picture.nodes if n.kind != "join"} == {
        n.id for n in diagram(spec).nodes if n.kind != "join"
    }
    assert len(picture.edges) == len(diagram(spec).edges)


def test_what_is_new_gone_and_changed_is_told_apart(article: WorkflowSpec) -> None:
    nodes = {**article.nodes, "print": NodeSpec("print"), "plan": NodeSpec("plan", calls=2)}
    del nodes["escalate"]
    edges = [e for e in article.edges if "escalate" not in (e.source, e.target)]
    edges = [replace(e, loop=5) if e.loop else e for e in edges]
    edges.append(EdgeSpec("plan", "print"))
    picture = graphs_apart(diagram(article), diagram(replace(article, nodes=nodes, edges=tuple(edges))))
    assert _changes(picture) == {
        "added": {"print", "plan->print"},
        "removed": {"escalate", "review->escalate", f"escalate->{END}"},
        "changed": {"plan", "review->write"},
    }
    assert picture.caption == ("+ 2 added · − 3 removed · ≠ 2 changed",)
    labels = [e.label for e in picture.edges if "change-changed" in e.classes]
    assert labels == ["≠ again ≤ 5"]


def test_a_difference_is_never_only_a_colour(article: WorkflowSpec) -> None:
    nodes = {**article.nodes, "print": NodeSpec("print")}
    picture = graphs_apart(diagram(article), diagram(replace(article, nodes=nodes)))
    (new,) = [n for n in picture.nodes if n.id == "print"]
    assert new.badges == ("+ added",)
    assert new.details.endswith("added")


def test_two_runs_differ_where_they_did_something_else(
    article: WorkflowSpec, interrupted: RunView, failed: RunView
) -> None:
    picture = runs_apart(diagram(article), failed, interrupted)
    changes = _changes(picture)
    assert {"write", "review"} <= changes["changed"]
    assert "plan" not in changes["changed"]
    assert "escalate" in changes["added"]
    (loop,) = [e for e in picture.edges if "loop" in e.classes]
    assert loop.label == "≠ again 1/3 → 3/3"
    assert picture.caption[0].startswith("run 77 (failed) → run 3f2a9c1e (interrupted) · 5 → 9 supersteps")


def test_only_what_is_marked_is_counted_and_what_is_to_be_known_of_the_runs_is_told(
    article: WorkflowSpec,
) -> None:
    edges = {(START, "plan", None): 1, ("review", END, "good"): 1}
    one = RunView("a", "t", "article", "completed", edges=edges, supersteps=1, note="It was given up.")
    two = RunView("b", "t", "article", "failed", edges={(START, "plan", None): 1}, supersteps=1)
    picture = runs_apart(diagram(article), one, two)
    told = "run a (completed) → run b (failed) · 1 → 1 supersteps · − 1 removed · It was given up."
    assert picture.caption == (told,)
    assert picture.description.endswith("− 1 removed. It was given up.")


def test_how_long_it_took_is_no_difference(article: WorkflowSpec) -> None:
    one = RunView("a", "t", "article", "completed", {"plan": NodeRun(1, "done", 0.1)})
    two = RunView("b", "t", "article", "completed", {"plan": NodeRun(1, "done", 9.0)})
    assert _changes(runs_apart(diagram(article), one, two)) == {
        "added": set(),
        "removed": set(),
        "changed": set(),
    }


def test_a_graph_is_drawn_from_what_the_ledger_remembers(spec: WorkflowSpec) -> None:
    again = spec_of_shape(spec.shape())
    assert again.shape() == spec.shape()
    before, after = diagram(spec), diagram(again)
    # What is not in a shape, as a compensation, is not drawn; labels, bounds and ways out are.
    kept = [e for e in before.edges if e.kind != "compensation"]
    assert sorted((e.source, e.kind, e.label, str(e.bound)) for e in after.edges) == sorted(
        (e.source, e.kind, e.label, str(e.bound)) for e in kept
    )


@pytest.mark.parametrize("suffix", [".svg", ".html", ".dot", ".mmd", ".txt"])
def test_a_folded_subworkflow_with_a_join_is_compared(suffix: str, tmp_path: Path) -> None:
    child = WorkflowSpec(
        "child",
        nodes={name: NodeSpec(name) for name in "abc"},
        edges=(
            EdgeSpec(START, "a"),
            EdgeSpec(START, "b"),
            EdgeSpec("a", "c", "join", sources=("a", "b")),
            EdgeSpec("c", END),
        ),
    )
    outer = WorkflowSpec(
        "outer",
        nodes={"sub": NodeSpec("sub", kind="subworkflow", child=child)},
        edges=(EdgeSpec(START, "sub"), EdgeSpec("sub", END)),
    )
    viz.draw(outer, tmp_path / f"picture{suffix}", against=outer, fold=True)
    (folded,) = [n for n in viz.picture(outer, against=outer, fold=True).nodes if n.kind == "subworkflow"]
    assert folded.badges[0] == "3 nodes"
    assert not [n for n in viz.picture(outer, against=outer, fold=True).nodes if n.kind == "join"]


def test_two_routers_with_the_same_answer_are_both_compared(article: WorkflowSpec) -> None:
    ways = [EdgeSpec("plan", "escalate", "choice", router=router, label="x") for router in ("r1", "r2")]
    one = replace(article, edges=(*article.edges, ways[0]))
    two = replace(article, edges=(*article.edges, *ways))
    assert len(graphs_apart(diagram(two), diagram(two)).edges) == len(diagram(two).edges)
    assert _changes(graphs_apart(diagram(one), diagram(two)))["added"] == {"plan->escalate"}
    assert _changes(graphs_apart(diagram(two), diagram(one)))["removed"] == {"plan->escalate"}


def test_what_a_node_goes_to_itself_is_not_remembered_as_what_follows_its_loop() -> None:
    edges = (
        EdgeSpec(START, "a"),
        EdgeSpec("a", "b", "command"),
        EdgeSpec("a", "a", "command", loop=3),
        EdgeSpec("a", "c", "command", exhausted_of="a|||a"),
        EdgeSpec("b", END),
        EdgeSpec("c", END),
    )
    spec = WorkflowSpec("w", nodes={name: NodeSpec(name) for name in "abc"}, edges=edges)
    drawn = {(e.source, e.target): e.label for e in diagram(spec_of_shape(spec.shape())).edges}
    assert drawn["a", "b"] == ""
    assert drawn["a", "a"] == "≤ 3"
    without = replace(spec, edges=tuple(e for e in edges if (e.source, e.target) != ("a", "b")))
    drawn = {(e.source, e.target): e.label for e in diagram(spec_of_shape(without.shape())).edges}
    assert drawn["a", "c"] == "spent"
