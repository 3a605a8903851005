"""specialists: how much memory does a list of a thousand numbers need? Three say something else, and one decides.

One asks Python for the size of the list alone, one adds the numbers in it, one writes it as bytes; the synthesizer says
where they differ, and decides. All is measured on this machine. No model is used, unless ``--model`` names one, which
makes the answer of theirs.

    $ python examples/patterns/specialists.py
    memory: every run ends within 4 supersteps.
    This one took 4.
    shallow: … bytes
    deep: … bytes
    pickled: … bytes
    conflict: deep says … times as much as pickled
    A list of 1000 numbers needs … bytes in memory.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import specialists

GIVEN: dict[str, Any] = {"request": "How much memory does a list of 1000 numbers need?"}


def coordinator(state: Any) -> list[dict[str, Any]]:
    """The same size to each of them."""
    size = int(re.findall(r"\d+", state["request"])[0])
    return [{"to": name, "task": size} for name in ("shallow", "deep", "pickled")]


def shallow(state: Any) -> int:
    """The size of a list without what is in it."""
    return sys.getsizeof(list(range(state["task"])))


def deep(state: Any) -> int:
    """The size of a list with all that is in it."""
    numbers = list(range(state["task"]))
    return sys.getsizeof(numbers) + sum(map(sys.getsizeof, numbers))


def pickled(state: Any) -> int:
    """The size of a list as bytes on disk."""
    return len(pickle.dumps(list(range(state["task"]))))


def synthesizer(state: Any) -> dict[str, Any]:
    said = {done["to"]: done["result"] for done in state["results"]}
    most, least = max(said, key=lambda who: said[who]), min(said, key=lambda who: said[who])
    size = state["results"][0]["task"]
    return {
        "answer": f"A list of {size} numbers needs {said['deep']} bytes in memory.",
        "conflicts": [f"{most} says {said[most] / said[least]:.0f} times as much as {least}"],
    }


def flow(model: str | None = None) -> Workflow:
    return specialists(coordinator, [shallow, deep, pickled], model or synthesizer, name="memory")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for done in output["results"]:
        yield f"{done['to']}: {done['result']} bytes"
    yield from (f"conflict: {conflict}" for conflict in output["synthesis"]["conflicts"])
    yield str(output["synthesis"]["answer"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
