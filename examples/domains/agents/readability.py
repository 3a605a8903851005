"""`readability`: Flesch's reading ease (Flesch 1948), with the syllables that pyphen's hyphenation counts."""

from __future__ import annotations

from typing import Any

import pyphen
from sentences import sentences, words
from serving import serve

HYPHENS = pyphen.Pyphen(lang="en_US")


def syllables(word: str) -> int:
    """Where a word may be hyphenated, and one more: a little less than are spoken."""
    return len(HYPHENS.positions(word.lower())) + 1


def check_readability(text: str, least: float = 60.0) -> dict[str, Any]:
    """The reading ease (100 very easy, 0 very hard), and whether it is at least `least`."""
    lines, every = sentences(text), words(text)
    if not every:
        return {"check": "readability", "good": False, "flesch": 0.0, "longest": 0}
    per_sentence, per_word = len(every) / len(lines), sum(map(syllables, every)) / len(every)
    flesch = round(206.835 - 1.015 * per_sentence - 84.6 * per_word, 1)
    longest = max(len(words(line)) for line in lines)
    return {"check": "readability", "good": flesch >= least, "flesch": flesch, "longest": longest}


if __name__ == "__main__":
    serve("readability", check_readability)
