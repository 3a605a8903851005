"""A `Diagram` and a run of it -> one HTML file that replays the run: no network, no other file.

The scripts and the style are the files of `viz/assets`, put together here. The page may run these and
nothing else (its content security policy names their hashes); everything that comes from users is text:
escaped in the markup, and data that a script reads, never a script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from dalsegno.nodes.paths import shown
from dalsegno.viz import palette, replay
from dalsegno.viz.cards import card, declared
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramNode
from dalsegno.viz.geometry import Box
from dalsegno.viz.laying import counted, lay
from dalsegno.viz.layout import Layout, place
from dalsegno.viz.overlay import RunView
from dalsegno.viz.panel import said
from dalsegno.viz.style import asset, packed, rules, variables
from dalsegno.viz.svg import graph, spoken
from dalsegno.viz.text import plain
from dalsegno.viz.timeline import Timeline, score, timeline

_SCRIPTS = (
    "shared.js",
    "graph.js",
    "squeeze.js",
    "search.js",
    "details.js",
    "replay.js",
    "live.js",
    "page.js",
)
_PAD = 24.0
_ENDED = ("completed", "failed", "cancelled")


def page(
    diagram: Diagram,
    run: RunView | None = None,
    *,
    report: Any = None,
    layout: Layout | None = None,
    live: str | None = None,
) -> str:
    """The page of a diagram, and of a run of it.

    Parameters
    ----------
    diagram
        The graph, without the run.
    run
        What is replayed; with its `states`, the state after each superstep is shown.
    report
        What `validate` returned; its findings stand at their nodes.
    layout
        Where everything stands, if that is known already.
    live
        The name of a file beside the page that `news` is written into while the run goes on.

    Raises
    ------
    MissingExtra
        There is neither pygraphviz nor a `dot` on the PATH.
    RenderError
        Graphviz failed.
    """
    layout = layout or place(diagram)
    shown = lay(diagram, run, report) if run is not None else diagram
    drawn = _score(diagram, run)
    script = "\n".join(["'use strict';(()=>{", *(asset(name) for name in _SCRIPTS), "})();"])
    style = _style()
    view = f"{-_PAD:g} {-_PAD:g} {layout.width + 2 * _PAD:.1f} {layout.height + 2 * _PAD:.1f}"
    parts = {
        "policy": _policy(script, style, live),
        "title": escape(plain(diagram.name)),
        "style": style,
        "script": script,
        "caption": escape(" · ".join(shown.caption)),
        "view": view,
        "spoken": escape(f"Graph of {diagram.name}"),
        "graph": "\n".join(graph(shown, layout, numbered=True)),
        "description": escape(_first_words(diagram)),
        "no_run": "" if (run is not None and run.executions) or live else "hidden",
        "no_states": "" if run is not None and run.states else "hidden",
        "no_folds": "" if diagram.clusters else "disabled",
        "measures": "".join(_measures(run)) if run is not None else "",
        "columns": str(len(score(run.executions).columns)) if run is not None else "0",
        "timeline": _svg(drawn) if drawn else "",
        "tables": "".join(_tables(shown)),
        "open": "",
        "data": _json(_data(diagram, layout, run, drawn, report, live)),
    }
    return _filled(asset("page.html"), parts)


def news(diagram: Diagram, run: RunView, report: Any = None) -> str:
    """What a page that follows a run reads again and again: a script that hands it plain data."""
    drawn = _score(diagram, run)
    told = {
        "version": _version(run),
        "run": _run(diagram, run, drawn),
        "caption": " · ".join(lay(diagram, run, report).caption),
        "timeline": _svg(drawn) if drawn else '<svg xmlns="http://www.w3.org/2000/svg"/>',
        "errors": {f"n{i}": plain(e) for i, n in enumerate(diagram.nodes) if (e := _error(n, run))},
        "measures": [[bar.what, said(bar)] for bar in run.used],
    }
    return f"dalsegnoLive({_json(told)});\n"


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with its places filled, each once: what is filled in is not looked into again."""
    out, rest = [], template
    while rest:
        before, brace, after = rest.partition("{")
        name, end, tail = after.partition("}")
        if not brace:
            out.append(before)
            break
        out += [before, parts[name] if end and name in parts else brace + name + end]
        rest = tail
    return "".join(out)


