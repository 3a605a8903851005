"""Sentences of a passage, and how much of a question they cover."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from dalsegno.demo.topics import Passage
from dalsegno.demo.words import keywords, near, stem, tokens, vocabulary

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
    return share(meant, [word for word, stems in meant.items() if not stems.isdisjoint(found)], weights)


def share(meant: Iterable[str], words: Iterable[str], weights: Weights | None) -> float:
    """How much of the keywords `meant` the keywords `words` are, by weight, 0..1."""
    total = sum(_weight(word, weights) for word in meant)
    return sum(_weight(word, weights) for word in words) / total if total else 0.0


def touched(meant: Mapping[str, frozenset[str]], sentence: str, passage: Passage) -> frozenset[str]:
    """The keywords that a sentence says something about, in its passage.

    Those in the sentence and in the title it stands under, where these are at least two of the question or
    its only one. A keyword alone counts only where the passage is about it: in the title or at least three
    times in the text. "The rest is lowercased" says nothing about the rest of a sequence.
    """
    said, title = vocabulary(sentence), vocabulary(f"{passage['topic']} {passage['heading']}")
    found = frozenset(word for word, stems in meant.items() if not stems.isdisjoint(said | title))
    if len(found) != 1 or len(meant) == 1:
        return found
    often = Counter(map(stem, tokens(passage["text"])))
    (word,) = found
    about = not meant[word].isdisjoint(title) or sum(often[one] for one in meant[word]) >= 3
    return found if about else frozenset()


def _weight(word: str, weights: Weights | None) -> float:
    return 1.0 if weights is None else weights.get(word, 1.0)
