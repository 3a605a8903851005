"""prompt_optimization: a query becomes better until it finds those help topics that it should, and no others.

The topics are those that Python carries with it (`pydoc_data.topics`). The "prompt" is a query of words here, its run
a search in the chapters, and a function scores what it finds against the chapters on exceptions; another one adds the
word that tells right from wrong best. With ``--model`` a model improves the query.

    $ python examples/patterns/prompt_optimization.py
    query: every run ends within 20 supersteps.
    This one took ….
    …: … right, … wrong: …
    0.… exception
    …
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import prompt_optimization

RIGHT = {"exceptions", "try", "raise", "assert"}
GIVEN: dict[str, Any] = {
    "goal": f"a query of words that finds the chapters {', '.join(sorted(RIGHT))}, and no others",
    "prompt": "exception",
}


@functools.cache
def words(title: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z_]{3,}", topics[title].lower()))


def search(state: Any) -> list[str]:
    """The topics that have all words of the query."""
    query = set(state["prompt"].split())
    return sorted(title for title in topics if query <= words(title))


def score(state: Any) -> dict[str, Any]:
    found = set(state["output"])
    hits = len(found & RIGHT)
    wrong = sorted(found - RIGHT)
    balance = 2 * hits / (len(found) + len(RIGHT))
    return {"score": balance, "comments": f"{hits} right, {len(wrong)} wrong: {', '.join(wrong[:8])}"}


def improve(state: Any) -> str:
    """The query and the word that shuts out most wrong ones, of those that the right ones have."""
    tried = {trial["prompt"] for trial in state["trials"]}
    found = set(state["output"])
    candidates = set().union(*map(words, found & RIGHT)) - set(state["prompt"].split())

    def gain(word: str) -> float:
        left = {title for title in found if word in words(title)}
        return 2 * len(left & RIGHT) / (len(left) + len(RIGHT))

    ranked = sorted(candidates, key=lambda word: (-gain(word), word))
    return next(query for word in ranked if (query := f"{state['prompt']} {word}") not in tried)


def flow(model: str | None = None) -> Workflow:
    return prompt_optimization(search, score, model or improve, name="query")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{output['outcome']}: {output['evaluation']['comments']}"
    for trial in output["trials"]:
        kept = " (kept)" if trial["prompt"] == output["prompt"] else ""
        yield f"{trial['score']:.2f} {trial['prompt']}{kept}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
