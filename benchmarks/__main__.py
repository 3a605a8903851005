"""`make bench`: measures, and prints the tables of docs/benchmarks.md.

Medians of paired, interleaved runs: a ratio holds on a busy machine, an absolute time does not.
"""

from __future__ import annotations

import platform

from benchmarks import (
    checkpoints,
    distributed,
    documents,
    domains,
    observing,
    pairing,
    patterns,
    pictures,
    policies,
    remote_calls,
    service,
    startup,
    superstep,
    validation_speed,
)


def main() -> None:
    """Print every table."""
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}\n")
    print("### A superstep without a checkpointer, against the same plain StateGraph\n")
    print(pairing.HEADER)
    for pair in superstep.pairs():
        print(pair.row(), flush=True)
    print("\n### Policies\n", policies.HEADER, *policies.rows(), sep="\n")
    print("\n### Being observed, by node\n", observing.HEADER, *observing.rows(), sep="\n")
    print("\n### Calls of a remote agent, against httpx\n", *remote_calls.rows(), sep="\n")
    print("\n### Start-up\n")
    print(
        "| what | seconds | gate | met | of langgraph, networkx, rich, pydantic it imports |\n|---|--:|--:|:-:|---|"
    )
    took, modules = startup.seconds(), startup.imported()
    met = "yes" if took <= startup.GATE else "**no**"
    print(f"| `dalsegno --help` | {took:.2f} | ≤ {startup.GATE} | {met} | {', '.join(modules) or 'none'} |")
    print("\n### Checks\n", *validation_speed.rows(), sep="\n")
    print("\n### Workflow documents\n", documents.HEADER, *documents.rows(), sep="\n")
    print("\n### The checkpointer, against LangGraph's SqliteSaver\n", *checkpoints.rows(), sep="\n")
    print("\n### Many workers\n", distributed.HEADER, *distributed.rows(), sep="\n")
    print("\n### Pictures\n", pictures.HEADER, *pictures.rows(), sep="\n")
    print("\n### A document with agents\n", domains.HEADER, *domains.rows(), sep="\n")
    print("\n### The service\n", service.HEADER, *service.rows(30.0), sep="\n")
    print("\n### Patterns\n", patterns.HEADER, *patterns.rows(), sep="\n")


if __name__ == "__main__":
    main()
