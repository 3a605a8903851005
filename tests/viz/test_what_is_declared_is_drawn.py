"""The diagram tells the truth about the workflow: what is declared is there, once, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dalsegno.graphs.model import END, START, Each, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.nodes.paths import coded
from dalsegno.viz.diagram import Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.extract import diagram


def _edge(picture: Diagram, source: str, target: str, label: str | None = None) -> DiagramEdge:
    found = [e for e in picture.edges if (e.source, e.target) == (source, target)]
    found = found if label is None else [e for e in found if e.label == label]
    assert len(found) == 1, found
    return found[0]


def _node(picture: Diagram, name: str) -> DiagramNode:
    (found,) = [n for n in picture.nodes if n.id == name]
    return found


def _levels(spec: WorkflowSpec, prefix: str = "") -> dict[str, WorkflowSpec]:
    found = {prefix: spec}
    for node in spec.nodes.values():
        if node.child:
            found |= _levels(node.child, f"{prefix}{node.name}/")
    return found


def test_every_node_and_edge_is_drawn_once(spec: WorkflowSpec) -> None:
    picture = diagram(spec)
    levels = _levels(spec)
    boxes = [n.id for n in picture.nodes if n.kind not in ("join", "unknown")] + [
        c.id for c in picture.clusters
    ]
    declared = [p + coded(n) for p, level in levels.items() for n in (START, *level.nodes, END)]
    assert sorted(boxes) == sorted(declared)
    assert len(picture.edges) == sum(len(e.origins) for level in levels.values() for e in level.edges)


def test_a_loop_shows_its_bound_and_its_exhausted_edge(article: WorkflowSpec) -> None:
    picture = diagram(article)
    loop = _edge(picture, "review", "write")
    assert loop.label == "again ≤ 3"
    assert {"loop", "back"} <= set(loop.classes)
    spent = _edge(picture, "review", "escalate")
    assert spent.label == "spent"
    assert "spent" in spent.classes


def test_spent_edges_of_two_loops_say_which_loop(article: WorkflowSpec) -> None:
    second = (
        EdgeSpec("review", "plan", "choice", router="route", label="replan", loop=1),
        EdgeSpec("review", END, "choice", router="route", label="replan", exhausted_of="x"),
    )
    picture = diagram(replace(article, edges=article.edges + second))
    assert _edge(picture, "review", "escalate").label == "again spent"
    assert _edge(picture, "review", END, "replan spent")


def test_a_fan_out_shows_its_maximum(research: WorkflowSpec) -> None:
    edge = _edge(diagram(research), "split", "search")
    assert edge.label == "search each ≤ 200"
    assert "each" in edge.classes


def test_a_fan_out_without_a_maximum_says_so() -> None:
    edges = (EdgeSpec("a", "b", "choice", router="r", fans_out=True),)
    spec = WorkflowSpec("w", nodes={"a": NodeSpec("a"), "b": NodeSpec("b")}, edges=edges)
    assert _edge(diagram(spec), "a", "b").label == "each, no maximum"


def test_a_fan_out_that_stood_in_a_list_of_targets_is_not_labelled_with_itself() -> None:
    each = Each("b", max=5)
    edges = (EdgeSpec("a", "b", "choice", router="r", label=repr(each), each=5, fans_out=True),)
    spec = WorkflowSpec("w", nodes={"a": NodeSpec("a"), "b": NodeSpec("b")}, edges=edges)
    assert _edge(diagram(spec), "a", "b").label == "each ≤ 5"


def test_a_join_differs_from_a_merge(research: WorkflowSpec) -> None:
    picture = diagram(research)
    (bar,) = [n for n in picture.nodes if n.kind == "join"]
    assert bar.details == "merge waits for all of facts, images"
    joined = [(e.source, e.target) for e in picture.edges if e.via == bar.id]
    assert joined == [("facts", "merge"), ("images", "merge")]
    assert _edge(picture, "search", "merge").via is None


def test_two_labels_to_one_target_are_two_edges(twice: WorkflowSpec) -> None:
    labels = [e.label for e in diagram(twice).edges if e.source == "ask"]
    assert labels == ["yes", "perhaps"]


def test_an_undeclared_target_is_unknown_and_not_the_end(research: WorkflowSpec) -> None:
    picture = diagram(research)
    (edge,) = [e for e in picture.edges if e.source == "audit"]
    target = _node(picture, edge.target)
    assert (target.label, target.kind) == ("unknown", "unknown")
    assert ("audit", END) not in [(e.source, e.target) for e in picture.edges]


def test_a_target_that_no_node_has_is_drawn_as_missing() -> None:
    edges = (EdgeSpec(START, "a"), EdgeSpec("a", "gone"), EdgeSpec("a", "gone", "choice", label="x"))
    picture = diagram(WorkflowSpec("w", nodes={"a": NodeSpec("a")}, edges=edges))
    (missing,) = [n for n in picture.nodes if n.kind == "unknown"]
    assert (missing.label, missing.badges) == ("gone", ("no such node",))
    assert [e.target for e in picture.edges[1:]] == [missing.id, missing.id]


def test_a_subworkflow_is_a_frame_around_its_own_nodes(magazine: WorkflowSpec) -> None:
    picture = diagram(magazine)
    (frame,) = picture.clusters
    assert (frame.id, frame.entry, frame.exit) == ("article", "article/__start__", "article/__end__")
    assert _node(picture, "article/write").cluster == "article"
    assert _edge(picture, "topics", "article").label == "write each ≤ 12"
    assert _edge(picture, "article/review", "article/write").label == "again ≤ 3"


def test_what_a_node_declares_is_in_its_badges() -> None:
    node = NodeSpec(
        "pay", attempts=3, timeout=90, calls=2, interrupts=2, effect=True, idempotent=True,
        compensate="refund", error_handler="repair", defer=True,
        policies={"retry": 1, "fallback": 1, "rate_limit": 1, "cache": None},
    )  # fmt: skip
    found = _node(diagram(WorkflowSpec("w", nodes={"pay": node})), "pay")
    assert found.badges == (
        "asks a human ×2", "effect, idempotent", "undo: refund", "on error: repair", "≤ 3 tries",
        "timeout 90 s", "2 calls", "fallback", "rate limit", "deferred",
    )  # fmt: skip
    assert {"function", "deferred", "effect", "interrupts", "compensated"} == set(found.classes)


def test_policies_are_named_and_their_values_never_shown() -> None:
    node = NodeSpec("call", policies={"fallback": "https://user:hunter2@example.org"})
    picture = diagram(WorkflowSpec("w", nodes={"call": node}))
    assert "hunter2" not in repr(picture)


def test_an_error_handler_is_an_edge_where_it_is_one(research: WorkflowSpec) -> None:
    edge = _edge(diagram(research), "publish", "repair")
    assert (edge.kind, edge.label) == ("handler", "on error")


@dataclass
class _Finding:
    code: str
    path: tuple[str, ...]


@dataclass
class _Certificate:
    supersteps: int | None


@dataclass
class _Report:
    ok: bool
    certificate: _Certificate | None
    findings: tuple[_Finding, ...] = ()


def test_a_certificate_stands_under_the_name(article: WorkflowSpec) -> None:
    picture = diagram(article, report=_Report(True, _Certificate(10)))
    assert picture.caption == ("every run ends within 10 supersteps",)


def test_findings_stand_at_the_nodes_of_their_path(article: WorkflowSpec) -> None:
    picture = diagram(article, report=_Report(False, None, (_Finding("T101", ("write", "review")),)))
    assert picture.caption == ("✕ the check found errors",)
    assert "T101" in _node(picture, "write").badges
    assert "finding" in _node(picture, "review").classes
    assert "T101" not in _node(picture, "plan").badges


def test_a_bound_of_one_is_said_as_once() -> None:
    edges = tuple(EdgeSpec("a", "a", "choice", router="r", label=f"{k}", loop=k) for k in (1, 2))
    said = [e.details for e in diagram(WorkflowSpec("w", nodes={"a": NodeSpec("a")}, edges=edges)).edges]
    assert [words.rpartition(" · ")[2] for words in said] == [
        "at most once in a run",
        "at most 2 times in a run",
    ]
