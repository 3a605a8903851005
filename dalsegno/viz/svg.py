"""A `Diagram` -> SVG, PNG or PDF, offline, through whichever Graphviz there is.

The SVG is one self-contained file: no script, no link, no font, no comment, no path of the machine.
Every node is a ``<g class="node …">``, every edge a ``<g class="edge …">``, each with a ``<title>``
as Graphviz writes it (``write``, ``write->review``) and, one level deeper, what a reader gets on
hover.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from dalsegno.errors import RenderError
from dalsegno.graphs.model import END, START
from dalsegno.viz import palette
from dalsegno.viz.backends import picture
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.dot import element_ids, to_dot
from dalsegno.viz.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("svg", "png", "pdf")

_SVG = "http://www.w3.org/2000/svg"
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
# Keeps a label readable where a line passes behind it.
_HALO = {
    "paint-order": "stroke",
    "stroke": palette.PAPER,
    "stroke-width": "3",
    "stroke-linejoin": "round",
}


def render(diagram: Diagram, format: str) -> bytes:
    """The picture's bytes. The SVG is the same, byte for byte, for the same diagram and Graphviz.

    Raises
    ------
    MissingExtra
        There is neither pygraphviz nor a `dot` on the PATH.
    RenderError
        The format is unknown, or Graphviz failed.
    """
    if format not in FORMATS:
        raise RenderError(f"No picture in the format {format!r}: use svg, png or pdf.", format=str(format))
    drawn = picture(to_dot(diagram), format)
    return _finished(drawn, diagram) if format == "svg" else drawn


def _finished(drawn: bytes, diagram: Diagram) -> bytes:
    """Graphviz's SVG without its comments, links and ids, with our classes and names."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(drawn)
    elements = element_ids(diagram)
    for group in root.iter(f"{{{_SVG}}}g"):
        drawn_id = group.attrib.pop("id", "")
        element = elements.get(drawn_id)
        if element is not None:
            _describe(group, element)
            _center(group, element)
        elif "class" in group.attrib and group.attrib["class"] != "graph":
            group.set("class", "stem")
            _retitle(group, "")
    for text in root.iter(f"{{{_SVG}}}text"):
        text.attrib.pop("font-family", None)
        text.attrib.pop("{http://www.w3.org/XML/1998/namespace}space", None)
    _head(root, diagram)
    finished: str = ET.tostring(root, encoding="unicode")
    return finished.encode() + b"\n"


def _head(root: ET.Element, diagram: Diagram) -> None:
    graph = root.find(f"{{{_SVG}}}g")
    if graph is not None:
        _retitle(graph, "")
    root.set("role", "img")
    root.set("font-family", palette.FONT)
    root.set("class", " ".join(["dalsegno", *([plain(diagram.status)] if diagram.status else [])]))
    for tag, text in (("desc", diagram.description), ("title", plain(diagram.title))):
        element = ET.Element(f"{{{_SVG}}}{tag}")
        element.text = text
        root.insert(0, element)


def _describe(group: ET.Element, element: DiagramNode | DiagramEdge | Cluster) -> None:
    """Class, title and hover text of one element."""
    if isinstance(element, DiagramEdge):
        group.set("class", " ".join(["edge", *element.classes]))
        for label in group.iter(f"{{{_SVG}}}text"):
            label.attrib.update(_HALO)
        _retitle(group, f"{_spoken(element.source)}->{_spoken(element.target)}")
    else:
        role = "cluster" if isinstance(element, Cluster) else "node"
        # A join's bar stands for an edge of several sources, it is no node of the workflow.
        roles = () if "join" in element.classes else (role,)
        group.set("class", " ".join((*roles, *element.classes)))
        _retitle(group, _spoken(element.id))
    if element.details:
        inner = ET.Element(f"{{{_SVG}}}g")
        hover = ET.SubElement(inner, f"{{{_SVG}}}title")
        hover.text = element.details
        shapes = [child for child in group if child.tag != f"{{{_SVG}}}title"]
        for shape in shapes:
            group.remove(shape)
        inner.extend(shapes)
        group.append(inner)


def _spoken(path: str) -> str:
    """A path as a reader says it: ``sub/START`` for ``sub/__start__``."""
    *frames, name = path.split("/")
    return plain("/".join([*frames, {START: "START", END: "END"}.get(name, name)]))


def _retitle(group: ET.Element, text: str) -> None:
    title = group.find(f"{{{_SVG}}}title")
    if title is None:
        title = ET.Element(f"{{{_SVG}}}title")
        group.insert(0, title)
    title.text = text
    if not text:
        group.remove(title)


def _center(group: ET.Element, element: DiagramNode | DiagramEdge | Cluster) -> None:
    """Anchors a node's text at its middle, so that another font does not push it to a side."""
    if not isinstance(element, DiagramNode):
        return
    span = list(_span(group))
    if not span:
        return
    middle = f"{(min(span) + max(span)) / 2:.2f}".rstrip("0").rstrip(".")
    for text in group.iter(f"{{{_SVG}}}text"):
        text.set("text-anchor", "middle")
        text.set("x", middle)


def _span(group: ET.Element) -> Iterator[float]:
    for shape in group.iter():
        outline = shape.get("d") or shape.get("points")
        if outline:
            yield from (float(n) for n in _NUMBERS.findall(outline)[::2])
            return
