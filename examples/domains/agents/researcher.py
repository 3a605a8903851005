"""`researcher`: finds what the texts in `corpus/` say about a topic, by how rare its words are (tf-idf)."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from sentences import sentences, words
from serving import Refused, serve

CORPUS = Path(__file__).parents[1] / "corpus"
MOST = 14
"""Findings of one topic."""


def load() -> dict[str, list[str]]:
    """The sentences of each text."""
    return {file.stem: sentences(file.read_text(encoding="utf-8")) for file in sorted(CORPUS.glob("*.txt"))}


TEXTS = load()


def stem(word: str) -> str:
    """A word without the ending of a plural."""
    word = word.lower()
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def research_topic(topic: str) -> dict[str, Any]:
    """Sentences about a topic with their source, as they follow in it, and the sources."""
    asked = {stem(word) for word in words(topic)}
    holding = Counter(
        each for text in TEXTS.values() for each in {stem(word) for line in text for word in words(line)}
    )
    rare = {word: math.log(1 + len(TEXTS) / holding[word]) for word in asked if holding[word]}
    if not rare:
        raise Refused(
            -32004, f"No text says anything about {topic!r}. There is: {', '.join(TEXTS)}.", known=list(TEXTS)
        )
    of_text = {
        name: sum(rare.get(stem(word), 0.0) for line in text for word in words(line)) / len(text)
        for name, text in TEXTS.items()
    }
    best = max(of_text.values())
    scored = []
    for name, text in TEXTS.items():
        for place, line in enumerate(text):
            own = sum(rare.get(word, 0.0) for word in {stem(word) for word in words(line)})
            about = of_text[name] / best if of_text[name] >= best / 3 else 0.0
            if own or about:
                scored.append((own + about, name, place, line))
    scored.sort(key=lambda each: (-each[0], each[1], each[2]))
    taken = sorted(scored[:MOST], key=lambda each: (-of_text[each[1]], each[1], each[2]))
    findings = [
        {"source": name, "place": place, "text": line, "score": round(points, 3)}
        for points, name, place, line in taken
    ]
    return {
        "topic": topic,
        "findings": findings,
        "sources": list(dict.fromkeys(each["source"] for each in findings)),
    }


if __name__ == "__main__":
    serve("researcher", research_topic)
