"""`writer`: composes an article of sentences that were found, by templates. No language model writes here."""

from __future__ import annotations

import re
from typing import Any

from sentences import words
from serving import Refused, serve

OPENINGS = {
    "plain": "This is about {topic}.",
    "formal": "The following considerations concern {topic}, insofar as the available literature addresses them.",
}
TURNS = ("What is more,", "Besides,", "Then again,")


def write_article(
    research: dict[str, Any],
    style: str = "plain",
    length: int = 120,
    wishes: dict[str, Any] | None = None,
    rounds: int | None = None,
) -> dict[str, Any]:
    """An article of about `length` words. `wishes` are those of whoever judged the one before, `rounds` how many were.

    ``{"simpler": true}`` keeps sentences short, ``{"avoid": [words]}`` leaves out what has these words,
    ``{"more": keyword}`` names the keyword more often, ``{"less": keyword}`` more seldom.
    """
    if style not in OPENINGS:
        raise Refused(-32602, f"There is no style {style!r}: {', '.join(OPENINGS)}.")
    wishes = wishes or {}
    avoid = {word.lower() for word in wishes.get("avoid", ())}
    found = [
        each for each in research["findings"] if not avoid & {word.lower() for word in words(each["text"])}
    ]
    if not found:
        raise Refused(-32004, "There is nothing to write with.")
    simple = bool(wishes.get("simpler"))
    lines = [OPENINGS["plain" if simple else style].format(topic=research["topic"])]
    for number, each in enumerate(found):
        if sum(len(words(line)) for line in lines) >= length:
            break
        lines += split(each["text"]) if simple else [each["text"]]
        if style == "formal" and not simple and number % 2 and len(lines) > 2:
            lines[-2:] = [joined(lines[-2], lines[-1], TURNS[number % len(TURNS)])]
    lines = _keyed(lines, wishes)
    text = " ".join(lines)
    return {
        "title": research["topic"].capitalize(),
        "text": text,
        "words": len(words(text)),
        "wishes": wishes,
        "round": (rounds or 0) + 1,
    }


def split(sentence: str) -> list[str]:
    """A long sentence as shorter ones, where it can be parted at a semicolon or before `and`, `but` or `so`."""
    if len(words(sentence)) <= 14:
        return [sentence]
    parts = re.split(
        r"; |, (?=(?:and|but|so) (?:the|it|they|a|an|this|that|we|she|he|each|some)\b)", sentence.rstrip(".")
    )
    parts = [part.removeprefix("and ") for part in parts]
    return [f"{part[0].upper()}{part[1:]}." for part in parts if part]


def joined(one: str, other: str, turn: str) -> str:
    """Two sentences in one."""
    start = other if words(other)[:1] == ["I"] else f"{other[0].lower()}{other[1:]}"
    return f"{one.rstrip('.')}; {turn.lower().rstrip(',')}, {start}"


def _keyed(lines: list[str], wishes: dict[str, Any]) -> list[str]:
    more, less = wishes.get("more"), wishes.get("less")
    if more:
        lines = [*lines, f"So much for {more}.", f"There is more to say of {more}."]
    if less:
        pattern = re.compile(rf"\b(?:the )?{re.escape(less)}\b", re.IGNORECASE)
        seen = 0
        for place, line in enumerate(lines):
            if pattern.search(line):
                seen += 1
                if seen % 2 == 0:
                    line = pattern.sub("it", line)
                    lines[place] = f"{line[0].upper()}{line[1:]}"
    return lines


if __name__ == "__main__":
    serve("writer", write_article)
