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
    for old, new in ((name_of(old), name_of(new)) for old, new in here.items()):
        nodes[old] = nodes[new].copy({"triggers": [_TO + old]})
        channels[_TO + old] = channels[_TO + new].copy()  # type: ignore[union-attr]  # of a node it is a channel
    return graph.copy({"nodes": nodes, "channels": channels})


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
