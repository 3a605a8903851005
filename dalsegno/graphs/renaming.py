"""A workflow under the node names that one of its runs began with.

A run whose nodes were renamed goes on under the names it was checkpointed with: its pending tasks, the
namespaces of its subworkflows, the ids of its questions, its counters and its idempotency keys are all made of
names, and all stay valid, because nothing in the database is rewritten.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dalsegno.errors import InputInvalid
from dalsegno.graphs.langgraph_names import graph_as_it_was
from dalsegno.graphs.model import Each, EdgeSpec, Loop, Target, counter_parts
from dalsegno.nodes.paths import coded, name_of, shown

if TYPE_CHECKING:
    from dalsegno.graphs.definitions import NodeDefinition, RouterDefinition
    from dalsegno.graphs.workflow import Workflow


def as_it_was(
    workflow: Workflow, rename: Mapping[str, str], used: Mapping[str, int] | None = None
) -> Workflow:
    """A copy of today's workflow for a run that began in another: the renamed nodes bear their old names.

    Every execution of it is counted, for a node that was proved to run once may run more often in the changed
    graph; and what is proved for today's graph holds from here on, on top of what was used before. Routers and
    commands still name nodes as they are called today; the copy translates.

    Parameters
    ----------
    workflow
        Today's.
    rename
        `{old place: today's place}`; ``"sub/draft"`` is a node of a subworkflow (`nodes/paths.py`).
    used
        The supersteps used so far, by the old place of a workflow (``"sub/"``, empty for the outermost).

    Raises
    ------
    InputInvalid
        A new name is none of today's nodes, or an old one is.
    """
    supersteps = {
        today(path[:-1], rename) + "/" if path else "": count for path, count in (used or {}).items()
    }
    return _renamed(workflow, {new: old for old, new in rename.items()}, "", supersteps)


def today(path: str, rename: Mapping[str, str]) -> str:
    """A node's place in today's names: the longest beginning of it that was renamed is replaced."""
    parts = path.split("/")
    for length in range(len(parts), 0, -1):
        head = "/".join(parts[:length])
        if head in rename:
            return "/".join([rename[head], *parts[length:]])
    return path


def way_today(
    way: tuple[str, str | None, str | None], prefix: str, rename: Mapping[str, str]
) -> tuple[str, str | None, str | None]:
    """A way that was taken in the workflow at `prefix` (target, label, counter), in today's names."""

    def now(name: str) -> str:
        return name_of(today(prefix + coded(name), rename))

    target, label, counter = way
    if counter is not None:
        source, router, answer, to = counter_parts(counter)
        counter = "|".join((now(source), router, now(to) if answer == to else answer, now(to)))
    return now(target), now(target) if label == target else label, counter


def _renamed(workflow: Workflow, old_of: Mapping[str, str], path: str, used: Mapping[str, int]) -> Workflow:
    names = {n: name_of(old_of[path + coded(n)]) for n in workflow.nodes if path + coded(n) in old_of}
    for name, old in names.items():
        if old in workflow.nodes:
            raise InputInvalid(
                f"`{shown(path)}{old}` cannot be called `{shown(path)}{name}` now: the graph has both. "
                "Rename only what is gone.",
                key="rename",
                expected=None,
            )
    made = copy.copy(workflow)
    made.aliases = names
    made.used_before = used.get(path, 0)
    made.nodes = {
        names.get(name, name): _node(node, names, old_of, f"{path}{coded(name)}/", used)
        for name, node in workflow.nodes.items()
    }
    # The answers that are the names of their targets; behind a spent loop they go by the first one's.
    named = frozenset((e.source, e.router or "", e.label) for e in workflow.edges if e.label == e.target)
    made.edges = [_edge(edge, names, named) for edge in workflow.edges]
    made.routers = [_router(router, names) for router in workflow.routers]
    # A place may also be the workflow's name or a key of the state, which is what it was.
    waived = [(code, _waived(place, path, old_of), why) for code, place, why in workflow.waivers]
    made.waivers = list(dict.fromkeys((*workflow.waivers, *waived)))
    return made


def _waived(place: str, path: str, old_of: Mapping[str, str]) -> str:
    """The place of a waiver (``"node"``, ``"a->b"``, ``"node/a->b"`` of what is in a graph of LangGraph's)."""
    here = path + coded(place)
    if here in old_of:
        return name_of(old_of[here])
    node, slash, inside = place.partition("/")
    if slash:
        return f"{_waived(node, path, old_of)}/{_waived(inside, f'{path}{coded(node)}/', old_of)}"
    source, arrow, target = place.partition("->")
    return f"{_waived(source, path, old_of)}->{_waived(target, path, old_of)}" if arrow else place


def _node(
    node: NodeDefinition,
    names: Mapping[str, str],
    old_of: Mapping[str, str],
    inside: str,
    used: Mapping[str, int],
) -> NodeDefinition:
    from dalsegno.graphs.workflow import Workflow

    action = node.action
    if isinstance(action, Workflow):
        action = _renamed(action, old_of, inside, used)  # described with the workflow that it is in
    elif within := {new: old for new, old in old_of.items() if new.startswith(inside)}:
        depth = inside.count("/")
        rename = {_below(old, depth): _below(new, depth) for new, old in within.items()}
        action = graph_as_it_was(action, rename, inside)
    handler = node.handler
    return replace(
        node,
        name=names.get(node.name, node.name),
        action=action,
        destinations={key: _target(target, names) for key, target in node.destinations.items()},
        handler=replace(
            handler, destinations={key: _target(t, names) for key, t in handler.destinations.items()}
        )
        if handler is not None
        else None,
        said={**node.said, "compensate": names.get(node.said["compensate"], node.said["compensate"])}
        if "compensate" in node.said
        else node.said,
    )


def _below(path: str, depth: int) -> str:
    return path.split("/", depth)[-1]


def _router(router: RouterDefinition, names: Mapping[str, str]) -> RouterDefinition:
    targets: dict[Hashable, Target] = {key: _target(target, names) for key, target in router.targets.items()}
    return replace(router, source=names.get(router.source, router.source), targets=targets)


_Named = frozenset[tuple[str, str, str | None]]


def _edge(edge: EdgeSpec, names: Mapping[str, str], named: _Named) -> EdgeSpec:
    is_name = (edge.source, edge.router or "", edge.label) in named
    return replace(
        edge,
        source=names.get(edge.source, edge.source),
        sources=tuple(names.get(source, source) for source in edge.sources),
        target=names.get(edge.target, edge.target),
        label=names.get(edge.label, edge.label) if is_name and edge.label is not None else edge.label,
        exhausted_of=_counter(edge.exhausted_of, names, named),
    )


def _counter(counter: str | None, names: Mapping[str, str], named: _Named) -> str | None:
    if counter is None:
        return None
    source, router, label, target = counter_parts(counter)
    said = names.get(label, label) if label == target or (source, router, label) in named else label
    return "|".join((names.get(source, source), router, said, names.get(target, target)))


def _target(target: Target, names: Mapping[str, str]) -> Target:
    if isinstance(target, Loop):
        spent = target.on_exhausted
        return replace(
            target,
            target=names.get(target.target, target.target),
            on_exhausted=_target(spent, names) if spent is not None else None,  # type: ignore[arg-type]  # no Each
        )
    if isinstance(target, Each):
        return replace(target, target=names.get(target.target, target.target))
    return names.get(target, target)
