"""How a workflow looks: pictures of graphs and of runs, drawn offline from what is declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.errors import RenderError, did_you_mean
from dalsegno.nodes.paths import meant, shown
from dalsegno.viz import differences, dot, folding, mermaid, terminal
from dalsegno.viz.diagram import Diagram
from dalsegno.viz.extract import diagram
from dalsegno.viz.laying import lay
from dalsegno.viz.overlay import RunView

# Imported before the function `svg` is defined: importing a submodule binds its name here.
from dalsegno.viz.svg import render

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

    from dalsegno.graphs.model import WorkflowSpec


__all__ = [
    "SUFFIXES",
    "Diagram",
    "RunView",
    "draw",
    "picture",
    "picture_of",
    "svg",
    "to_dot",
    "to_mermaid",
    "to_text",
]

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

_PAINTED = ("svg", "png", "pdf", "page")


def draw(
    spec: WorkflowSpec,
    path: str | os.PathLike[str],
    *,
    run: RunView | None = None,
    report: Any = None,
    against: WorkflowSpec | RunView | None = None,
    fold: bool | Collection[str] | None = None,
) -> Path:
    """Draws a workflow, and a run of it, into a file; the suffix chooses the format (`SUFFIXES`).

    Parameters
    ----------
    spec
        What is drawn.
    path
        The file.
    run
        Laid over the graph.
    report
        What `validate` returned: what is proved is written under the name, findings stand at their nodes.
    against
        Another version of the workflow, or another run: what differs is drawn.
    fold
        Which subworkflows are one box each: all of them (True), none (False), or those with these paths.
        Without it pictures of more than 150 nodes fold by themselves.

    Raises
    ------
    RenderError
        The suffix is unknown, Graphviz failed, or the file cannot be written.
    MissingExtra
        A .svg, .png, .pdf or .html is asked for and there is no Graphviz.
    """
    file = Path(path)
    content = drawn(spec, file, run=run, report=report, against=against, fold=fold)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise unwritable(file, error) from error
    return file


def drawn(
    spec: WorkflowSpec,
    file: Path,
    *,
    run: RunView | None = None,
    report: Any = None,
    against: WorkflowSpec | RunView | None = None,
    fold: bool | Collection[str] | None = None,
) -> bytes:
    """What `draw` writes into a file."""
    kind = SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise RenderError(
            f"Cannot draw `{file.name}`: the suffix {file.suffix or '(none)'} is not one of "
            f"{' '.join(SUFFIXES)}{did_you_mean(file.suffix.lower(), SUFFIXES)}",
            format=file.suffix,
        )
    folds = _folding(kind, fold)
    picture = picture_of(spec, report=report, against=against, fold=folds, page=kind == "page")
    return _content(picture, kind, run, against, report)


def unwritable(file: Path, error: OSError) -> RenderError:
    """What is told where a picture's file cannot be written."""
    hint = f" Make the folder `{file.parent}` first." if not file.parent.exists() else ""
    kind = SUFFIXES.get(file.suffix.lower(), "")
    return RenderError(f"Cannot write `{file}`: {error.strerror or error}.{hint}", format=kind)


def picture_of(
    spec: WorkflowSpec,
    *,
    report: Any = None,
    against: Any = None,
    fold: bool | Collection[str] | None = None,
    page: bool = False,
) -> Diagram:
    """The diagram of a graph, or of two of them, without a run; folded as `draw` says.

    What folds by itself can be unfolded on a `page`.
    """
    picture = diagram(spec, report=report)
    if against is not None and not isinstance(against, RunView):
        picture = differences.graphs_apart(diagram(against), picture)
    if fold is None:
        return folding.shut(picture) if page else folding.folded(picture)
    known = [c.id for c in picture.clusters]
    paths = [fold] if isinstance(fold, str) else fold  # one path is one, and not its letters
    names = known if paths is True else [] if paths is False else [meant(path, known) for path in paths]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, map(shown, known)) or "."
            raise RenderError(f"Cannot fold `{name}`: no subworkflow has this path{hint}", format="")
    return folding.fold(picture, names)


def picture(
    spec: WorkflowSpec,
    *,
    run: RunView | None = None,
    report: Any = None,
    against: WorkflowSpec | RunView | None = None,
    fold: bool | Collection[str] | None = None,
) -> Diagram:
    """What `draw` draws, before anybody decides how."""
    found = picture_of(spec, report=report, against=against, fold=fold or False)
    if run is None:
        return found
    if isinstance(against, RunView):
        return differences.runs_apart(found, against, run)
    return lay(found, run, report)


def _folding(kind: str, fold: bool | Collection[str] | None) -> bool | Collection[str] | None:
    """What is text folds only where that is asked for."""
    return False if fold is None and kind not in _PAINTED else fold


def _content(picture: Diagram, kind: str, run: RunView | None, against: Any, report: Any) -> bytes:
    if isinstance(against, RunView) and run is not None:
        picture, run = differences.runs_apart(picture, against, run), None
    if kind == "page":
        from dalsegno.viz.page import page

        return page(picture, run, report=report).encode()
    picture = lay(picture, run, report) if run is not None else picture
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
