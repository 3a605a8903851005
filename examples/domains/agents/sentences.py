"""Sentences and words of plain English text."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order."""
    return [sentence.strip() for sentence in _END.split(" ".join(text.split())) if sentence.strip()]


def words(text: str) -> list[str]:
    """The words of a text, as they are written."""
    return _WORD.findall(text)
