"""How long a check of a workflow document takes, from its file to its certificate.

``python -m benchmarks.documents``. Times are the processor's, the least of a few rounds: what else the machine does
only adds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dalsegno.graphs.definition import read_definition
from dalsegno.graphs.documents.writing import yaml_of

STEPS, GATE = 1_000, 1.0
"""A document of so many steps may take so many seconds."""

HEADER = """| a document of 1,000 steps | size | read, s | built, s | checked, s | all, s | gate | met |
|---|--:|--:|--:|--:|--:|--:|:-:|"""
AGENT = {
    "agent_url": "https://agents.example.org/rpc",
    "timeout": 30,
    "retry": {"max_attempts": 3, "max_interval": 2},
}


def call(name: str, params: Any, **more: Any) -> dict[str, Any]:
    """A call of an agent."""
    return {**AGENT, "method": name, "params": params, **more}


def plain(number: int) -> dict[str, Any]:
    """A step of one call, which refers to the input and to the step before."""
    before = f"$context.results.step_{number - 1}" if number else "$input.n"
    return {
        "agent_calls": [call("work", {"value": "$current", "before": before, "text": "Number $input.n."})]
    }


def mixed(number: int) -> dict[str, Any]:
    """Steps of every strategy, in turns, each with conditions and ways on after a failure."""
    undo = {"compensation": call("undo", {"id": "${result.id?}"})}
    kinds: list[dict[str, Any]] = [
        {"strategy": "parallel", "agent_calls": [call(f"ask_{n}", {"q": "$current"}) for n in range(3)]},
        {
            "condition": "$input.n > 3 and $current != null",
            "agent_calls": [call("work", {"value": "$current"})],
        },
        {
            "strategy": "saga",
            "on_error": "skip",
            "agent_calls": [call("book", {}, **undo), call("pay", {"n": "$previous"})],
        },
        {
            "strategy": "conditional",
            "agent_calls": [call("many", {"q": 1}, when="$input.n > 9"), call("few", {"q": 1})],
        },
        {
            "strategy": "map_reduce",
            "over": "$input.items",
            "max": 50,
            "agent_calls": [call("item", {"i": "$current"})],
        },
        {
            "strategy": "loop",
            "max": 3,
            "until": "$current == 1",
            "agent_calls": [call("draft", {"was": "$current"})],
        },
    ]
    return kinds[number % len(kinds)]


def document(kind: Any) -> str:
    """A document of a thousand such steps, as YAML."""
    steps = [{"name": f"step_{number}", **kind(number)} for number in range(STEPS)]
    head = {"name": "large", "version": "1", "input": {"n": "number", "items": "array"}}
    return yaml_of({**head, "steps": steps})


def seconds(path: Path, rounds: int = 5) -> tuple[float, float, float]:
    """The least times of the processor: for reading, for building, for the check."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        definition = read_definition(path)
        read = time.process_time()
        flow = definition.workflow()
        built = time.process_time()
        assert flow.validate().ok
        times.append((read - began, built - read, time.process_time() - built))
    return min(times, key=sum)


def rows() -> Iterator[str]:
    """The table in Markdown. The gate is for a document whose steps are calls."""
    with tempfile.TemporaryDirectory() as folder:
        for what, kind, gate in (("one call each", plain, GATE), ("every strategy in turns", mixed, None)):
            path = Path(folder) / "large.yaml"
            path.write_text(document(kind))
            read, built, checked = seconds(path)
            whole = read + built + checked
            met = "—" if gate is None else "yes" if whole <= gate else "**no**"
            size = f"{path.stat().st_size / 1000:,.0f} kB"
            limit = "—" if gate is None else f"≤ {gate:g}"
            yield f"| {what} | {size} | {read:.2f} | {built:.2f} | {checked:.2f} | {whole:.2f} | {limit} | {met} |"


def main() -> None:
    """Print the table."""
    print(HEADER)
    for row in rows():
        print(row, flush=True)


if __name__ == "__main__":
    main()
