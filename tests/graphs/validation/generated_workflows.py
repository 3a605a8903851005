"""Small workflows made by chance, and the exhaustive search that validation is measured against.

The search knows nothing of walks or flows: it plays every superstep of every run, with all that
routers may decide, all that joins remember and all that loops have counted.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec

State = tuple[
    frozenset[str],
    frozenset[tuple[int, str]],
    tuple[tuple[str, int], ...],
    frozenset[str],
    tuple[tuple[str, int], ...],
]
"""What runs, what arrived at joins, what loops have counted, which deferred nodes wait, what runs several times."""


MOST_WAYS = 5_000
"""Most ways in which one superstep may end."""

NOTHING: State = (frozenset(), frozenset(), (), frozenset(), ())


class Builder:
    """Writes a `WorkflowSpec` the way a workflow is written."""

    def __init__(self, *nodes: str | NodeSpec) -> None:
        made = [NodeSpec(n) if isinstance(n, str) else n for n in nodes]
        self.nodes = {n.name: n for n in made}
        self.edges: list[EdgeSpec] = []

    def edge(self, source: str, *targets: str) -> Builder:
        self.edges += [EdgeSpec(source, t) for t in targets]
        return self

    def join(self, sources: tuple[str, ...], target: str) -> Builder:
        self.edges.append(EdgeSpec(sources[0], target, kind="join", sources=sources))
        return self

    def choice(self, source: str, *targets: str | tuple, many: bool = False, router: str = "r") -> Builder:
        """Each target is a name or (name, max, on_exhausted), where on_exhausted is such a target too."""
        for i, target in enumerate(targets):
            exhausted = None
            while target is not None:
                name, limit, after = target if isinstance(target, tuple) else (target, None, None)
                edge = EdgeSpec(
                    source,
                    name,
                    kind="choice",
                    router=router,
                    label=str(i),
                    many=many,
                    loop=limit,
                    exhausted_of=exhausted,
                )
                self.edges.append(edge)
                exhausted = edge.counter
                target = after
        return self

    def fan_out(self, source: str, *targets: str | tuple[str, int], router: str = "r") -> Builder:
        """Each target is (name, max), which is sent to, or a name, which is gone to."""
        for target in targets:
            name, most = target if isinstance(target, tuple) else (target, None)
            sends = most is not None
            self.edges.append(
                EdgeSpec(source, name, kind="choice", router=router, label=name, fans_out=sends, each=most)
            )
        return self

    def spec(self, name: str = "flow", **more: object) -> WorkflowSpec:
        return WorkflowSpec(name, nodes=self.nodes, edges=tuple(self.edges), **more)


def random_workflow(
    rng: random.Random,
    *,
    nodes: int = 5,
    loops: int = 0,
    forks: bool = False,
    joins: bool = False,
    defer: bool = False,
    sends: bool = False,
) -> WorkflowSpec:
    """A workflow of `nodes` nodes in a row of which each leads on, and may lead back by a loop.

    Every node has a static edge, or a choice, to later nodes or END; `loops` choices are given a way
    back of 0 to 3 rounds to a node that is not later; with `forks` some nodes lead to two later nodes
    at once; with `joins` two of them may be waited for, with `defer` some are deferred;
    with `sends` some send to one or two later nodes, and may lead to another at once.
    """
    names = [f"n{i}" for i in range(nodes)]
    made = Builder(*(NodeSpec(n, defer=defer and rng.random() < 0.3) for n in names))
    made.edge(START, names[0])
    looping: dict[int, list[tuple]] = {}
    for _ in range(loops):
        tail = rng.randrange(nodes)
        after = rng.choice([*names[tail + 1 :], END])
        looping.setdefault(tail, []).append((names[rng.randrange(tail + 1)], rng.randrange(4), after))
    for i, name in enumerate(names):
        later = names[i + 1 :]
        if i in looping:
            others = rng.sample([*later, END], k=min(len(later) + 1, rng.randint(1, 2)))
            made.choice(name, *looping[i], *others)
        elif sends and later and rng.random() < 0.4:
            targets = rng.sample(later, k=min(len(later), rng.randint(1, 2)))
            made.fan_out(
                name, *((target, rng.randint(1, 2)) for target in targets), rng.choice([*later, END])
            )
            if rng.random() < 0.4:
                made.edge(name, rng.choice(later))
        elif forks and len(later) > 1 and rng.random() < 0.4:
            made.edge(name, *rng.sample(later, k=2))
        elif later and rng.random() < 0.5:
            made.choice(name, *rng.sample([*later, END], k=min(len(later) + 1, 2)))
        else:
            made.edge(name, rng.choice(later) if later else END)
    if joins and nodes > 3:
        target = rng.randrange(2, nodes)
        sources = tuple(rng.sample(names[:target], k=2))
        made.join(sources, names[target])
    return made.spec()


def random_tangle(
    rng: random.Random, *, nodes: int = 4, joins: bool = False, exits: bool = True
) -> WorkflowSpec:
    """A workflow whose edges lead anywhere, back and forth: most of them need not end.

    With `exits` a spent loop may lead anywhere too, else to END.
    """
    names = [f"n{i}" for i in range(nodes)]
    made = Builder(*names)
    made.edge(START, rng.choice(names))
    for name in names:
        kind = rng.random()
        if kind < 0.35:
            made.edge(name, *rng.sample([*names, END], k=rng.randint(1, 2)))
        elif kind < 0.8:
            options: list[str | tuple] = [*rng.sample([*names, END], k=rng.randint(1, 2))]
            if rng.random() < 0.7:
                options.append(
                    (rng.choice(names), rng.randrange(3), rng.choice([*names, END]) if exits else END)
                )
            made.choice(name, *options, many=rng.random() < 0.2)
        else:
            made.edge(name, END)
    if joins:
        made.join(tuple(rng.sample(names, k=2)), rng.choice(names))
    return made.spec()


def longest_run(
    spec: WorkflowSpec,
    most_states: int = 20_000,
    weigh: Callable[[frozenset[str]], int] = lambda active: 1,
) -> int | None:
    """Supersteps of the longest run of all, or the most that `weigh` gives; None where a run need not end.

    Raises `OverflowError` beyond `most_states`, or `MOST_WAYS`.
    """
    start = _after(spec, NOTHING, {START: None})
    known: dict[State, int] = {}
    open_ones: set[State] = set()
    stack: list[tuple[State, Iterator[State], list[int]]] = []
    roots = list(start)
    best = 0
    for root in roots:
        if root not in known:
            stack.append((root, iter(_successors(spec, root)), [0]))
            open_ones.add(root)
        while stack:
            state, following, lengths = stack[-1]
            for after in following:
                if after in open_ones:
                    return None
                if after in known:
                    lengths.append(known[after])
                    continue
                if len(known) + len(open_ones) > most_states:
                    raise OverflowError(most_states)
                open_ones.add(after)
                stack.append((after, iter(_successors(spec, after)), [0]))
                break
            else:
                stack.pop()
                open_ones.discard(state)
                known[state] = (weigh(state[0]) if state[0] else 0) + max(lengths)
                if stack:
                    stack[-1][2].append(known[state])
        best = max(best, known[root])
    return best


def all_states(spec: WorkflowSpec, most_states: int = 20_000) -> set[State]:
    """Every state that some run comes to."""
    found: set[State] = set()
    ahead = list(_after(spec, NOTHING, {START: None}))
    while ahead:
        state = ahead.pop()
        if state not in found:
            found.add(state)
            ahead.extend(_successors(spec, state))
        if len(found) > most_states:
            raise OverflowError(most_states)
    return found


def _successors(spec: WorkflowSpec, state: State) -> set[State]:
    return _after(spec, state, dict.fromkeys(sorted(state[0]))) if state[0] else set()


def _after(spec: WorkflowSpec, state: State, active: dict[str, None]) -> set[State]:
    """The states that can follow: every combination of what the active nodes may decide."""
    _, barrier, counters, waiting, several = state
    deferred = {n.name for n in spec.nodes.values() if n.defer}
    used = dict(counters)
    tasks = dict(several)
    per_node = [_outcomes(spec, name, used) for name in active for _ in range(tasks.get(name, 1))]
    if math.prod(map(len, per_node)) > MOST_WAYS:
        raise OverflowError(MOST_WAYS)
    found = set()
    for combination in itertools.product(*per_node):
        targets: set[str] = set()
        sent: list[str] = []
        arrived = set(barrier)
        count = dict(used)
        for going, sending, joining, counting in combination:
            targets |= going
            sent += sending
            arrived |= joining
            for key in counting:
                count[key] = count.get(key, 0) + 1
        full = {
            i: {(i, o) for o in edge.origins}
            for i, edge in enumerate(spec.edges)
            if edge.kind == "join" and {(i, o) for o in edge.origins} <= arrived
        }
        targets |= {spec.edges[i].target for i in full}
        running = frozenset(targets - deferred - {END})
        late = waiting | (targets & deferred)
        if not running:
            running, late = late, frozenset()
        for i, arrivals in full.items():  # a deferred node is joined until it runs
            if spec.edges[i].target not in late:
                arrived -= arrivals
        again = Counter([*sent, *(running & set(sent))])
        times = tuple(sorted((name, n) for name, n in again.items() if n > 1))
        found.add((running | set(sent), frozenset(arrived), tuple(sorted(count.items())), late, times))
    return found


def _outcomes(spec: WorkflowSpec, name: str, used: dict[str, int]) -> list[tuple[set, list, set, tuple]]:
    """What one execution may lead to: (targets, what it sends to, arrivals at joins, loops taken)."""
    static = {e.target for e in spec.edges if e.kind == "static" and e.source == name}
    arrivals = {(i, name) for i, e in enumerate(spec.edges) if e.kind == "join" and name in e.origins}
    groups: dict[str | None, list[EdgeSpec]] = {}
    for edge in spec.edges:
        if edge.kind == "choice" and edge.source == name:
            groups.setdefault(edge.router, []).append(edge)
    options = []
    for edges in groups.values():
        single = []
        for edge in (e for e in edges if e.exhausted_of is None):
            taken: EdgeSpec | None = edge
            while taken is not None and taken.loop is not None and used.get(taken.counter, 0) >= taken.loop:
                taken = next((e for e in edges if e.exhausted_of == taken.counter), None)
            if taken is not None:
                single.append(taken)
        if edges[0].many:
            options.append([s for n in range(1, len(single) + 1) for s in itertools.combinations(single, n)])
        else:
            sending = [e for e in single if e.fans_out]
            options.append([(s,) for s in single] + ([tuple(sending)] if len(sending) > 1 else []))
    found = []
    for combination in itertools.product(*options):
        chosen = [e for group in combination for e in group]
        counting = tuple(e.counter for e in chosen if e.loop is not None)
        sent = [e.target for e in chosen if e.fans_out for _ in range(e.each)]
        found.append((static | {e.target for e in chosen if not e.fans_out}, sent, arrivals, counting))
    return found
