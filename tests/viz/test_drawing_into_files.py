"""`draw` chooses the format by the suffix and says clearly what it cannot do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import pygraphviz
import pytest

from dalsegno import Workflow, viz
from dalsegno.errors import RenderError
from dalsegno.graphs.checking import spec_of
from dalsegno.graphs.model import EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.extract import diagram
from dalsegno.viz.layout import place
from dalsegno.viz.overlay import RunView
from dalsegno.viz.placed import to_placed_dot


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [(".svg", b"<svg "), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".dot", b"digraph"), (".gv", b"digraph"),
     (".mmd", b"---\ntitle"), (".mermaid", b"---\ntitle"), (".SVG", b"<svg "),
     (".html", b"<!DOCTYPE html>"), (".txt", b"article\n")],
)  # fmt: skip
def test_the_suffix_chooses_the_format(
    article: WorkflowSpec, tmp_path: Path, suffix: str, begins: bytes
) -> None:
    path = viz.draw(article, str(tmp_path / f"article{suffix}"))
    assert path == tmp_path / f"article{suffix}"
    assert path.read_bytes().startswith(begins)


@pytest.mark.parametrize("name", ["article.gif", "article", "article.docx", ".svg"])
def test_an_unknown_suffix_lists_the_known_ones(article: WorkflowSpec, tmp_path: Path, name: str) -> None:
    with pytest.raises(RenderError, match=r"\.svg \.png \.pdf \.dot \.gv \.mmd \.mermaid \.html \.txt"):
        viz.draw(article, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_suffix_that_is_nearly_right_is_asked_about(article: WorkflowSpec, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"did you mean `\.svg`\?"):
        viz.draw(article, tmp_path / "article.svgz")


def test_a_place_that_cannot_be_written_is_named(article: WorkflowSpec, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"Cannot write .*nowhere.*No such file or directory"):
        viz.draw(article, tmp_path / "nowhere" / "article.dot")


def test_the_run_and_the_report_are_drawn_into_the_file(
    article: WorkflowSpec, interrupted: RunView, tmp_path: Path
) -> None:
    text = viz.draw(article, tmp_path / "run.svg", run=interrupted).read_text(encoding="utf-8")
    assert "proved 10 · used 9 supersteps" in text
    assert "again 3/3" in text


def test_a_string_for_a_notebook_is_what_the_file_holds(article: WorkflowSpec, tmp_path: Path) -> None:
    assert viz.svg(article) == viz.draw(article, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert viz.to_dot(article) == viz.draw(article, tmp_path / "a.dot").read_text(encoding="utf-8")
    assert viz.to_mermaid(article) == viz.draw(article, tmp_path / "a.mmd").read_text(encoding="utf-8")


def test_importing_the_room_loads_no_graphviz_and_no_engine() -> None:
    code = (
        "import sys, dalsegno.viz as viz\n"
        "assert callable(viz.svg) and callable(viz.draw)\n"
        "heavy = {'graphviz', 'pygraphviz', 'langgraph', 'networkx', 'sqlite3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".html", ".txt"])
def test_every_name_there_is_can_be_drawn(spec: WorkflowSpec, tmp_path: Path, suffix: str) -> None:
    assert viz.draw(spec, tmp_path / f"x{suffix}").stat().st_size > 10


def test_names_make_no_nodes_in_what_graphviz_paints(hostile_names: Mapping[str, str]) -> None:
    for what, name in hostile_names.items():
        edges = (EdgeSpec(name, "b", "choice", router="r", label=name),)
        picture = diagram(WorkflowSpec(name, nodes={name: NodeSpec(name), "b": NodeSpec("b")}, edges=edges))
        graph = pygraphviz.AGraph(string=to_placed_dot(picture, place(picture)))
        nodes = [n for n in graph.nodes() if n.startswith("n")]
        assert (len(nodes), graph.number_of_edges()) == (4, 1), what
        for node in graph.nodes():
            assert not {"URL", "href", "tooltip", "image"} & set(node.attr.to_dict()), what


def test_a_graph_of_langgraph_is_drawn_too(tmp_path: Path) -> None:
    from langgraph.graph import StateGraph

    graph = StateGraph(dict).add_node("a", lambda state: state).add_node("b", lambda state: state)
    graph.add_edge("__start__", "a").add_conditional_edges("a", lambda state: "b")
    drawn = viz.draw(spec_of(graph), tmp_path / "theirs.svg").read_text(encoding="utf-8")
    assert 'class="node unknown"' in drawn  # its router declares nothing: not an edge to END
    assert "a-&gt;END" not in drawn


class _State(TypedDict):
    a: int


def test_a_workflow_in_a_notebook_shows_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flow = Workflow("shown", _State)
    flow.add_node("a", lambda state: state).add_edge("__start__", "a").add_edge("a", "__end__")
    assert flow._repr_mimebundle_()["image/svg+xml"].startswith("<svg ")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert flow._repr_mimebundle_() == {"text/plain": viz.to_text(flow.spec)}
    assert "▢ a" in flow._repr_mimebundle_()["text/plain"]
