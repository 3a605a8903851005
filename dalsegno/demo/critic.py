"""The critic: is every sentence of an answer grounded in its passages, and is it about the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypedDict

from dalsegno.demo.sentences import Weights, share, split, terms, touched
from dalsegno.demo.topics import Passage
from dalsegno.demo.words import STOP_WORDS, TOKEN, stem, vocabulary

SUPPORT = 0.75
"""Share of a rewritten sentence's content words that its passage must have."""
TOPIC = 0.77
"""Weighted share of the question's informative words that an answer must touch."""

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)*(?!\w)")
_NAME = re.compile(
    r"[`\"“]([^`\"”“\n]+)[`\"”]|\b(\w*_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|\w+(?:\.\w+)+(?=\W|$)|\w+(?=\(\)))"
)
_CITATION = re.compile(r"\s*\[([\w-]+:\d+)\]")


class Sentence(TypedDict):
    """One sentence of an answer with the id of the passage it rests on (empty: unknown) and its topic."""

    text: str
    source: str
    topic: str


class Answer(TypedDict):
    """The sentences of an answer in order; none is no answer."""

    sentences: list[Sentence]


class Verdict(TypedDict):
    """What the critic says: `grounded` only with at least one sentence and none in `ungrounded`.

    `coverage` is the weighted share of the question's informative words that answer and cited headings
    touch, `on_topic` whether that is enough. `reason` is a sentence to print, empty when all is well.
    """

    grounded: bool
    on_topic: bool
    ungrounded: list[str]
    coverage: float
    reason: str


def check(
    answer: Answer,
    passages: Sequence[Passage],
    question: str,
    weights: Weights | None = None,
    *,
    support: float = SUPPORT,
    topic: float = TOPIC,
) -> Verdict:
    """Judge an answer against the passages it was written from and the question it answers.

    A sentence is grounded when it stands in its source word for word, or when its source has at least
    `support` of its content words, and every number and name of it literally. A sentence without a source
    may rest on any of the passages. The answer is on topic when it touches at least `topic` of the
    question's informative words, by weight; a question without such words has no answer on topic.
    """
    by_id = {passage["id"]: passage for passage in passages}
    ungrounded = []
    meant = terms(question, passages)
    said: frozenset[str] = frozenset()
    for sentence in answer["sentences"]:
        sources = [by_id[sentence["source"]]] if sentence["source"] in by_id else []
        if not sentence["source"]:
            sources = list(passages)
        resting = next((source for source in sources if _supports(source, sentence["text"], support)), None)
        if resting is None:
            ungrounded.append(sentence["text"])
        else:
            said |= touched(meant, sentence["text"], resting)
    coverage = round(share(meant, said, weights), 4)
    grounded = bool(answer["sentences"]) and not ungrounded
    on_topic = bool(meant) and coverage >= topic
    return Verdict(
        grounded=grounded,
        on_topic=on_topic,
        ungrounded=ungrounded,
        coverage=coverage,
        reason=_reason(answer, ungrounded, [word for word in meant if word not in said], on_topic),
    )


def attribute(text: str, passages: Sequence[Passage]) -> Answer:
    """A text, for example a chat model's, as an `Answer`: each sentence with the passage it rests on best.

    A source that the text names itself (``[with:2]``) is taken, even where it does not exist: then `check`
    finds the sentence ungrounded.
    """
    by_id = {passage["id"]: passage for passage in passages}
    sentences: list[Sentence] = []
    for paragraph in re.split(r"\n\s*\n|\n(?=[*\-] )", text.strip()):
        for piece in split(re.sub(r"\s+", " ", paragraph).strip("*- ")):
            named = _CITATION.findall(piece)
            plain = _CITATION.sub("", piece).strip()
            if not TOKEN.search(plain):
                if named and sentences and not sentences[-1]["source"]:
                    sentences[-1]["source"] = named[0]
                continue
            best = max(passages, key=lambda passage: _share(passage, plain), default=None)
            source = named[0] if named else best["id"] if best and _share(best, plain) > 0 else ""
            topic = by_id[source]["topic"] if source in by_id else source.partition(":")[0]
            sentences.append(Sentence(text=plain, source=source, topic=topic))
    return Answer(sentences=sentences)


def _supports(passage: Passage, sentence: str, support: float) -> bool:
    text = _plain(f"{passage['heading']} {passage['text']}")
    if _plain(sentence) in text:
        return bool(_plain(sentence))
    names = [quoted or bare for quoted, bare in _NAME.findall(sentence)]
    literal = [_plain(name).strip() for name in [*names, *_NUMBER.findall(sentence)]]
    if not all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in literal if name):
        return False
    return _share(passage, sentence) >= support


def _share(passage: Passage, sentence: str) -> float:
    """The share of a sentence's content words that a passage has."""
    content = {stem(word.lower()) for word in TOKEN.findall(sentence) if word.lower() not in STOP_WORDS}
    has = vocabulary(f"{passage['topic']} {passage['heading']}\n{passage['text']}")
    return len(content & has) / len(content) if content else 0.0


def _plain(text: str) -> str:
    """Text without case, markup, quotes and spacing: what two copies of a sentence have in common."""
    text = re.sub(r"[`*\"“”‘’'()]", "", text.lower())
    return re.sub(r"\s+", " ", text).strip(" .")


def _reason(answer: Answer, ungrounded: list[str], missing: list[str], on_topic: bool) -> str:
    if not answer["sentences"]:
        return "No sentence of the passages touches the question."
    if ungrounded:
        count = len(ungrounded)
        return (
            f"{count} {'sentence is' if count == 1 else 'sentences are'} not in the passages: {ungrounded[0]}"
        )
    if not on_topic:
        return (
            f"The answer says nothing about {', '.join(missing)}."
            if missing
            else "The question says nothing to look for."
        )
    return ""
