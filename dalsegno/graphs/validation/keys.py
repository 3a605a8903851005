"""Which keys of the state may be missing where: a flow of sets along the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from dalsegno.graphs.model import END, START
from dalsegno.graphs.validation.arcs import branches
from dalsegno.graphs.validation.facts import Facts


def possibly_missing(facts: Facts, keys: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """The keys of `keys` that some path from START leaves unwritten until a node.

    Where an edge has one source a key is missing behind it if it was before and the source does not write
    it; a join lacks what all of its sources lack. Nodes whose writes are not known write everything.
    Loops change nothing: whatever is written before them stays.
    """
    bit = {key: 1 << i for i, key in enumerate(keys)}
    everything = (1 << len(keys)) - 1
    behind: dict[str, int] = {START: everything}
    found: dict[str, frozenset[str]] = {}
    into: dict[str, list[tuple[str, ...]]] = {}
    for arc in facts.live:
        if arc.edge.loop is None and arc.target != END:
            origins = arc.edge.origins if arc.edge.kind == "join" else (arc.source,)
            into.setdefault(arc.target, []).append(origins)
    for name in facts.topological:
        if name in (START, END):
            continue
        missing = 0
        for origins in into.get(name, ()):
            lacking = everything
            for origin in origins:
                lacking &= behind.get(origin, everything)
            missing |= lacking
        writes = facts.writes_of(name)
        written = everything if writes is None else sum(bit.get(k, 0) for k in writes)
        behind[name] = missing & ~written
        if missing:
            found[name] = frozenset(k for k in keys if missing & bit[k])
    return found


def path_without(facts: Facts, name: str, key: str) -> tuple[str, ...] | None:
    """The shortest path from START to a node on which nobody writes `key`; None where one may be written.

    None too where a branch beside the path may write it in time.
    """
    writers = {n.name for n in facts.order if _writes(facts, n.name, key)}
    came: dict[str, str] = {}
    level = [START]
    while level and name not in came:
        following = []
        for source in level:
            for arc in facts.out.get(source, ()):
                if arc.edge.loop is None and arc.target != END and arc.target not in came:
                    came[arc.target] = source
                    if arc.target not in writers:
                        following.append(arc.target)
        level = following
    if name not in came:
        return None
    path = [name]
    while path[-1] != START:
        path.append(came[path[-1]])
    path.reverse()
    return None if _written_beside(facts, path, writers - {name}) else tuple(path)


def _writes(facts: Facts, name: str, key: str) -> bool:
    writes = facts.writes_of(name)
    return writes is None or key in writes


def _written_beside(facts: Facts, path: Sequence[str], writers: set[str]) -> bool:
    """Whether a branch that leaves the path, and runs beside the rest of it, leads to a writer."""
    if not facts.parallel:
        return False
    import networkx as nx

    on_path = set(path)
    for name, onto in pairwise(path):
        groups = branches(facts.out.get(name, ()), facts.spec.exact_choices)
        for group in groups:
            if any(a.target == onto for a in group):
                continue
            for arc in group:
                reached = nx.descendants(facts.free, arc.target) | {arc.target}
                if writers & (reached - on_path):
                    return True
    return False


def is_product(facts: Facts, reader: str, key: str) -> bool:
    """Whether other nodes make a key for a reader, rather than improve what the input may hold.

    Nobody who writes it reads it, the reader does not write it, and a writer leads to the reader without a
    loop, or not at all (then the two are in the wrong order).
    """
    writers = [n for n in facts.order if key in (facts.writes_of(n.name) or ())]
    if not writers or any(n.name == reader or key in (n.reads or ()) for n in writers):
        return False
    import networkx as nx

    names = {n.name for n in writers}
    in_order = reader in facts.free and names & nx.ancestors(facts.free, reader)
    return bool(in_order) or not names & nx.ancestors(facts.graph, reader)
