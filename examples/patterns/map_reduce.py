"""map_reduce: which words does Python's manual lean on? Each help topic is counted on its own, and all are added up.

The topics are those that Python carries with it (``help("LOOPING")`` prints one). Twenty are counted a call. No model
is used, unless ``--model`` names one to say what the words tell of the language.

    $ python examples/patterns/map_reduce.py
    leaning: every run ends within 5 supersteps.
    This one took 5.
    … topics counted, … failed
    most used of the long words: …
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import map_reduce
from dalsegno.nodes.agent import agent

GIVEN: dict[str, Any] = {"value": "topics"}


def names(state: Any) -> list[str]:
    """Every help topic."""
    return sorted(topics)


def count(state: Any) -> list[dict[str, int]]:
    """The long words of some topics, each counted."""
    return [dict(Counter(re.findall(r"[a-z]{8,}", topics[name].lower()))) for name in state["item"]]


def most_used(state: Any) -> str:
    """The five that come most often."""
    total: Counter[str] = Counter()
    for counted in state["results"]:
        total.update(counted)
    return ", ".join(word for word, _ in total.most_common(5))


def flow(model: str | None = None) -> Workflow:
    tell = (
        agent(model, "In one sentence, what do these counts of words tell of Python? {results}")
        if model
        else None
    )
    return map_reduce(
        count, splitter=names, reducer=tell or most_used, batch=20, on_error="skip", name="leaning"
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{len(output['results'])} topics counted, {len(output['failures'])} failed"
    yield f"most used of the long words: {output['value']}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
