"""A compiled LangGraph graph under the node names that one of its runs began with.

Only what is pending goes by a node's old name: today's node is found under both, at any depth. The graph is copied,
never changed.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from dalsegno.errors import InputInvalid
from dalsegno.nodes.paths import name_of, shown

_TO = "branch:to:"


def graph_as_it_was(graph: Any, rename: Mapping[str, str], path: str = "") -> Any:
    """A copy of a compiled graph in which pending nodes are found under their old names too.

    Parameters
    ----------
    graph
        Today's.
    rename
        `{old place: today's place}` (`nodes/paths.py`), as seen from this graph; ``"sub/draft"`` is a node of a
        subgraph.
    path
        That of the graph itself, for what is said of it (``"outer/"``).

    Raises
    ------
    InputInvalid
        A node is inside of one that holds no graph, or was moved into another graph.
    """
    from langgraph.pregel import Pregel

    if not isinstance(graph, Pregel):
        raise _not_mapped(path + next(iter(rename)), f"`{shown(path[:-1])}` runs its graph by itself")
    here = {old: new for old, new in rename.items() if "/" not in old and "/" not in new}
    inside: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for old, new in rename.items():
        if old in here:
            continue
        graph_then, _, old_inside = old.partition("/")
        graph_now, _, new_inside = new.partition("/")
        if here.get(graph_then, graph_then) != graph_now or not old_inside or not new_inside:
            raise _not_mapped(path + old, f"`{shown(path + new)}` is in another graph")
        inside[graph_now][old_inside] = new_inside
    nodes, channels = dict(graph.nodes), dict(graph.channels)
    for place, renamed in inside.items():
        name = name_of(place)
        nodes[name] = _with_old_names_inside(nodes[name], renamed, f"{path}{place}/")
    renamed_here = {name_of(old): name_of(new) for old, new in here.items()}
    _restore_joins(graph, {new: old for old, new in renamed_here.items()}, nodes, channels)
    for old, new in renamed_here.items():
        nodes[old] = nodes[new].copy({"triggers": [_TO + old]})
        channels[_TO + old] = channels[_TO + new].copy()  # type: ignore[union-attr]  # of a node it is a channel
    return graph.copy({"nodes": nodes, "channels": channels})


def _restore_joins(
    graph: Any, then: Mapping[str, str], nodes: dict[str, Any], channels: dict[str, Any]
) -> None:
    """Give joins of renamed nodes (`then` is ``{today's name: old name}``) the channels that they had: what the run's
    nodes have told a join is kept, or waits to be applied, under that name."""
    for sources, target in getattr(getattr(graph, "builder", None), "waiting_edges", ()):
        now = f"join:{'+'.join(sources)}:{target}"
        was = f"join:{'+'.join(then.get(name, name) for name in sources)}:{then.get(target, target)}"
        if was == now or now not in channels:
            continue
        channels[was] = type(channels[now])(str, {then.get(name, name) for name in sources})
        channels[was].key = was
        nodes[target] = nodes[target].copy(
            {"triggers": [was if t == now else t for t in nodes[target].triggers]}
        )
        for name in sources:
            told = {"channel": was, "value": then.get(name, name)}
            nodes[name] = nodes[name].copy({"writers": [_told(w, now, told) for w in nodes[name].writers]})


def _told(writer: Any, channel: str, instead: Mapping[str, Any]) -> Any:
    """A writer of a node that writes something else to that channel."""
    writes = getattr(writer, "writes", ())
    if not any(getattr(write, "channel", None) == channel for write in writes):
        return writer
    return type(writer)(
        [w._replace(**instead) if getattr(w, "channel", None) == channel else w for w in writes],
        tags=writer.tags,
    )


def _with_old_names_inside(node: Any, rename: Mapping[str, str], path: str) -> Any:
    from langgraph.pregel import Pregel

    bound = node.bound
    if isinstance(bound, Pregel):
        held = bound = graph_as_it_was(bound, rename, path)
    else:  # whoever watches it holds it
        bound = copy.copy(bound)
        held = bound.bound = graph_as_it_was(getattr(bound, "bound", None), rename, path)
    return node.copy({"bound": bound, "subgraphs": [held]})


def _not_mapped(old: str, why: str) -> InputInvalid:
    return InputInvalid(
        f"`{shown(old)}` cannot be mapped: {why}. Give it its old name back.", key="rename", expected=None
    )
