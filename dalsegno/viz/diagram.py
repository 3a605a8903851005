"""What a picture shows, before anybody decides how: frozen, neutral, read by every renderer.

`viz/extract.py` fills a `Diagram`; one renderer a format reads it. Ids are paths: an inner node of
the subworkflow ``sub`` is ``sub/write``. Classes are single words (``tool``, ``loop``, ``done``,
``untaken``); a renderer turns them into looks, and the SVG carries them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DiagramNode:
    """One node, or one of the marks START, END, join and unknown.

    `badges` are quiet words about what was declared, `lines` what the run did; `details` is the
    full text that a reader gets on hover or from a screen reader. `status` is None without a run.
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


@dataclass(frozen=True, slots=True)
class DiagramEdge:
    """One way from `source` to `target`, ids of nodes or of clusters.

    `via` is the id of the join bar that the edge passes, None for every other edge.
    """

    source: str
    target: str
    kind: str
    label: str = ""
    classes: tuple[str, ...] = ()
    via: str | None = None
    details: str = ""


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
    """A whole picture: `title` and `caption` stand over it, `description` is read aloud."""

    title: str
    nodes: tuple[DiagramNode, ...]
    edges: tuple[DiagramEdge, ...]
    clusters: tuple[Cluster, ...] = ()
    caption: tuple[str, ...] = ()
    status: str | None = None
    description: str = ""
