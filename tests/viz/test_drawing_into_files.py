"""`draw` chooses the format by the suffix and says clearly what it cannot do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dalsegno import viz
from dalsegno.errors import RenderError
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.viz.overlay import RunView


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
