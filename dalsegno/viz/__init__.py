"""How a workflow looks: pictures of graphs and of runs, drawn offline from what is declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.errors import RenderError, did_you_mean
from dalsegno.viz import dot, mermaid, terminal
from dalsegno.viz.extract import diagram

# Imported before the function `svg` is defined: importing a submodule binds its name here.
from dalsegno.viz.svg import render

if TYPE_CHECKING:
    import os

    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.viz.overlay import RunView

__all__ = ["SUFFIXES", "draw", "svg", "to_dot", "to_mermaid", "to_text"]

SUFFIXES = {
    ".svg": "svg",
    ".png": "png",
    ".pdf": "pdf",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".html": "page",
    ".txt": "text",
}
"""The format that a file's suffix chooses."""


def draw(
    spec: WorkflowSpec, path: str | os.PathLike[str], *, run: RunView | None = None, report: Any = None
) -> Path:
    """Draws a workflow, and a run of it, into a file; the suffix chooses the format (`SUFFIXES`).

    Raises
    ------
    RenderError
        The suffix is unknown, Graphviz failed, or the file cannot be written.
    MissingExtra
        A .svg, .png or .pdf is asked for and there is no Graphviz.
    """
    file = Path(path)
    kind = SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise RenderError(
            f"Cannot draw `{file.name}`: the suffix {file.suffix or '(none)'} is not one of "
            f"{' '.join(SUFFIXES)}{did_you_mean(file.suffix.lower(), SUFFIXES)}",
            format=file.suffix,
        )
    content = _content(spec, kind, run, report)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise RenderError(f"Cannot write `{file}`: {error.strerror or error}.", format=kind) from error
    return file


def _content(spec: WorkflowSpec, kind: str, run: RunView | None, report: Any) -> bytes:
    if kind == "page":
        from dalsegno.viz.page import page

        return page(diagram(spec, report=report), run, report=report).encode()
    picture = diagram(spec, run=run, report=report)
    if kind == "dot":
        return dot.to_dot(picture).encode()
    if kind == "mermaid":
        return mermaid.to_mermaid(picture).encode()
    if kind == "text":
        return terminal.to_text(picture).encode()
    return render(picture, kind, run)


def to_dot(spec: WorkflowSpec, run: RunView | None = None) -> str:
    """The workflow in DOT, the language of Graphviz; needs no Graphviz."""
    return dot.to_dot(diagram(spec, run=run))


def to_mermaid(spec: WorkflowSpec, run: RunView | None = None) -> str:
    """The workflow as a Mermaid flowchart; needs no Graphviz."""
    return mermaid.to_mermaid(diagram(spec, run=run))


def to_text(spec: WorkflowSpec, run: RunView | None = None, *, width: int = 100) -> str:
    """The workflow as a drawing of characters, `width` cells wide; needs no Graphviz."""
    return terminal.to_text(diagram(spec, run=run), width=width)


def svg(spec: WorkflowSpec, run: RunView | None = None) -> str:
    """The workflow as an SVG element, for notebooks and pages."""
    return render(diagram(spec, run=run), "svg", run).decode()
