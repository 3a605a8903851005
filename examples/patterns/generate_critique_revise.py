"""generate_critique_revise: a summary of a chapter of Python's documentation, short and still about the same.

The chapter is one of the help topics that Python carries with it (`pydoc_data.topics`). The actors are functions: one
takes the chapter's beginning, one measures length and how many of the chapter's own words are left, one drops the
sentence that can best be spared. With ``--model`` a model writes and revises, and the function still judges.

    $ python examples/patterns/generate_critique_revise.py
    summary: every run ends within 19 supersteps.
    This one took …
    good: … characters, with …
    …
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import generate_critique_revise

TOPIC = "context-managers"
LONGEST = 480
"""Characters of a good summary."""
COMMON = {"and", "are", "can", "for", "from", "not", "that", "the", "this", "when", "which", "will", "with"}

GIVEN: dict[str, Any] = {"request": f"Summarize this in at most {LONGEST} characters:\n\n{topics[TOPIC]}"}


def sentences(text: str) -> list[str]:
    flat = re.sub(r"\s+", " ", re.sub(r"^[*=~-]{4,}$", "", text, flags=re.MULTILINE))
    return [sentence for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", flat.strip()) if sentence]


def words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in COMMON]


def main_words(text: str) -> set[str]:
    """The words that the chapter has most."""
    return {word for word, _ in Counter(words(text)).most_common(6)}


def begin(state: Any) -> str:
    """The chapter's first sentences, without its title."""
    return " ".join(sentences(topics[TOPIC].split("\n\n", 1)[1])[:8])


def judge(state: Any) -> dict[str, Any]:
    draft = state["draft"]
    kept = main_words(topics[TOPIC]) & set(words(draft))
    short = min(1.0, LONGEST / max(len(draft), 1))
    return {
        "score": short * len(kept) / 6,
        "comments": f"{len(draft)} characters; it has {', '.join(sorted(kept))}",
    }


def shorten(state: Any) -> str:
    """Without the longest sentence of those that can best be spared."""
    left = sentences(state["draft"])
    wanted = main_words(topics[TOPIC])
    without = {s: " ".join(other for other in left if other is not s) for s in left}
    spare = max(left, key=lambda s: (len(wanted & set(words(without[s]))), len(s)))
    return without[spare] or state["draft"]


def flow(model: str | None = None) -> Workflow:
    return generate_critique_revise(
        model or begin, judge, model or shorten, good_enough=0.95, revisions=8, name="summary"
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    kept = output["review"]["comments"].partition("; it has ")[2]
    yield f"{output['outcome']}: {len(output['draft'])} characters, with {kept}"
    yield output["draft"]


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
