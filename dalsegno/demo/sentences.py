"""Sentences of a passage, and how much of a question they cover."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set

from dalsegno.demo.topics import Passage
from dalsegno.demo.words import keywords, near, stem, vocabulary

Weights = Mapping[str, float]
"""Keyword to how informative it is, 0..1; a keyword that is missing weighs 1."""

_END = re.compile(r"(?<=[.!?])([\"”’)]*)\s+(?=[\"“(_A-Z])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|Sec|No)\.|\.\.\.)[\"”’)]*$")
_FINISHED = re.compile(r"[.!?][\"”’)]*$")
_MARKER = re.compile(r"^(?:\*|\d+\.|\[\d+\])\s+")


def prose(text: str) -> Iterator[str]:
    """The whole sentences of a passage's text; code and lines that only lead up to it are left out.

    A list item needs no full stop to count as a sentence.
    """
    for block in text.split("\n\n"):
        if not block.startswith("    "):
            item = _MARKER.match(block)
            for sentence in split(block[item.end() :] if item else block):
                if _FINISHED.search(sentence) or (item and not sentence.endswith(":")):
                    yield sentence


def split(paragraph: str) -> list[str]:
    """The sentences of one paragraph; abbreviations end none."""
    sentences: list[str] = []
    start = 0
    for end in _END.finditer(paragraph):
        piece = paragraph[start : end.end(1)].strip()
        if _ABBREVIATION.search(piece):
            continue
        sentences.append(piece)
        start = end.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def terms(question: str, passages: Sequence[Passage]) -> dict[str, frozenset[str]]:
    """Each keyword of a question with the stems that count as it.

    That is its own stem where any passage has it, else the stems it may be a misspelling of; empty where
    the passages have neither.
    """
    present: set[str] = set()
    for passage in passages:
        present |= known(passage)
    return {
        word: frozenset([stem(word)] if stem(word) in present else near(word, sorted(present)))
        for word in keywords(question)
    }


def known(passage: Passage) -> frozenset[str]:
    """The stems of a whole passage with its topic and heading."""
    return vocabulary(f"{passage['topic']} {passage['heading']}\n{passage['text']}")


def covered(meant: Mapping[str, frozenset[str]], found: Set[str], weights: Weights | None) -> float:
    """The weighted share of keywords that are among the stems `found`, 0..1."""
    total = sum(_weight(word, weights) for word in meant)
    if not total:
        return 0.0
    return sum(_weight(word, weights) for word, stems in meant.items() if not stems.isdisjoint(found)) / total


def _weight(word: str, weights: Weights | None) -> float:
    return 1.0 if weights is None else weights.get(word, 1.0)
