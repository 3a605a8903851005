"""How tight the bounds on supersteps are.

``python -m benchmarks.validation_tightness [GRAPHS]``. The graphs are those of the tests'
`random_workflow`, with the exhaustive search as the truth.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

from dalsegno.graphs.validation import check

LOOPS = range(6)


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


def main() -> None:
    """Print the table."""
    graphs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    made = generator()
    has_scipy = importlib.util.find_spec("scipy") is not None
    print(f"### Bounds that are the longest run exactly ({graphs} graphs a cell)\n")
    print("| loops | " + " | ".join(map(str, LOOPS)) + " |\n|---|" + "--:|" * len(LOOPS))
    for forks in (False, True):
        for exact in (False, True) if has_scipy else (False,):
            cells = [
                f"{tight:,} of {decided:,}"
                for decided, tight, _ in tightness(made, graphs, forks=forks, exact=exact)
            ]
            what = ("parallel" if forks else "one at a time") + (", `--exact`" if exact else "")
            print(f"| {what} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