def _style() -> str:
    """The rules of the picture and the page, with the colours of both grounds as variables."""
    light, dark = variables(palette.colors()), variables(palette.colors("dark"))
    grounds = (
        f":root{{{light}}}\n"
        f'@media screen and (prefers-color-scheme:dark){{:root:not([data-theme="light"]){{{dark}}}}}\n'
        f'@media screen{{:root[data-theme="dark"]{{color-scheme:dark;{dark}}}'
        ':root[data-theme="light"]{color-scheme:light}}\n'
    )
    return f"{grounds}{rules()}\n{packed(asset('page.css'))}\n"


def _policy(script: str, style: str, live: str | None) -> str:
    """Only our script and our style; a page that follows a run may also read what that script asks for."""

    def sha(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    trusted = " 'strict-dynamic'" if live else ""
    return (
        f"default-src 'none'; script-src {sha(script)}{trusted}; style-src {sha(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: Any) -> str:
    """JSON that may stand in a script element: no ``<`` in it, and no line that JavaScript ends."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "replace").decode()


def _data(
    diagram: Diagram,
    layout: Layout,
    run: RunView | None,
    drawn: Timeline | None,
    report: Any,
    live: str | None,
) -> dict[str, Any]:
    numbers = _numbers(diagram)
    findings = _findings(report)
    boxes = {}
    for i, node in enumerate(diagram.nodes):
        boxes[f"n{i}"] = (
            _node(node, layout, numbers) | {"at": _at(layout.boxes[node.id])} | _told(node, findings, run)
        )
    for i, cluster in enumerate(diagram.clusters):
        doors = [numbers.get(cluster.entry), numbers.get(cluster.exit)]
        at: dict[str, Any] = {"at": _at(layout.frames[cluster.id]), "door": doors}
        boxes[f"c{i}"] = _box(cluster, numbers) | at | _told(cluster, findings, run)
    edges = [
        [
            numbers[e.source],
            numbers[e.target],
            e.base,
            e.details,
            e.kind,
            numbers.get(e.via) if e.via else None,
        ]
        for e in diagram.edges
    ]
    return {
        "boxes": boxes,
        "edges": edges,
        "run": _run(diagram, run, drawn) if run is not None else None,
        "version": _version(run) if run is not None else "",
        "live": live and quote(live, safe="", errors="surrogateescape"),
        "shut": [numbers[name] for name in diagram.shut],
    }


def _at(box: Box) -> list[float]:
    return [box.x, box.y, box.width, box.height]


def _numbers(diagram: Diagram) -> dict[str, str]:
    found = {node.id: f"n{i}" for i, node in enumerate(diagram.nodes)}
    return found | {cluster.id: f"c{i}" for i, cluster in enumerate(diagram.clusters)}


def _box(box: DiagramNode | Cluster, numbers: Mapping[str, str]) -> dict[str, Any]:
    outer = box.cluster if isinstance(box, DiagramNode) else box.parent
    quiet = list(card(box).quiet) if isinstance(box, DiagramNode) else [" · ".join(declared(box))]
    return {
        "name": plain(box.label),
        "path": spoken(box.id),
        "details": box.details or plain(box.label),
        "quiet": quiet,
        **({"in": numbers[outer]} if outer else {}),
    }


def _node(node: DiagramNode, layout: Layout, numbers: Mapping[str, str]) -> dict[str, Any]:
    mark = node.kind in MARKS
    found = _box(node, numbers) | {"kind": node.kind, **({"mark": 1} if mark else {})}
    if node.members:  # what is in it was never laid out, so that the page cannot unfold it
        found["details"] += " · drawn folded; a page drawn with --fold none shows what is in it"
    return found if mark else found | {"y": round(layout.boxes[node.id].middle[1], 1)}


def _told(
    box: DiagramNode | Cluster, findings: Mapping[str, list[str]], run: RunView | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (path := shown(box.id)) in findings:
        found["findings"] = findings[path]
    if run is not None and (error := _error(box, run)):
        found["error"] = plain(error)
    return found


def _error(box: DiagramNode | Cluster, run: RunView) -> str | None:
    node = run.nodes.get(box.id)
    return node.error if node is not None else None


def _findings(report: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in getattr(report, "findings", None) or ():
        for name in dict.fromkeys(getattr(finding, "path", None) or ()):
            found.setdefault(str(name), []).append(plain(f"{finding.code}: {finding.message}"))
    return found


def _run(diagram: Diagram, run: RunView, drawn: Timeline | None) -> dict[str, Any]:
    placed = score(run.executions)
    return {
        "frames": replay.frames(diagram, run),
        "labels": [counted(e, 0) if e.kind != "compensation" else e.label for e in diagram.edges],
        "ends": placed.ends,
        "first": _begun_after(run),
        "supersteps": max(placed.ends, default=0),
        "states": replay.states(run),
        "staff": {"left": drawn.left, "wide": drawn.column} if drawn else None,
        "done": run.status in _ENDED,
    }


def _begun_after(run: RunView) -> int:
    """The superstep after which a run began: that of its fork, else 0."""
    return min((e.superstep for e in run.executions if not e.entry), default=1) - 1


def _version(run: RunView) -> str:
    """Changes when anything of the run does that the page shows."""
    what = (run.status, run.executions, run.pending, run.nodes, run.used, len(run.states))
    return hashlib.sha256(repr(what).encode("utf-8", "replace")).hexdigest()[:12]


def _score(diagram: Diagram, run: RunView | None) -> Timeline | None:
    if run is None or not run.executions:
        return None
    numbers = _numbers(diagram)
    for node in diagram.nodes:
        numbers |= dict.fromkeys(node.members, numbers[node.id])
    return timeline(run, numbers=numbers)


def _svg(drawn: Timeline) -> str:
    size = f'width="{drawn.width:.0f}" height="{drawn.height:.0f}" viewBox="0 0 {drawn.width:.0f} {drawn.height:.0f}"'
    cursor = f'<rect class="cursor" x="0" y="0" width="0" height="{drawn.height:.0f}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dalsegno" role="group" aria-label="Timeline" {size}>'
        f"{cursor}{drawn.markup}</svg>"
    )


def _measures(run: RunView) -> Iterator[str]:
    for bar in run.used:
        meter = ""
        if bar.proved:
            label = escape(f"{bar.what}, used of proved")
            meter = f'<meter min="0" max="{bar.proved:g}" value="{bar.used:g}" aria-label="{label}"></meter>'
        yield f'<div class="measure">{escape(bar.what)}{meter}<span>{escape(said(bar))}</span></div>'


def _first_words(diagram: Diagram) -> str:
    """What the side panel tells before anything is picked."""
    nodes = sum(n.kind not in MARKS for n in diagram.nodes)
    counts = {"node": nodes, "edge": len(diagram.edges), "subworkflow": len(diagram.clusters)}
    words = [f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count]
    return f"{', '.join(words) or 'Nothing yet'}. Pick a node or an edge to see what it declares and did."


def _tables(diagram: Diagram) -> Iterator[str]:
    boxes: tuple[DiagramNode | Cluster, ...] = (*diagram.nodes, *diagram.clusters)
    yield "<table><caption>Nodes</caption><thead><tr><th>Node<th>Kind<th>Declared<th>Run</thead><tbody>"
    for box in boxes:
        kind = box.kind if isinstance(box, DiagramNode) else "subworkflow"
        if kind == "join":
            continue
        run = " · ".join([*box.lines, *([box.mark] if box.mark else [])])
        cells = (spoken(box.id), kind, " · ".join(box.badges), run)
        yield f'<tr><th scope="row">{escape(cells[0])}' + "".join(f"<td>{escape(cell)}" for cell in cells[1:])
    yield "</table><table><caption>Edges</caption><thead><tr><th>From<th>To<th>Kind<th>Label</thead><tbody>"
    for edge in diagram.edges:
        cells = (spoken(edge.source), spoken(edge.target), edge.kind, edge.label)
        yield f'<tr><th scope="row">{escape(cells[0])}' + "".join(f"<td>{escape(cell)}" for cell in cells[1:])
    yield "</table>"
