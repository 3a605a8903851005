"""DOT and Mermaid: the same text for the same workflow, and names stay names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pygraphviz
import pytest

from dalsegno import viz
from dalsegno.graphs.model import START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.extract import diagram
from dalsegno.viz.overlay import NodeRun, RunView

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["twice", "article", "article_run", "magazine"])
@pytest.mark.parametrize("suffix", [".dot", ".mmd"])
def test_the_text_is_the_one_that_was_looked_at(
    request: pytest.FixtureRequest, interrupted: RunView, name: str, suffix: str, tmp_path: Path
) -> None:
    """To accept a change: look at the picture, then copy the file that the failure names."""
    spec: WorkflowSpec = request.getfixturevalue(name.removesuffix("_run"))
    run = interrupted if name.endswith("_run") else None
    drawn = viz.draw(spec, tmp_path / f"{name}{suffix}", run=run)
    golden = GOLDEN / f"{name}{suffix}"
    assert drawn.read_text(encoding="utf-8") == golden.read_text(encoding="utf-8"), drawn


def test_the_dot_has_every_node_and_edge_once(spec: WorkflowSpec) -> None:
    picture = diagram(spec)
    graph = pygraphviz.AGraph(string=viz.to_dot(spec))
    joins = sum(n.kind == "join" for n in picture.nodes)
    assert graph.number_of_nodes() == len(picture.nodes)
    assert graph.number_of_edges() == len(picture.edges) + joins
    drawn = sorted(edge.attr["id"] for edge in graph.edges() if edge.attr["class"] != "stem")
    assert drawn == sorted(f"edge{i}" for i in range(len(picture.edges)))


def test_tame_names_are_their_own_ids_in_dot(article: WorkflowSpec, magazine: WorkflowSpec) -> None:
    assert "review -> write [" in viz.to_dot(article)
    assert '"article/review" -> "article/write" [' in viz.to_dot(magazine)


def test_hostile_names_make_no_nodes_and_no_attributes_in_dot(hostile_names: Mapping[str, str]) -> None:
    for what, name in hostile_names.items():
        graph = pygraphviz.AGraph(string=viz.to_dot(WorkflowSpec(name, nodes={name: NodeSpec(name)})))
        assert graph.number_of_nodes() == 3, what
        for node in graph.nodes():
            assert not {"URL", "href", "tooltip", "image"} & set(node.attr.to_dict()), what


_NODE = re.compile(r'^\s+(n\d+)(?:\(\[|\(\(|\[\[|\{\{|\[/|\(|\[)"([^"]*)"(?:\]\)|\)\)|\]\]|\}\}|/\]|\)|\])$')
_LINK = re.compile(r'^\s+([ns]\d+) (?:-->|==>|-\.->|---)(?:\|"([^"]*)"\|)? ([ns]\d+)$')
_OTHER = re.compile(
    r'^\s+(?:subgraph s\d+\["[^"]*"\]|end'
    r"|class [ns\d,]+ \w+|classDef \w+ [\w:#,]+|linkStyle [\d,]+ stroke:#\w+)$"
)


def test_every_line_of_the_mermaid_text_is_a_node_a_link_or_a_style(spec: WorkflowSpec) -> None:
    picture = diagram(spec)
    fence, title, fence_again, kind, *lines = viz.to_mermaid(spec).splitlines()
    assert (fence, fence_again, kind) == ("---", "---", "flowchart TD")
    assert re.fullmatch(r'title: "(?:[^"\\]|\\["\\])*"', title)
    nodes = [m for m in map(_NODE.match, lines) if m]
    links = [m for m in map(_LINK.match, lines) if m]
    others = [line for line in lines if _OTHER.match(line)]
    assert len(nodes) + len(links) + len(others) == len(lines)
    assert len(nodes) == len(picture.nodes)
    assert len(links) == len(picture.edges) + sum(n.kind == "join" for n in picture.nodes)


def test_hostile_names_stay_text_in_mermaid(hostile_names: Mapping[str, str]) -> None:
    for what, name in hostile_names.items():
        text = viz.to_mermaid(WorkflowSpec("w", nodes={name: NodeSpec(name)}))
        label = next(m[2] for m in map(_NODE.match, text.splitlines()) if m and m[1] == "n1")
        assert re.fullmatch(r"(?:#\d+;|[^#;<>&\"`\[\]{}|\\])*", label), what


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("1. first", "1#46; first"),
        ("- item", "#45; item"),
        ("__init__", "#95;#95;init#95;#95;"),
        ("grounded_answer", "grounded_answer"),
        ("https://example.org", "https#58;//example.org"),
        ("www.example.org", "www#46;example.org"),
        ("4.2 s", "4#46;2 s"),
        ("fa:fa-car", "fa#58;fa-car"),
        ("**loud** `code`", "#42;#42;loud#42;#42; #96;code#96;"),
    ],
)
def test_a_name_is_no_markdown_in_mermaid(name: str, label: str) -> None:
    assert f'n1("{label}")' in viz.to_mermaid(WorkflowSpec("w", nodes={name: NodeSpec(name)}))


def test_a_title_has_no_markup_in_mermaid() -> None:
    title = viz.to_mermaid(WorkflowSpec('R&D <b>\\ "x"', nodes={}, edges=())).splitlines()[1]
    assert title == 'title: "R\uff06D \u2039b\u203a\\\\ \\"x\\""'


def test_the_mermaid_text_of_a_run_has_its_counts(article: WorkflowSpec, interrupted: RunView) -> None:
    text = viz.to_mermaid(article, run=interrupted)
    assert '|"again 3/3"|' in text
    assert "‖ waits for a human<br/>↻ resumes here" in text
    assert "proved 10 · used 9 supersteps" in text


def test_behind_a_join_the_way_is_bold_in_mermaid_where_all_came_that_it_waits_for() -> None:
    edges = (*(EdgeSpec(START, name) for name in "ab"), EdgeSpec("a", "c", "join", sources=("a", "b")))
    spec = WorkflowSpec("w", nodes={name: NodeSpec(name) for name in "abc"}, edges=edges)
    stems = []
    for came in ("a", "ab"):
        taken = {(name, "c", None): 1 for name in came}
        run = RunView(
            "r", "t", "w", "running", nodes={name: NodeRun(1, "done") for name in came}, edges=taken
        )
        lines = viz.to_mermaid(spec, run=run).splitlines()
        (bar,) = [node.id for node in diagram(spec, run=run).nodes if node.kind == "join"]
        number = [node.id for node in diagram(spec, run=run).nodes].index(bar)
        stems += [line.strip() for line in lines if re.match(rf" *n{number} \S+ n\d+$", line)]
    assert [stem.split()[1] for stem in stems] == ["-->", "==>"]


def test_one_superstep_is_no_supersteps(article: WorkflowSpec) -> None:
    run = RunView("r", "t", "article", "failed", proved=1, supersteps=1)
    assert "proved 1 · used 1 superstep" in viz.to_mermaid(article, run=run)
    assert "supersteps" not in viz.to_mermaid(article, run=run)
