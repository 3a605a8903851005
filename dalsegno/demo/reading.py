"""Reading passages for a question: grade, rerank, answer, check. Pure, deterministic, lexical.

Everything takes and gives plain data (dict, list, str, float, bool), so that it can stand in a
checkpointed state. `weights` says how informative each keyword is (`Library.weights`); without it all
weigh the same. No language model is used here; where one wrote the answer, `attribute` turns its text
into an `Answer`, which `check` judges the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from dalsegno.demo.critic import Answer, Sentence, Verdict, attribute, check
from dalsegno.demo.sentences import Weights, covered, known, prose, share, terms, touched
from dalsegno.demo.topics import Passage
from dalsegno.demo.words import STOP_WORDS, keywords, stem, tokens, vocabulary

__all__ = [
    "Answer",
    "Sentence",
    "Verdict",
    "answer",
    "attribute",
    "check",
    "grade",
    "keywords",
    "rerank",
]

_LEANING = frozenset(
    tokens(
        "also but conversely finally further furthermore hence however it moreover otherwise similarly such "
        "then therefore these they this those thus"
    )
)
"""First words of sentences that lean on the one before them."""
_ASIDES = ("Changed in", "New in", "Added in", "Deprecated", "PEP ", "See ", "(")
"""Openings of sentences about the text rather than the matter."""


def grade(question: str, passages: Sequence[Passage], weights: Weights | None = None) -> float:
    """How good a retrieval is for its question, 0 (nothing of it) to 1 (all of it in the first passage).

    Two thirds are the weighted share of the question's informative words that the best of the first
    three passages has in it, the rest is the share that the first passage has in its topic and heading
    or opening sentence: a passage about the question, rather than one that mentions it.
    """
    meant = terms(question, passages)
    if not meant:
        return 0.0
    top = passages[:3]
    within = max((covered(meant, known(passage), weights) for passage in top), default=0.0)
    about = max(
        (covered(meant, _about(passage), weights) * (1 - 0.2 * rank) for rank, passage in enumerate(top)),
        default=0.0,
    )
    return round(min(1.0, 2 / 3 * within + 1 / 3 * about), 4)


def rerank(question: str, passages: Sequence[Passage], weights: Weights | None = None) -> list[Passage]:
    """The same passages in a better order, with a new score.

    Looks at each whole passage, which the index does not: the share of the question's words, how close
    together they stand, whether neighbours in the question are neighbours here, whether topic and heading
    name them, and a little at the order it was given.
    """
    meant = terms(question, passages)
    scored = []
    for rank, passage in enumerate(passages):
        score = (
            covered(meant, known(passage), weights)
            + 0.3 * covered(meant, _about(passage), weights)
            + 1.0 * _named(meant, passage, weights)
            + 0.15 * _closeness(meant, passage["text"])
            + 0.2 * _phrases(meant, f"{passage['heading']}. {passage['text']}")
            + 0.2 / (1 + rank)
            + 0.2 / (1 + passage["position"])
        )
        scored.append((-round(score, 6), rank, passage))
    return [
        Passage(**{**passage, "score": -score})
        for score, _, passage in sorted(scored, key=lambda row: row[:2])
    ]


class _Candidate(NamedTuple):
    rank: int
    place: int
    text: str
    passage: Passage
    score: float
    words: frozenset[str]


def answer(
    question: str, passages: Sequence[Passage], weights: Weights | None = None, *, most: int = 4
) -> Answer:
    """The 1 to `most` sentences of the passages that answer the question best, none where none touches it.

    The first is the best one; each further one must add words of the question that are still missing, or
    stand next to one already taken. They keep the order of passages and text; duplicates, headings,
    references and fragments are left out.
    """
    meant = terms(question, passages)
    candidates = list(_candidates(meant, question, passages, weights)) if meant else []
    chosen: list[_Candidate] = []
    have: frozenset[str] = frozenset()
    while candidates and len(chosen) < most:
        so_far = share(meant, have, weights)
        best, best_value = None, 0.0
        for candidate in candidates:
            value = candidate.score
            if chosen:
                gain = share(meant, have | candidate.words, weights) - so_far
                beside = any(
                    c.passage["id"] == candidate.passage["id"] and abs(c.place - candidate.place) == 1
                    for c in chosen
                )
                value = 0.5 * candidate.score + 1.5 * gain + 0.15 * beside
                if gain <= 0 and not beside:
                    value = 0.35 * candidate.score
            if value > best_value + 1e-9:
                best, best_value = candidate, value
        if best is None or best_value < (0.15 if not chosen else 0.42):
            break
        chosen.append(best)
        have |= best.words
        candidates = [c for c in candidates if _overlap(c.text, best.text) < 0.7]
    chosen.sort(key=lambda candidate: (candidate.rank, candidate.place))
    return Answer(
        sentences=[Sentence(text=c.text, source=c.passage["id"], topic=c.passage["topic"]) for c in chosen]
    )


def _candidates(
    meant: Mapping[str, frozenset[str]], question: str, passages: Sequence[Passage], weights: Weights | None
) -> Iterator[_Candidate]:
    asks_what = tokens(question)[:1] in (["what"], ["whats"])
    for rank, passage in enumerate(passages):
        named = _named(meant, passage, weights)
        for place, text in enumerate(prose(passage["text"])):
            found = tokens(text)
            own = vocabulary(text)
            said = touched(meant, text, passage)
            if not said or len(found) < 5 or not (text[0].isalnum() or text[0] in "\"“'_("):
                continue
            score = (
                0.7 * covered(meant, own, weights)
                + 0.3 * share(meant, said, weights)
                + 0.25 * named
                + 0.15 * _phrases(meant, text)
                + 0.25 / (1 + rank)
            )
            if asks_what and _defines(meant, found):
                score += 0.2
            if place == 0:
                score += 0.08
            if found[0] in _LEANING:
                score -= 0.15
            if text.startswith(_ASIDES):
                score -= 0.45
            if len(found) > 55:
                score -= 0.1
            yield _Candidate(rank, place, text, passage, round(score, 6), said)


def _title(passage: Passage) -> frozenset[str]:
    return vocabulary(f"{passage['topic']} {passage['heading']}")


def _about(passage: Passage) -> frozenset[str]:
    """The words of topic, heading and opening sentence."""
    opening = next(prose(passage["text"]), "")
    return _title(passage) | vocabulary(opening)


def _named(meant: Mapping[str, frozenset[str]], passage: Passage, weights: Weights | None) -> float:
    """How much topic or heading is what was asked for: 1 for the topic `lambda` or ``Lambdas`` and lambdas.

    The share of the question that a title has, times the share of the title that the question has.
    """
    wanted = frozenset().union(*meant.values())
    best = 0.0
    for title in (passage["topic"], *passage["heading"].split(" › ")):
        content = {stem(word) for word in tokens(title) if word not in STOP_WORDS or f'"{word}"' in title}
        content |= vocabulary(title) if not content else frozenset()
        if content and (shared := content & wanted):
            best = max(best, covered(meant, shared, weights) ** 0.5 * len(shared) / len(content))
    return best


def _defines(meant: Mapping[str, frozenset[str]], found: Sequence[str]) -> bool:
    """Whether a sentence opens with what was asked for and says what it is or does."""
    opening = {stem(word) for word in found[:5]}
    says = {
        "is",
        "are",
        "means",
        "returns",
        "allows",
        "causes",
        "makes",
        "used",
        "called",
        "executes",
        "specifies",
    }
    return any(stems & opening for stems in meant.values()) and not says.isdisjoint(found[1:9])


def _places(meant: Mapping[str, frozenset[str]], text: str) -> list[tuple[int, str]]:
    """Which keyword stands where in a text, counted in words."""
    by_stem = {stem_: word for word, stems in meant.items() for stem_ in stems}
    found = []
    for place, token in enumerate(tokens(text)):
        word = by_stem.get(stem(token)) or by_stem.get(stem(token.strip("_")))
        if word:
            found.append((place, word))
    return found


def _closeness(meant: Mapping[str, frozenset[str]], text: str) -> float:
    """1 when all keywords that a text has stand side by side, towards 0 the wider they are spread."""
    places = _places(meant, text)
    wanted = {word for _, word in places}
    if len(wanted) < 2:
        return 0.0
    narrowest = len(text)
    last: dict[str, int] = {}
    for place, word in places:
        last[word] = place
        if len(last) == len(wanted):
            narrowest = min(narrowest, place - min(last.values()) + 1)
    return len(wanted) / max(narrowest, len(wanted)) * len(wanted) / len(meant)


def _phrases(meant: Mapping[str, frozenset[str]], text: str) -> float:
    """The share of neighbouring keywords that stand in the same order, at most one word apart."""
    order = list(meant)
    if len(order) < 2:
        return 0.0
    places = _places(meant, text)
    pairs = {(one, other) for (at, one), (then, other) in pairwise(places) if 0 < then - at <= 2}
    return sum(pair in pairs for pair in pairwise(order)) / (len(order) - 1)


def _overlap(one: str, other: str) -> float:
    """Jaccard similarity of two sentences' words."""
    a, b = set(tokens(one)), set(tokens(other))
    return len(a & b) / len(a | b) if a | b else 1.0
