"""Which keys of the state may be missing where: a flow of sets along the graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec
from dalsegno.graphs.validation.arcs import Arc, branches
from dalsegno.graphs.validation.facts import Facts

DEEPEST = 50
"""How many loops are looked into that lie within each other: what is deeper is taken to write."""


def possibly_missing(facts: Facts, keys: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """The keys of `keys` that some path from START leaves unwritten until a node.

    Where an edge has one source a key is missing behind it if it was before and the source does not write
    it; a join lacks what all of its sources lack. Nodes whose writes are not known write everything.
    Loops change nothing: whatever is written before them stays. A node that is sent to reads what it was sent. What an
    error handler writes is not known.
    """
    bit = {key: 1 << i for i, key in enumerate(keys)}
    everything = (1 << len(keys)) - 1
    behind: dict[str, int] = {START: everything}
    found: dict[str, frozenset[str]] = {}
    into: dict[str, list[tuple[bool, tuple[str, ...]]]] = {}
    for arc in facts.live:
        if arc.edge.loop is None and arc.target != END and not _may_fill_in(facts, arc):
            origins = arc.edge.origins if arc.edge.kind == "join" else (arc.source,)
            into.setdefault(arc.target, []).append((arc.edge.fans_out, origins))
    for name in facts.topological:
        if name in (START, END):
            continue
        missing = unread = 0
        for is_sent, origins in into.get(name, ()):
            lacking = everything
            for origin in origins:
                lacking &= behind.get(origin, everything)
            missing |= lacking
            unread |= 0 if is_sent else lacking
        writes = facts.writes_of(name)
        written = everything if writes is None else sum(bit.get(k, 0) for k in writes)
        behind[name] = missing & ~written
        if unread:
            found[name] = frozenset(k for k in keys if unread & bit[k])
    return found


def path_without(facts: Facts, name: str, key: str) -> tuple[str, ...] | None:
    """The shortest path from START to a node on which nobody writes `key`; None where one may be written.

    It does not end with a send: what is sent is read as it was sent. None too where a branch beside the path may write
    it in time. What follows a loop that is spent follows a round.
    """
    writers = {n.name for n in facts.order if _writes(facts, n.name, key)}
    walk = _Walks(facts, writers).from_start(name)
    if walk is None or _written_beside(facts, walk, writers - {name}):
        return None
    return (START, *(arc.target for arc in walk))


class _Walks:
    """Walks that meet no writer before their end."""

    def __init__(self, facts: Facts, writers: set[str]) -> None:
        self._facts = facts
        self._writers = writers
        self._rounds: dict[str, list[Arc] | None] = {}
        self._within = 0

    def from_start(self, goal: str) -> list[Arc] | None:
        """The shortest from START to a node, with a round of each loop that it leaves spent unless that is long."""
        walk = self._shortest(START, goal)
        told = walk and [step for arc in walk for step in (*(self._spent(arc.edge) or ()), arc)]
        return told if told and len(told) <= len(self._facts.arcs) else walk

    def _shortest(self, start: str, goal: str, within: Collection[str] | None = None) -> list[Arc] | None:
        came: dict[str, Arc] = {}
        level = [start]
        while level and goal not in came and start != goal:
            following = []
            for source in level:
                for arc in self._facts.out.get(source, ()):
                    target = arc.target
                    if arc.edge.loop is not None or target == END or target in came:
                        continue
                    if (arc.edge.fans_out and target == goal) or _may_fill_in(self._facts, arc):
                        continue
                    if within is not None and target not in within:
                        continue
                    if arc.edge.kind == "join" and not self._writers.isdisjoint(arc.edge.origins):
                        continue  # all of them have run
                    if self._spent(arc.edge) is None:
                        continue
                    came[target] = arc
                    if target not in self._writers:
                        following.append(target)
            level = following
        backwards: list[Arc] = []
        at = goal
        while at != start:
            if at not in came:
                return None
            backwards.append(came[at])
            at = came[at].source
        return backwards[::-1]

    def _spent(self, edge: EdgeSpec) -> list[Arc] | None:
        """A round of each loop that is spent before this edge is taken; None where a writer is on every one."""
        loop = next(self._facts.ways_out.before(edge), None)
        if loop is None:
            return []
        before = self._spent(loop)
        if before is None or not loop.loop:
            return before
        if loop.counter not in self._rounds:
            if self._within == DEEPEST:
                return None
            self._within += 1
            self._rounds[loop.counter] = []  # while it is looked for within itself
            self._rounds[loop.counter] = self._round(loop)
            self._within -= 1
        around = self._rounds[loop.counter]
        return None if around is None else [*before, *around]

    def _round(self, loop: EdgeSpec) -> list[Arc] | None:
        if loop.target in self._writers:
            return None
        home = self._facts.component_of.get(loop.source)
        inside = () if home is None else self._facts.components[home]
        back = self._shortest(loop.target, loop.source, inside)
        return None if back is None else [Arc(loop.source, loop.target, loop), *back]


def _may_fill_in(facts: Facts, arc: Arc) -> bool:
    """Whether who goes this way may write what is not known of the node that it leaves: an error handler that is no
    node, or a node of a subworkflow, by a `Command` to the parent."""
    if arc.edge.kind == "command":
        source = facts.nodes.get(arc.source)
        return source is not None and source.child is not None
    return arc.edge.kind == "handler" and facts.nodes[arc.target].kind != "handler"


def _writes(facts: Facts, name: str, key: str) -> bool:
    writes = facts.writes_of(name)
    return writes is None or key in writes


def _written_beside(facts: Facts, path: Sequence[Arc], writers: set[str]) -> bool:
    """Whether a branch that leaves the path leads to a writer that runs before the path's last node does.

    Branches go in step, one node a superstep, except where the path waits: at a join, for the rounds of a loop, for a
    handler, or for all others.
    """
    if not facts.parallel:
        return False
    import networkx as nx

    on_path = {START, *(arc.target for arc in path)}
    waits = max((i for i, arc in enumerate(path) if _waits(facts, arc)), default=-1)
    for i, step in enumerate(path):
        within = None if i <= waits else len(path) - i - 2
        if within is not None and within < 0:
            continue
        for group in branches(facts.out.get(step.source, ()), facts.spec.exact_choices):
            if any(a.target == step.target for a in group):
                continue
            for arc in group:
                reached = nx.single_source_shortest_path_length(facts.free, arc.target, cutoff=within)
                if writers & (reached.keys() - on_path):
                    return True
    return False


def _waits(facts: Facts, arc: Arc) -> bool:
    edge = arc.edge
    return edge.kind in ("join", "handler") or edge.exhausted_of is not None or facts.nodes[arc.target].defer


def is_product(facts: Facts, reader: str, key: str) -> bool:
    """Whether other nodes make a key for a reader, rather than improve what the input may hold.

    Nobody who writes it reads it, the reader does not write it, and a writer leads to the reader without a
    loop, or not at all (then the two are in the wrong order).
    """
    writers = [n for n in facts.order if key in (facts.writes_of(n.name) or ())]
    if not writers or any(n.name == reader or _may_improve(n, key) for n in writers):
        return False
    import networkx as nx

    names = {n.name for n in writers}
    in_order = reader in facts.free and names & nx.ancestors(facts.free, reader)
    return bool(in_order) or not names & nx.ancestors(facts.graph, reader)


def _may_improve(node: NodeSpec, key: str) -> bool:
    """Whether a writer of a key reads it; in a pattern one of which that is not known may, for the order is right."""
    return key in node.reads if node.reads is not None else "pattern" in node.metadata
