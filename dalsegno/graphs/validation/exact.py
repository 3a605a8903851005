"""The heaviest walk through one component, exactly: an integer program with connectivity cuts.

Variables count how often each step is taken. What enters a node leaves it; loops keep their counts; what
does not hang together with the entry is cut off, until the solution is one walk. Solved by HiGHS through
`scipy.optimize.milp`, limited in nodes of the search, never in time: the same answer on every machine.

Source: implicit path enumeration (Li & Malik 1995), with the cuts of the travelling salesman
(Dantzig, Fulkerson & Johnson 1954).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dalsegno.errors import MissingExtra
from dalsegno.graphs.validation.circulation import Bounded

MOST_ROUNDS = 200
"""Most times the program is solved for one component."""
MOST_NODES = 20_000
"""Most nodes of the solver's search tree; beyond it, the linear bound stays."""
MOST_TIMES = 100_000
"""Most rounds of loops together: beyond it, floating point would not count them exactly."""

Step = tuple[int, int, str | None]


@dataclass(frozen=True)
class ExactWalk:
    """The heaviest walk: how often it takes each step, and the step by which it leaves."""

    value: int
    uses: Mapping[Step, int]
    last: int
    exit: tuple[int, str | None]


@dataclass(frozen=True)
class Exit:
    """A way out of the component: from a node, on to a node (-1: the end), worth `ahead` from there."""

    source: int
    target: int
    key: str | None
    ahead: int


class _Program:
    """Rows and columns as they are written down, and then solved."""

    def __init__(self) -> None:
        self.gain: list[int] = []
        self.most: list[int] = []
        self.rows: list[tuple[dict[int, int], float, float]] = []

    def column(self, gain: int, most: int) -> int:
        self.gain.append(gain)
        self.most.append(most)
        return len(self.gain) - 1

    def row(self, terms: Mapping[int, int], least: float, most: float) -> None:
        self.rows.append((dict(terms), least, most))

    def solve(self) -> list[int] | None:
        milp, bounds, constraint, matrix = _scipy()
        data, rows, columns = [], [], []
        for i, (terms, _, _) in enumerate(self.rows):
            for column, factor in terms.items():
                data.append(factor)
                rows.append(i)
                columns.append(column)
        shape = (len(self.rows), len(self.gain))
        result = milp(
            [-g for g in self.gain],
            integrality=[1] * len(self.gain),
            bounds=bounds([0] * len(self.gain), self.most),
            constraints=constraint(
                matrix((data, (rows, columns)), shape=shape).tocsr(),
                [least for _, least, _ in self.rows],
                [most for _, _, most in self.rows],
            ),
            options={"mip_rel_gap": 0, "node_limit": MOST_NODES},
        )
        return [round(x) for x in result.x] if result.status == 0 else None


def _scipy() -> tuple[Any, Any, Any, Any]:
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import coo_matrix
    except ImportError as missing:
        raise MissingExtra(
            "the exact bound needs scipy. Use `pip install 'dalsegno[exact]'`, or leave `exact` out.",
            extra="exact",
        ) from missing
    return milp, Bounds, LinearConstraint, coo_matrix


def exact_walk(
    entry: int,
    *,
    members: Iterable[int],
    weight: Sequence[int],
    free: Sequence[Sequence[int]],
    loops: Sequence[Bounded],
    exits: Sequence[Exit],
    needs: Mapping[Step, frozenset[str]],
) -> ExactWalk | None:
    """The heaviest walk from `entry` through a component and out of it; None where it is not decided.

    `needs` names the steps that are open only once one of some loops is spent.

    Raises `MissingExtra` without scipy.
    """
    inside = set(members)
    total = sum(loop.times for loop in loops)
    if total > MOST_TIMES:
        return None
    program = _Program()
    steps: dict[Step, int] = {}
    for v in sorted(inside):
        for t in free[v]:
            if t in inside and (v, t, None) not in steps:
                steps[v, t, None] = program.column(weight[v], total + 1)
    for loop in loops:
        steps[loop.tail, loop.head, loop.key] = program.column(weight[loop.tail], loop.times)
    ways = {program.column(weight[e.source] + e.ahead, 1): e for e in exits}

    around: dict[int, dict[int, int]] = {v: defaultdict(int) for v in inside}
    for (v, t, _), column in steps.items():
        around[v][column] -= 1
        around[t][column] += 1
    for column, way in ways.items():
        around[way.source][column] -= 1
    for v, terms in around.items():
        program.row({c: f for c, f in terms.items() if f}, -(v == entry), -(v == entry))
    taken: dict[str, dict[int, int]] = defaultdict(dict)
    for (_, _, key), column in steps.items():
        if key is not None:
            taken[key][column] = 1
    times = {loop.key: loop.times for loop in loops}
    for key, terms in taken.items():
        program.row(terms, 0, times[key])
    _after_spending(program, steps, ways, needs, taken, times, total + 1)

    for _ in range(MOST_ROUNDS):
        found = program.solve()
        if found is None:
            return None
        way = next(e for column, e in ways.items() if found[column])
        uses = {step: found[column] for step, column in steps.items() if found[column]}
        apart = _apart(entry, uses)
        if not apart:
            value = sum(g * x for g, x in zip(program.gain, found, strict=True))
            return ExactWalk(value, uses, way.source, (way.target, way.key))
        for island in apart:
            entering = {c: -1 for (v, t, _), c in steps.items() if t in island and v not in island}
            for (v, t, key), column in steps.items():
                if key is not None and v in island and t in island:
                    bound = times[key]
                    program.row({column: 1, **{c: f * bound for c, f in entering.items()}}, -float("inf"), 0)
    return None


def _after_spending(
    program: _Program,
    steps: Mapping[Step, int],
    ways: Mapping[int, Exit],
    needs: Mapping[Step, frozenset[str]],
    taken: Mapping[str, Mapping[int, int]],
    times: Mapping[str, int],
    most: int,
) -> None:
    """Steps that wait for a loop are taken only if that loop is taken as often as it may be."""
    spent: dict[str, int] = {}
    closed = {column: needs[step] for step, column in steps.items() if step in needs}
    for column, way in ways.items():
        step = (way.source, way.target, way.key)
        if step in needs:
            closed[column] = needs[step]
    for column, keys in closed.items():
        switches = {}
        for key in sorted(keys):
            if key not in taken:
                break
            if key not in spent:
                spent[key] = program.column(0, 1)
                program.row({spent[key]: -times[key], **taken[key]}, 0, float("inf"))
            switches[spent[key]] = -most
        else:
            program.row({column: 1, **switches}, -float("inf"), 0)


def _apart(entry: int, uses: Mapping[Step, int]) -> list[set[int]]:
    """The nodes of used steps that do not hang together with `entry`, in groups that do."""
    import networkx as nx

    graph: Any = nx.Graph()
    graph.add_node(entry)
    graph.add_edges_from((v, t) for v, t, _ in uses)
    return [set(group) for group in nx.connected_components(graph) if entry not in group]
