"""A `Diagram` -> Mermaid flowchart, for places that render it (GitHub, GitLab, many wikis).

Ids are ``n0``, ``n1`` …; labels are quoted, and every character with a meaning in Mermaid or HTML
is an entity code (``#35;``), so that a name stays text (https://mermaid.js.org/syntax/flowchart.html).
"""

from __future__ import annotations

import re
from collections import defaultdict

from dalsegno.viz import palette as p
from dalsegno.viz.diagram import Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.text import plain, short

_BRACKETS = {
    "start": ("([", "])"),
    "end": ("([", "])"),
    "join": ("{{", "}}"),
    "human": ("{{", "}}"),
    "tool": ("[", "]"),
    "remote": ("[[", "]]"),
    "handler": ("[/", "/]"),
    "unknown": ("((", "))"),
}
# What Markdown, which Mermaid applies to labels, would take for a list, emphasis or a link, and Mermaid for an icon.
_MARKDOWN = re.compile(
    r"^-|(?<=^\d)\.|(?<=^\d\d)\.|(?<![^\W_])_|_(?![^\W_])|:(?=/|fa-)|(?<=www)\.", re.IGNORECASE
)
# A title knows no entity codes: Mermaid cleans it as HTML, and writes what comes of that as text.
_TITLE = str.maketrans({"&": "\uff06", "<": "\u2039", ">": "\u203a", "\\": "\\\\", '"': '\\"'})
_PLAIN = frozenset(" .,-_·:×≤/✓✕▶‖○↻→…")


def to_mermaid(diagram: Diagram) -> str:
    """The diagram as a Mermaid flowchart: the same text for the same diagram."""
    ids = {n.id: f"n{i}" for i, n in enumerate(diagram.nodes)}
    ids |= {c.id: f"s{i}" for i, c in enumerate(diagram.clusters)}
    lines = ["---", f'title: "{_title(diagram)}"', "---", "flowchart TD"]
    lines += _level(diagram, None, ids, "    ")
    links = [(_link(edge, ids), edge.classes) for edge in diagram.edges]
    for bar in (n for n in diagram.nodes if n.kind == "join"):
        edge = next(e for e in diagram.edges if e.via == bar.id)
        arrow = "==>" if "taken" in bar.classes else "-->"
        links.append((f"{ids[bar.id]} {arrow} {ids[edge.target]}", bar.classes))
    lines += [f"    {text}" for text, _ in links]
    lines += _classes(diagram, ids)
    lines += _link_styles([classes for _, classes in links])
    return "\n".join(lines) + "\n"


def _title(diagram: Diagram) -> str:
    text = " · ".join(plain(s) for s in (diagram.title, *diagram.caption))
    return text.translate(_TITLE)


def _escaped(text: str) -> str:
    line = plain(text)
    special = {m.start() for m in _MARKDOWN.finditer(line)}
    return "".join(
        c if i not in special and (c.isalnum() or c in _PLAIN or ord(c) > 0x2FF) else f"#{ord(c)};"
        for i, c in enumerate(line)
    )


def _level(diagram: Diagram, cluster: str | None, ids: dict[str, str], indent: str) -> list[str]:
    lines = [f"{indent}{_node(n, ids[n.id])}" for n in diagram.nodes if n.cluster == cluster]
    for inner in (c for c in diagram.clusters if c.parent == cluster):
        lines.append(f'{indent}subgraph {ids[inner.id]}["{_label(inner)}"]')
        lines += _level(diagram, inner.id, ids, indent + "    ")
        lines.append(f"{indent}end")
    return lines


def _label(box: DiagramNode | Cluster) -> str:
    parts = [_escaped(short(box.label, 40))]
    if box.badges:
        parts.append(f"<small>{_escaped(' · '.join(box.badges))}</small>")
    parts += [_escaped(line) for line in box.lines]
    parts += [_escaped(f"↻ {box.mark}")] if box.mark else []
    return "<br/>".join(parts)


def _node(node: DiagramNode, name: str) -> str:
    opening, closing = _BRACKETS.get(node.kind, ("(", ")"))
    return f'{name}{opening}"{_label(node)}"{closing}'


def _link(edge: DiagramEdge, ids: dict[str, str]) -> str:
    classes = set(edge.classes)
    if {"loop", "spent", "handler", "unknown", "compensation"} & classes:
        arrow = "-.->"
    elif "taken" in classes:
        arrow = "==>"
    else:
        arrow = "---" if edge.via else "-->"
    label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
    return f"{ids[edge.source]} {arrow}{label} {ids[edge.via or edge.target]}"


def _classes(diagram: Diagram, ids: dict[str, str]) -> list[str]:
    members: dict[str, list[str]] = defaultdict(list)
    boxes: tuple[DiagramNode | Cluster, ...] = (*diagram.nodes, *diagram.clusters)
    for box in boxes:
        look = box.status or ("untaken" if "untaken" in box.classes else box.classes[0])
        members[look].append(ids[box.id])
    lines = []
    for look, names in sorted(members.items()):
        paint = p.STATUSES.get(look) or p.KINDS.get(look)
        if look == "untaken":
            paint = p.FADED
        elif look in ("start", "join"):
            paint = p.Paint(p.INK, p.INK, p.PAPER)
        elif look == "subworkflow":
            paint = p.Paint(p.FRAME, p.HAIR)
        paint = paint or p.PLAIN
        lines.append(f"    classDef {look}_ fill:{paint.fill},stroke:{paint.border},color:{paint.ink}")
        lines.append(f"    class {','.join(names)} {look}_")
    return lines


def _link_styles(links: list[tuple[str, ...]]) -> list[str]:
    colors: dict[str, list[str]] = defaultdict(list)
    for i, classes in enumerate(links):
        if "untaken" in classes:
            colors[p.HAIR].append(str(i))
        elif "loop" in classes:
            colors[p.ACCENT].append(str(i))
        elif "handler" in classes or "unknown" in classes:
            colors[p.ALARM].append(str(i))
    return [f"    linkStyle {','.join(numbers)} stroke:{color}" for color, numbers in sorted(colors.items())]
