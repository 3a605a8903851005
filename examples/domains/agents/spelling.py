"""`spelling`: words that are not in pyspellchecker's list of English words."""

from __future__ import annotations

from typing import Any

from sentences import words
from serving import serve
from spellchecker import SpellChecker

KNOWN = SpellChecker(language="en")


def check_spelling(text: str, known: list[str] | None = None) -> dict[str, Any]:
    """The unknown words, in alphabetical order; names in the middle of a sentence are taken for known."""
    also = {word.lower() for word in known or ()}
    plain = {
        part.lower()
        for word in words(text)
        for part in word.replace("’", "'").removesuffix("'s").split("-")
        if len(part) > 1
    }
    unknown = sorted(word for word in KNOWN.unknown(plain) if word not in also)
    return {"check": "spelling", "good": not unknown, "unknown": unknown}


if __name__ == "__main__":
    serve("spelling", check_spelling)
