"""What a plain word of YAML means: as JSON and YAML 1.2 have it, and where the two versions of YAML differ, nothing.

`yes`, `no`, `on` and `off` are texts, and so are dates, times (`12:30`) and `1_000`. A number that YAML 1.1 and 1.2
read differently (`010`, `0o17`) is refused, and so is what JSON does not have (`.inf`, `.nan`).
"""

from __future__ import annotations

import re
from typing import Any

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DOUBTFUL = re.compile(r"[-+]?0[0-9]+(?:\.[0-9]*)?|[-+]?0[oObBxX][0-9a-fA-F]+")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

_LONGEST = 300


class Doubtful(Exception):
    """A word that people and programs read differently: it says how to write what is meant."""


def is_null(word: str) -> bool:
    """Whether a plain word is nothing: ``~``, ``null``, or no word at all."""
    return word in _WORDS and _WORDS[word] is None


def meaning(word: str) -> Any:
    """The value of a plain word.

    Raises
    ------
    Doubtful
        It looks like a number, and it is not sure which.
    """
    if word in _WORDS:
        return _WORDS[word]
    if not (word[0].isdigit() or word[0] in "+-."):
        return word
    if _INTEGER.fullmatch(word):
        if len(word) > 20 or not -(2**63) <= (number := int(word)) < 2**64:
            raise Doubtful(
                f"`{_short(word)}` has more digits than a whole number can have here: write it in quotes."
            )
        return number
    if _FLOAT.fullmatch(word):
        value = float(word) if len(word) <= _LONGEST else float("inf")
        if value in (float("inf"), float("-inf")):
            raise Doubtful(f"`{_short(word)}` is too large for a number.")
        return value
    if _DOUBTFUL.fullmatch(word):
        raise Doubtful(
            f'`{_short(word)}` is read as different numbers by different programs: write "{_short(word)}" in quotes '
            "if it is a text, and a number in decimal digits without a zero before them."
        )
    if _NOT_JSON.fullmatch(word):
        raise Doubtful(f"`{word}` is no number that JSON has: write it in quotes if it is a text.")
    return word


def _short(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:39]}…"
