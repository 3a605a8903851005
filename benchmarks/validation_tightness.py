"""How tight the bounds on supersteps are, and how long a check takes.

``python -m benchmarks.validation_tightness [GRAPHS]``. The graphs are those of the tests'
`random_workflow`, with the exhaustive search as the truth.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from pathlib import Path
from types import ModuleType

from dalsegno.graphs.model import END, START, WorkflowSpec
from dalsegno.graphs.validation import check

LOOPS = range(6)
SIZES = (50, 1_000, 10_000, 100_000)


def generator() -> ModuleType:
    """The tests' module of generated workflows."""
    path = Path(__file__).parents[1] / "tests" / "graphs" / "validation" / "generated_workflows.py"
    spec = importlib.util.spec_from_file_location("generated_workflows", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def tightness(made: ModuleType, graphs: int, *, forks: bool, exact: bool) -> list[tuple[int, int, int]]:
    """For each number of loops: graphs that were decided, bounds that are the longest run, called exact."""
    rows = []
    for loops in LOOPS:
        decided = tight = called = 0
        for seed in range(graphs):
            spec = made.random_workflow(random.Random(f"{loops} {seed}"), nodes=6, loops=loops, forks=forks)
            try:
                longest = made.longest_run(spec)
            except OverflowError:
                continue
            certificate = check(spec, exact=exact).certificate
            if certificate is None or certificate.supersteps < longest:
                raise AssertionError(f"a bound is too low: loops={loops} seed={seed}")
            decided += 1
            tight += certificate.supersteps == longest
            called += certificate.exact
        rows.append((decided, tight, called))
    return rows


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


def main() -> None:
    """Print both tables."""
    graphs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    made = generator()
    has_scipy = importlib.util.find_spec("scipy") is not None
    print(f"### Bounds that are the longest run exactly ({graphs} graphs a cell)\n")
    print("| loops | " + " | ".join(map(str, LOOPS)) + " |\n|---|" + "--:|" * len(LOOPS))
    for forks in (False, True):
        for exact in (False, True) if has_scipy else (False,):
            cells = [
                f"{tight / decided:.1%}"
                for decided, tight, _ in tightness(made, graphs, forks=forks, exact=exact)
            ]
            what = ("parallel" if forks else "one at a time") + (", `--exact`" if exact else "")
            print(f"| {what} | " + " | ".join(cells) + " |", flush=True)
    print("\n### Seconds a check takes\n")
    print("| nodes | " + " | ".join(f"{n:,}" for n in SIZES) + " |\n|---|" + "--:|" * len(SIZES))
    check(shape(made, 20, "loops"))
    for kind in ("chain", "loops", "nested", "forks"):
        times = []
        for size in SIZES:
            spec = shape(made, size, kind)
            began = time.perf_counter()
            check(spec)
            times.append(f"{time.perf_counter() - began:.3f}")
        print(f"| {kind} | " + " | ".join(times) + " |", flush=True)


if __name__ == "__main__":
    main()
