"""ab_test: which rule finds the sentence that says what a chapter is about: the first one, or the one with its words?

The cases are help topics that Python carries with it (`pydoc_data.topics`). Both variants are functions, and the
evaluator is one: it measures how many of the chapter's most frequent words a sentence has, and how short it is. With
``--model`` a model is a third variant.

    $ python examples/patterns/ab_test.py
    gist: every run ends within 5 supersteps.
    This one took 5.
    first …, fullest …
    `fullest` is better than `first`: it won … of … that were decided (… to …).
    On average by …, from … to ….
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import ab_test
from dalsegno.nodes.agent import agent

GIVEN: dict[str, Any] = {"cases": [text for _, text in sorted(topics.items()) if 800 < len(text) < 9000]}


def sentences(text: str) -> list[str]:
    flat = re.sub(r"\s+", " ", text.split("\n\n", 1)[1])
    return [sentence for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z])", flat) if sentence]


def main_words(text: str) -> set[str]:
    return {word for word, _ in Counter(re.findall(r"[a-z]{4,}", text.lower())).most_common(8)}


def first(state: Any) -> str:
    """The first sentence."""
    return sentences(state["case"])[0]


def fullest(state: Any) -> str:
    """The sentence that has most of the main words for its length."""
    wanted = main_words(state["case"])
    return max(sentences(state["case"]), key=lambda s: (len(wanted & main_words(s)), -len(s)))


def evaluate(state: Any) -> dict[str, float]:
    wanted = main_words(state["case"])
    return {
        "about it": len(wanted & set(re.findall(r"[a-z]{4,}", state["output"].lower()))) / len(wanted),
        "short": min(1.0, 100 / max(len(state["output"]), 1)),
    }


def flow(model: str | None = None) -> Workflow:
    variants: dict[str, Any] = {"first": first, "fullest": fullest}
    if model is not None:
        variants["model"] = agent(model, "What is this chapter about, in one sentence?\n\n{case}")
    return ab_test(variants, evaluate, criteria={"about it": 3, "short": 1}, name="gist")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    comparison = output["comparison"]
    yield ", ".join(f"{name} {mean:.2f}" for name, mean in comparison["means"].items())
    yield comparison["why"]
    duel = comparison["duels"][0]
    low, high = duel["interval"]
    yield f"On average by {duel['difference']:.2f}, from {low:.2f} to {high:.2f}."


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
