"""The SVG is one self-contained file that says in its structure what it shows."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dalsegno import viz
from dalsegno.errors import MissingExtra, RenderError
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.nodes.paths import names_of
from dalsegno.viz import backends
from dalsegno.viz.extract import diagram
from dalsegno.viz.overlay import RunView
from dalsegno.viz.svg import render
from dalsegno.viz.text import plain

SVG = "{http://www.w3.org/2000/svg}"


def _groups(svg: str, kind: str) -> list[ET.Element]:
    return [g for g in ET.fromstring(svg).iter(f"{SVG}g") if kind in g.get("class", "").split()]


def _titles(svg: str, kind: str) -> list[str]:
    return [g.findtext(f"{SVG}title") or "" for g in _groups(svg, kind)]


def _said(place: str) -> str:
    *frames, name = names_of(place)
    return plain("/".join([*frames, {START: "START", END: "END"}.get(name, name)]))


def test_every_node_and_edge_is_a_titled_group_once(spec: WorkflowSpec) -> None:
    picture, svg = diagram(spec), viz.svg(spec)
    nodes = [_said(n.id) for n in picture.nodes if n.kind != "join"]
    assert Counter(_titles(svg, "node")) == Counter(nodes)
    assert Counter(_titles(svg, "edge")) == Counter(
        f"{_said(e.source)}->{_said(e.target)}" for e in picture.edges
    )
    assert Counter(_titles(svg, "cluster")) == Counter(_said(c.id) for c in picture.clusters)


def test_start_and_end_are_nodes_of_their_own_class(article: WorkflowSpec) -> None:
    svg = viz.svg(article)
    assert _titles(svg, "start") == ["START"]
    assert _titles(svg, "end") == ["END"]
    assert {"START", "END", "plan", "write", "review", "escalate"} == set(_titles(svg, "node"))


def test_kinds_and_statuses_are_classes(article: WorkflowSpec, interrupted: RunView) -> None:
    svg = viz.svg(article, run=interrupted)
    classes = {g.findtext(f"{SVG}title"): g.get("class") for g in _groups(svg, "node")}
    assert classes["write"] == "node agent done"
    assert classes["escalate"] == "node human interrupts interrupted resumes"
    loops = [g.get("class") for g in _groups(svg, "loop")]
    assert loops == ["edge choice loop back taken"]


def test_a_join_is_a_bar_and_no_node(research: WorkflowSpec) -> None:
    svg = viz.svg(research)
    bars = [g for g in _groups(svg, "join") if "edge" not in g.get("class", "").split()]
    assert [g.get("class") for g in bars] == ["join"]
    assert len([g for g in _groups(svg, "edge") if "join" in g.get("class", "")]) == 2


def test_the_same_workflow_is_the_same_bytes(spec: WorkflowSpec) -> None:
    assert render(diagram(spec), "svg") == render(diagram(spec), "svg")


def test_nothing_in_it_points_outside_or_runs(spec: WorkflowSpec, tmp_path: Path) -> None:
    svg = viz.svg(spec)
    assert "<!" not in svg
    assert "<?" not in svg
    assert str(Path.cwd()) not in svg
    names = set()
    for element in ET.fromstring(svg).iter():
        names.add(element.tag.removeprefix(SVG))
        if element.tag == f"{SVG}style":
            assert not re.search(r"url|@import|//|expression", element.text or "")
        for attribute, value in element.attrib.items():
            assert "href" not in attribute.lower()
            assert not attribute.lower().startswith("on")
            assert "url(" not in value
            assert "//" not in value
    assert names <= {"svg", "g", "title", "desc", "style", "path", "text"}


def test_hostile_names_stay_text(hostile_names: Mapping[str, str]) -> None:
    for what, name in hostile_names.items():
        nodes = {name: NodeSpec(name), "b": NodeSpec("b")}
        edges = (EdgeSpec(name, "b", "choice", router="r", label=name),)
        svg = viz.svg(WorkflowSpec(name, nodes=nodes, edges=edges))
        assert plain(name) in _titles(svg, "node"), what
        shown = [t.text or "" for t in ET.fromstring(svg).iter(f"{SVG}text")]
        label = plain(name)[:20]
        assert sum(label in text for text in shown) == 3, what  # the title, the node and the edge


def test_a_reader_who_does_not_see_it_gets_title_and_description(
    article: WorkflowSpec, interrupted: RunView
) -> None:
    root = ET.fromstring(viz.svg(article, run=interrupted))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "article"
    said = root.findtext(f"{SVG}desc") or ""
    assert "Workflow article: 4 nodes, 7 edges." in said
    assert "review → write · choice · again 3/3 · at most 3 times in a run · taken 3 times." in said
    assert "escalate · human · asks a human · ‖ waits for a human · resumes here." in said


def test_hovering_tells_the_whole_of_what_is_cut_short() -> None:
    name = "a rather long name " * 10
    svg = viz.svg(WorkflowSpec("w", nodes={name: NodeSpec(name)}))
    (group,) = _groups(svg, "function")
    assert group.findtext(f"{SVG}g/{SVG}title") == f"{plain(name)} · function"
    assert max(len(t.text or "") for t in group.iter(f"{SVG}text")) <= 40


@pytest.mark.parametrize(("format", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_png_and_pdf_are_drawn_too(article: WorkflowSpec, format: str, magic: bytes) -> None:
    assert render(diagram(article), format).startswith(magic)


def test_an_unknown_format_is_refused(article: WorkflowSpec) -> None:
    with pytest.raises(RenderError, match="svg, png or pdf"):
        render(diagram(article), "gif")


def test_drawing_says_nothing_on_the_terminal(
    article: WorkflowSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    viz.svg(article)
    # Graphviz finds a table too small for a name that it has no font for, and says so in two lines.
    render(diagram(replace(article, name="two 🎼 \u202e & \\ {words} <b>")), "pdf")
    assert capfd.readouterr().err == ""


def test_a_picture_that_is_wider_than_a_png_can_be_is_drawn_smaller_without_a_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    names = [f"the step number {i}" for i in range(300)]
    edges = tuple(EdgeSpec(START, name) for name in names)
    wide = WorkflowSpec("wide", nodes={name: NodeSpec(name) for name in names}, edges=edges)
    png = render(diagram(wide), "png")
    assert int.from_bytes(png[16:20], "big") == 32767
    assert capfd.readouterr().err == ""


def _without_pygraphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)  # how Python spells "not installed"


def test_without_any_graphviz_the_error_names_both_ways(
    article: WorkflowSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _without_pygraphviz(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"pip install 'dalsegno\[render\]'.*install Graphviz") as caught:
        viz.draw(article, tmp_path / "article.svg")
    assert caught.value.extra == "render"
    assert "json" not in str(caught.value)  # what Graphviz calls it is not what was asked for
    assert not (tmp_path / "article.svg").exists()
    assert viz.draw(article, tmp_path / "article.dot").read_text().startswith("digraph")
    assert viz.draw(article, tmp_path / "article.mmd").read_text().startswith("---")


def test_a_pygraphviz_that_cannot_be_loaded_is_not_said_to_be_missing(
    article: WorkflowSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What its wheel does where the system has no GLib.
    (tmp_path / "pygraphviz.py").write_text(
        "raise ImportError('libgobject-2.0.so.0: cannot open shared object file')"
    )
    monkeypatch.delitem(sys.modules, "pygraphviz", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra) as caught:
        viz.draw(article, tmp_path / "article.svg")
    assert str(caught.value) == (
        "Pictures and pages need Graphviz: pygraphviz carries it, and cannot be loaded here (libgobject-2.0.so.0: "
        "cannot open shared object file). It uses libraries that small systems lack: apt-get install libglib2.0-0 "
        "libxext6 libxrender1 on Debian and Ubuntu, or install Graphviz so that `dot` is on the PATH. DOT and Mermaid "
        "(.dot, .mmd) need neither."
    )


# A `dot` on the PATH that is Graphviz all the same: the one that pygraphviz carries.
_DOT = """#!{python}
import sys, pygraphviz
format = next(a[2:] for a in sys.argv if a.startswith("-T"))
graph = pygraphviz.AGraph(string=sys.stdin.read())
sys.stdout.buffer.write(graph.draw(format=format, prog="dot"))
"""


@pytest.mark.skipif(os.name == "nt", reason="an executable script")
def test_dot_on_the_path_draws_the_same(
    article: WorkflowSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_pygraphviz = viz.svg(article)
    script = tmp_path / "dot"
    script.write_text(_DOT.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    _without_pygraphviz(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert viz.svg(article) == with_pygraphviz


@pytest.mark.skipif(os.name == "nt", reason="an executable script")
def test_what_dot_complained_of_is_in_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "dot"
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no such plugin')\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    _without_pygraphviz(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match="no such plugin"):
        backends.picture("digraph {}", "svg")
