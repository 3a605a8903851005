"""How long a check takes: by size and shape, and with `--exact`.

``python -m benchmarks.validation_speed``. Times are the processor's, the least of a few rounds: what else the
machine does only adds.
"""

from __future__ import annotations

import importlib.util
import random
import time
from collections.abc import Iterator
from types import ModuleType

from benchmarks.validation_tightness import generator
from dalsegno.graphs.model import END, START, WorkflowSpec
from dalsegno.graphs.validation import check

SIZES = (50, 1_000, 10_000, 100_000)
GATES = {50: 0.02, 10_000: 0.5, 100_000: 5.0}
"""Seconds that a check of so many nodes may take."""

EXACT_NODES, EXACT_LOOPS, EXACT_GATE = 1_000, 50, 1.0


def shape(made: ModuleType, size: int, kind: str) -> WorkflowSpec:
    """A long workflow: a chain, one with a loop or a fork every ten nodes, one whose loops nest."""
    names = [f"n{i}" for i in range(size)]
    builder = made.Builder(*names).edge(START, names[0])
    for i in range(size - 1):
        here, there = names[i], names[i + 1]
        if i % 10 == 9 and kind in ("loops", "nested"):
            back = names[i - 5] if kind == "loops" else names[i // 2]
            builder.choice(here, there, (back, 3, END))
        elif i % 10 == 0 and kind == "forks" and i < size - 3:
            builder.edge(here, there, names[i + 2])
        else:
            builder.edge(here, there)
    found: WorkflowSpec = builder.edge(names[-1], END).spec()
    return found


def tangled(made: ModuleType, nodes: int, loops: int, seed: int) -> WorkflowSpec:
    """A workflow with shortcuts and loops everywhere, whose spent loops lead to later nodes or the end."""
    chance = random.Random(seed)
    names = [f"n{i}" for i in range(nodes)]
    builder = made.Builder(*names).edge(START, names[0])
    tails = set(chance.sample(range(20, nodes - 10), loops))
    for i in range(nodes - 1):
        ahead = [names[i + 1]]
        if chance.random() < 0.3 and i < nodes - 10:
            ahead.append(names[i + chance.randint(2, 9)])
        if i in tails:
            spent = chance.choice([names[min(i + chance.randint(2, 40), nodes - 1)], END])
            again = (names[max(0, i - chance.randint(5, 120))], chance.randint(1, 5), spent)
            builder.choice(names[i], *ahead, again)
        elif len(ahead) > 1:
            builder.choice(names[i], *ahead)
        else:
            builder.edge(names[i], *ahead)
    found: WorkflowSpec = builder.edge(names[-1], END).spec()
    return found


def crossroads(made: ModuleType, nodes: int, loops: int, seed: int) -> WorkflowSpec:
    """A road with crossings of three ways, each with a loop of its own, gone along twice: not all ways can be
    taken, which the linear bound does not see."""
    chance = random.Random(seed)
    crossings = (loops - 1) // 3
    plain = (nodes - 4 * crossings - 1) // crossings
    names: list[str] = []
    for c in range(crossings):
        names += [f"c{c}", *(f"c{c}_{way}" for way in "xyz"), *(f"c{c}_{i}" for i in range(plain))]
    names.append("end")
    builder = made.Builder(*names).edge(START, "c0")
    for c in range(crossings):
        ways = [f"c{c}_{way}" for way in "xyz"]
        builder.choice(f"c{c}", *ways)
        for way in ways:
            builder.choice(way, f"c{c}_0", (way, chance.randint(1, 9), f"c{c}_0"))
        for i in range(plain - 1):
            builder.edge(f"c{c}_{i}", f"c{c}_{i + 1}")
        builder.edge(f"c{c}_{plain - 1}", f"c{c + 1}" if c + 1 < crossings else "end")
    found: WorkflowSpec = builder.choice("end", END, ("c0", 1, END)).spec()
    return found


def seconds(spec: WorkflowSpec, *, exact: bool = False, rounds: int = 3) -> float:
    """The least time of a check in seconds of the processor, in all threads."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        check(spec, exact=exact)
        times.append(time.process_time() - began)
    return min(times)


def rows() -> Iterator[str]:
    """The tables in Markdown."""
    made = generator()
    check(shape(made, 20, "loops"))
    yield "| seconds for a check of … nodes | " + " | ".join(f"{n:,}" for n in SIZES) + " |"
    yield "|---|" + "--:|" * len(SIZES)
    for kind in ("chain", "loops", "nested", "forks"):
        cells = [f"{seconds(shape(made, n, kind), rounds=3 if n < 100_000 else 2):.3f}" for n in SIZES]
        yield f"| {kind} | " + " | ".join(cells) + " |"
    yield "| gate | " + " | ".join(f"{GATES[n]:g}" if n in GATES else "—" for n in SIZES) + " |"
    if importlib.util.find_spec("scipy") is None:
        return
    yield ""
    what = f"{EXACT_NODES:,} nodes, {EXACT_LOOPS} loops"
    yield f"| {what} | linear, s | `--exact`, s | gate | linear bound | exact bound |"
    yield "|---|--:|--:|--:|--:|--:|"
    check(crossroads(made, 100, 7, 0), exact=True)
    kinds = {"a tangle": tangled, "crossroads": crossroads}
    for name, seed in [(name, seed) for name in kinds for seed in range(3)]:
        spec = kinds[name](made, EXACT_NODES, EXACT_LOOPS, seed)
        loose, tight = check(spec).certificate, check(spec, exact=True).certificate
        assert loose is not None
        assert tight is not None
        times = f"{seconds(spec):.3f} | {seconds(spec, exact=True):.3f} | {EXACT_GATE:g}"
        proved = f"{tight.supersteps:,}" if tight.exact else "not decided"
        yield f"| {name} {seed + 1} | {times} | {loose.supersteps:,} | {proved} |"


def main() -> None:
    """Print the tables."""
    for row in rows():
        print(row, flush=True)


if __name__ == "__main__":
    main()
