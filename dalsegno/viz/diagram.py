"""What a picture shows, before anybody decides how: frozen, neutral, read by every renderer.

`viz/extract.py` fills a `Diagram`, `viz/laying.py` lays a run over it, `viz/folding.py` folds parts of
it; one renderer a format reads it. Ids are places (`nodes/paths.py`): an inner node of the subworkflow
``sub`` is ``sub/write``. Classes are single words (``tool``, ``loop``, ``done``, ``untaken``); a renderer
turns them into looks, and the SVG carries them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

EdgeKey = tuple[str, str, str | None]
"""Source and target as places, and the router's answer (None where there is none)."""

MARKS = ("start", "end", "join", "unknown")
"""Kinds of nodes that are marks of the picture, and no nodes of the workflow."""


@dataclass(frozen=True, slots=True)
class DiagramNode:
    """One node, or one of the marks START, END, join, unknown and folded.

    `badges` are quiet words about what was declared, `lines` what the run did; `details` is the
    full text that a reader gets on hover or from a screen reader. `status` is None without a run.
    `members` are the ids of the nodes that a folded one stands for.
    """

    id: str
    label: str
    kind: str
    cluster: str | None = None
    classes: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    status: str | None = None
    mark: str | None = None
    details: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiagramEdge:
    """One way from `source` to `target`, ids of nodes or of clusters.

    `via` is the id of the join bar that the edge passes, None for every other edge. `key` is how a
    run knows the edge (None: no run takes it), `bound` the most times a run may take it
    (in a subworkflow: each time that is entered), `base` the label without a run.
    """

    source: str
    target: str
    kind: str
    label: str = ""
    classes: tuple[str, ...] = ()
    via: str | None = None
    details: str = ""
    key: EdgeKey | None = None
    bound: int | None = None
    base: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A subworkflow: a frame around its nodes, entered at `entry` and left at `exit`."""

    id: str
    label: str
    entry: str
    exit: str
    parent: str | None = None
    classes: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    status: str | None = None
    mark: str | None = None
    details: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """A whole picture: `title` (`name`, if it is not too long) and `caption` stand over it, `description`
    is read aloud. `shut` are the clusters that a page shows folded until somebody unfolds them.
    """

    name: str
    title: str
    nodes: tuple[DiagramNode, ...]
    edges: tuple[DiagramEdge, ...]
    clusters: tuple[Cluster, ...] = ()
    caption: tuple[str, ...] = ()
    status: str | None = None
    description: str = ""
    shut: tuple[str, ...] = ()
