"""The run laid over the graph: what was done, what was not, and where it goes on."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from dalsegno import viz
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz import palette
from dalsegno.viz.cards import card
from dalsegno.viz.diagram import Diagram, DiagramNode
from dalsegno.viz.extract import diagram
from dalsegno.viz.layout import place
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.placed import to_placed_dot

SVG = "{http://www.w3.org/2000/svg}"


def _node(picture: Diagram, name: str) -> DiagramNode:
    (found,) = [n for n in picture.nodes if n.id == name]
    return found


def _labels(picture: Diagram) -> dict[tuple[str, str], str]:
    return {(e.source, e.target): e.label for e in picture.edges}


def test_the_graph_under_a_run_is_the_same_graph(article: WorkflowSpec, interrupted: RunView) -> None:
    plain, painted = diagram(article), diagram(article, run=interrupted)
    assert [n.id for n in plain.nodes] == [n.id for n in painted.nodes]
    assert [(e.source, e.target, e.kind) for e in plain.edges] == [
        (e.source, e.target, e.kind) for e in painted.edges
    ]


def test_nodes_show_times_executed_tries_and_duration(article: WorkflowSpec, interrupted: RunView) -> None:
    picture = diagram(article, run=interrupted)
    assert _node(picture, "plan").lines == ("✓ 20 ms",)
    assert _node(picture, "write").lines == ("✓ ×4 · 2 tries · 4.2 s",)
    assert _node(picture, "write").status == "done"


def test_a_loop_is_counted_against_its_bound(article: WorkflowSpec, interrupted: RunView) -> None:
    labels = _labels(diagram(article, run=interrupted))
    assert labels["review", "write"] == "again 3/3"
    assert labels["write", "review"] == "×4"
    assert labels["review", "escalate"] == "spent"


def test_what_was_not_taken_fades(article: WorkflowSpec, failed: RunView) -> None:
    picture = diagram(article, run=failed)
    faded = {n.id for n in picture.nodes if "untaken" in n.classes}
    assert faded == {"escalate", END}
    taken = {(e.source, e.target) for e in picture.edges if "taken" in e.classes}
    assert taken == {(START, "plan"), ("plan", "write"), ("write", "review"), ("review", "write")}


def test_a_failed_node_shows_its_error_and_the_mark(article: WorkflowSpec, failed: RunView) -> None:
    review = _node(diagram(article, run=failed), "review")
    assert review.status == "failed"
    assert review.lines == ("✕ failed · ×2 · 3 tries · 1 min 01 s", "TimeoutError: <no answer> in 30 s")
    assert review.mark == "resumes here"
    assert "resumes" in review.classes


def test_the_caption_says_proved_against_used(article: WorkflowSpec, interrupted: RunView) -> None:
    assert diagram(article, run=interrupted).caption == (
        "run 3f2a9c1e · thread t1 · ‖ interrupted",
        "proved 10 · used 9 supersteps",
        "resumed from superstep 4 · resumes at escalate",
    )


def test_a_completed_run_has_no_mark(article: WorkflowSpec, interrupted: RunView) -> None:
    done = replace(interrupted, status="completed", pending=(), nodes={"plan": NodeRun(1)})
    picture = diagram(article, run=done)
    assert not [n for n in picture.nodes if n.mark]
    assert _node(picture, "plan").lines == ("✓ done",)


def test_a_running_run_shows_what_runs_and_what_is_next(article: WorkflowSpec) -> None:
    run = RunView("r", "t", "article", "running", nodes={"plan": NodeRun(1, "running")}, pending=("write",))
    picture = diagram(article, run=run)
    assert _node(picture, "plan").lines == ("▶ running",)
    assert (_node(picture, "write").status, _node(picture, "write").mark) == ("pending", None)


def test_a_node_that_was_running_when_the_process_died_is_pending(article: WorkflowSpec) -> None:
    run = RunView("r", "t", "article", "stopped", nodes={"plan": NodeRun(0, "running")}, pending=("plan",))
    plan = _node(diagram(article, run=run), "plan")
    assert (plan.status, plan.lines, plan.mark) == ("pending", ("○ pending",), "resumes here")


def test_a_run_reaches_into_subworkflows(magazine: WorkflowSpec) -> None:
    run = RunView(
        "r", "t", "magazine", "failed",
        nodes={
            "topics": NodeRun(1), "article": NodeRun(2, "failed"),
            "article/plan": NodeRun(2), "article/write": NodeRun(2, "failed", error="no"),
        },
        edges={(START, "topics", None): 1, ("topics", "article", "write"): 2,
               ("article/__start__", "article/plan", None): 2, ("article/plan", "article/write", None): 2},
        pending=("article/write",),
    )  # fmt: skip
    picture = diagram(magazine, run=run)
    assert picture.clusters[0].status == "failed"
    assert _node(picture, "article/write").lines == ("✕ failed · ×2", "no")
    assert _node(picture, "article/write").mark == "resumes here"
    assert "untaken" in _node(picture, "article/review").classes
    assert "taken" in _node(picture, "article/__start__").classes
    assert _labels(picture)["article/plan", "article/write"] == "×2"
    assert _labels(picture)["topics", "article"] == "write each ≤ 12 ×2"


def test_a_loop_is_credited_up_to_its_bound_and_the_rest_goes_to_the_way_out() -> None:
    """`Loop("a", max=2, on_exhausted="a")`: the way out leads where the loop does, under the same answer."""
    nodes = {"a": NodeSpec("a"), "b": NodeSpec("b")}
    edges = (
        EdgeSpec("b", "a", "choice", router="r", label="again", loop=2),
        EdgeSpec("b", "a", "choice", router="r", label="again", exhausted_of="first"),
    )
    run = RunView("r", "t", "w", "running", edges={("b", "a", "again"): 3})
    labels = [e.label for e in diagram(WorkflowSpec("w", nodes=nodes, edges=edges), run=run).edges]
    assert labels == ["again 2/2", "spent"]


def test_what_was_sent_is_told_from_what_went_to_the_same_node() -> None:
    """Sends are written down without an answer."""
    edges = (
        EdgeSpec("a", "b", "choice", router="r", label="all", fans_out=True, each=3),
        EdgeSpec("a", "b", "choice", router="r", label="one"),
    )
    spec = WorkflowSpec("w", nodes={"a": NodeSpec("a"), "b": NodeSpec("b")}, edges=edges)
    for taken, classes in ((None, ["taken", "untaken"]), ("one", ["untaken", "taken"])):
        run = RunView("r", "t", "w", "running", edges={("a", "b", taken): 1})
        assert [e.classes[-1] for e in diagram(spec, run=run).edges] == classes


@pytest.mark.parametrize("start", ["static", "choice"])
def test_the_bound_of_a_loop_counts_for_each_time_its_subworkflow_was_entered(start: Any) -> None:
    """Three times two ways back keep a bound of five, and are no `6/5`."""
    answer = None if start == "static" else "go"
    child = WorkflowSpec(
        "child",
        nodes={"step": NodeSpec("step")},
        edges=(
            EdgeSpec(START, "step", start, label=answer),
            EdgeSpec("step", "step", "choice", router="r", label="more", loop=5),
            EdgeSpec("step", END, "choice", router="r", label="enough"),
        ),
    )
    spec = WorkflowSpec(
        "w",
        nodes={"each": NodeSpec("each", kind="subworkflow", child=child)},
        edges=(EdgeSpec(START, "each"), EdgeSpec("each", END)),
    )
    loop = ("each/step", "each/step", "more")
    entry = (f"each/{START}", "each/step", answer)
    labels = []
    for entered in (1, 3):
        run = RunView("r", "t", "w", "running", edges={entry: entered, loop: 2 * entered})
        labels.append(_labels(diagram(spec, run=run))["each/step", "each/step"])
    assert labels == ["more 2/5", "more 6/15"]
    (said,) = [e.details for e in diagram(spec).edges if e.kind == "choice" and e.bound]
    assert "at most 5 times each time its subworkflow is entered" in said


@pytest.mark.parametrize("status", ["running", "completed", "failed", "interrupted", "stopped", "cancelled"])
def test_every_status_of_a_run_has_a_sign_and_a_word(article: WorkflowSpec, status: str) -> None:
    picture = diagram(article, run=RunView("r", "t", "article", status))
    sign, word = picture.caption[0].split(" · ")[-1].split(" ")
    assert sign in "✓✕▶‖○"
    assert word == status


def test_a_run_of_a_graph_that_has_changed_is_drawn_on_this_one(article: WorkflowSpec) -> None:
    run = RunView(
        "r", "t", "article", "completed", nodes={"gone": NodeRun(1)}, edges={("gone", "x", None): 1}
    )
    assert [n.id for n in diagram(article, run=run).nodes] == [n.id for n in diagram(article).nodes]


def _places(svg: str) -> list[tuple[str, str]]:
    """Every outline and line of the graph, in order, without those that a run adds."""
    root = ET.fromstring(svg)
    graph = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "graph")
    groups = [g for g in graph if "callout" not in g.get("class", "") and "mark" not in g.get("class", "")]
    paths = [(g.findtext(f"{SVG}title") or "", p.get("d", "")) for g in groups for p in g.iter(f"{SVG}path")]
    return [(graph.get("transform", ""), ""), *paths]


@pytest.mark.parametrize("name", ["interrupted", "failed"])
def test_a_run_moves_nothing(article: WorkflowSpec, name: str, request: pytest.FixtureRequest) -> None:
    run: RunView = request.getfixturevalue(name)
    assert _places(viz.svg(article, run=run)) == _places(viz.svg(article))


def test_a_run_moves_nothing_in_a_png_either(article: WorkflowSpec, failed: RunView) -> None:
    plain, painted = diagram(article), diagram(article, run=failed)
    positions = [
        re.findall(r'^(n\d+(?:->n\d+)?) \[.*?(pos="[^"]+")', to_placed_dot(d, place(d)), re.MULTILINE)
        for d in (plain, painted)
    ]
    assert positions[0] == positions[1]
    assert len(positions[0]) == len(plain.nodes) + len(plain.edges)


def _broken(inner: NodeRun) -> tuple[WorkflowSpec, RunView]:
    """A run that failed in a subworkflow right before END."""
    ways = (EdgeSpec(START, "step"), EdgeSpec("step", END))
    child = WorkflowSpec("child", nodes={"step": NodeSpec("step")}, edges=ways)
    nodes = {"pre": NodeSpec("pre"), "sub": NodeSpec("sub", kind="subworkflow", child=child)}
    edges = (EdgeSpec(START, "pre"), EdgeSpec("pre", "sub"), EdgeSpec("sub", END))
    error = "ValueError: there is no answer, and there was none before either"
    ran = {"pre": NodeRun(1), "sub": NodeRun(1, "failed", error=error), "sub/step": inner}
    run = RunView("r", "t", "outer", "failed", nodes=ran, edges={}, pending=("sub",), error=error)
    return WorkflowSpec("outer", nodes=nodes, edges=edges), run


def test_an_error_that_a_node_shows_is_not_repeated_by_its_frame() -> None:
    said = "ValueError: there is no answer, and there was none before either"
    spec, run = _broken(NodeRun(1, "failed", error=said))
    root = ET.fromstring(viz.svg(spec, run=run))
    assert len([g for g in root.iter(f"{SVG}g") if g.get("class") == "callout"]) == 1
    (frame,) = diagram(spec, run=run).clusters
    assert said in frame.details


def test_the_error_of_a_frame_stands_in_it_and_hides_nothing() -> None:
    spec, run = _broken(NodeRun(1, "done"))
    picture = diagram(spec, run=run)
    layout = place(picture)
    (frame,) = layout.frames.values()
    (slip,) = [
        g for g in ET.fromstring(viz.svg(spec, run=run)).iter(f"{SVG}g") if g.get("class") == "callout"
    ]
    path = next(slip.iter(f"{SVG}path")).get("d", "")
    top, low = float(path.split("h")[0].split()[1]), float(next(slip.iter(f"{SVG}text")).get("y", "0"))
    assert layout.boxes[f"sub/{END}"].bottom < top < low < frame.bottom
    drawn = to_placed_dot(picture, layout, run)
    (_, y), *_ = re.findall(r'"error\d\w*" .*pos="([-0-9.]+),([-0-9.]+)"', drawn)
    assert frame.y < layout.height - float(y) < frame.bottom


def test_the_mark_of_a_png_is_at_the_corner_as_in_the_svg_and_covers_no_arrow() -> None:
    spec, run = _broken(NodeRun(1, "done"))
    picture = diagram(spec, run=run)
    layout = place(picture)
    (frame,) = layout.frames.values()
    (mark,) = re.findall(r'"mark\d+" .*', to_placed_dot(picture, layout, run))
    ((wide, x, y),) = re.findall(r'width=([0-9.]+),pos="([-0-9.]+),([-0-9.]+)"', mark)
    assert (float(x), layout.height - float(y)) == pytest.approx((frame.x + 2, frame.y), abs=0.1)
    assert float(x) + 72 * float(wide) / 2 < frame.middle[0] - 20
    (sign,) = [g for g in ET.fromstring(viz.svg(spec, run=run)).iter(f"{SVG}g") if g.get("class") == "mark"]
    left, middle = re.findall(r"M([-0-9.]+) ([-0-9.]+)", next(sign.iter(f"{SVG}path")).get("d", ""))[0]
    assert (float(left) + 9, float(middle)) == pytest.approx((frame.x + 2, frame.y), abs=0.1)


@pytest.mark.parametrize("status", ["failed", "interrupted", "done"])
def test_the_words_of_a_frame_begin_in_it_in_a_png_as_in_the_svg(status: Any) -> None:
    spec, run = _broken(NodeRun(1, "done"))
    run = replace(run, nodes={**run.nodes, "sub": replace(run.nodes["sub"], status=status, seconds=0.093)})
    picture = diagram(spec, run=run)
    layout = place(picture)
    (frame,) = layout.frames.values()
    drawn = to_placed_dot(picture, layout, run)
    (wide, middle), *_ = re.findall(r'CELLPADDING="0" WIDTH="(\d+)">.*lp="([-0-9.]+),', drawn)
    assert float(middle) - float(wide) / 2 == pytest.approx(frame.x + 14, abs=1)


def test_the_error_of_a_png_has_a_ground_of_its_own() -> None:
    spec, run = _broken(NodeRun(1, "done"))
    drawn = to_placed_dot(diagram(spec, run=run), place(diagram(spec, run=run)), run)
    (slip,) = re.findall(r'"error\d+" .*', drawn)
    assert f'fillcolor="{palette.STATUSES["failed"].fill}"' in slip


def test_the_mark_and_the_error_stand_at_the_node(article: WorkflowSpec, failed: RunView) -> None:
    root = ET.fromstring(viz.svg(article, run=failed))
    (mark,) = [g for g in root.iter(f"{SVG}g") if g.get("class") == "mark"]
    assert mark.findtext(f"{SVG}title") == "resumes here"
    (slip,) = [g for g in root.iter(f"{SVG}g") if g.get("class") == "callout"]
    assert [t.text for t in slip.iter(f"{SVG}text")] == ["TimeoutError: <no answer> in 30 s"]


@pytest.mark.parametrize("name", ["a", "ask", "a_name_with_much_room_beneath_it"])
def test_that_a_node_waits_is_said_whole_in_whatever_room_there_is(name: str) -> None:
    edges = (EdgeSpec(START, name), EdgeSpec(name, END))
    graph = WorkflowSpec("w", nodes={name: NodeSpec(name)}, edges=edges)
    run = RunView("r", "t", "w", "interrupted", nodes={name: NodeRun(1, "interrupted", seconds=1.0)})
    box = _node(diagram(graph, run=run), name)
    (line,) = card(box).quiet
    assert line.startswith("‖ waits")
    assert "…" not in line
    assert "waits for a human" in box.details
