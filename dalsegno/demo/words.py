"""Words of a question and of a text: tokens, stems, informative words, misspellings.

Everything here is pure, deterministic and needs no language model.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from functools import lru_cache

TOKEN = re.compile(r"[^\W\d]\w*|\d+(?:\.\d+)*")
QUOTED = re.compile(r"[`'\"]([^`'\"\s]+)[`'\"]")


def tokens(text: str) -> list[str]:
    """The words and numbers of a text in lower case; `__init__` is one word."""
    return [match.group().lower() for match in TOKEN.finditer(text)]


STOP_WORDS = frozenset(
    tokens(
        "a about above after again all also am an and any are as at be because been before being "
        "below between both but by can could did do does doing down during each else etc few for from "
        "further get had has have having he her here him his how i if in into is it its just like me "
        "more most much must my no nor not of off on once one only or other our out over own please "
        "really s same shall she should so some such t than that the their them then there these they "
        "thing things this those through to too under until up us very was we were what whats when "
        "where which while who whom whose why will with within would you your allowed behave behaves "
        "called cause describe difference differ explain exactly example give happen happened happens "
        "help know make mean meaning means need python show tell understand use used uses using way "
        "ways want work works affect affects handle handled instead made makes making put write "
        "writing written"
    )
)
"""Words that say nothing about what a question is about; Python's keywords among them may (`keywords`)."""

_KEYWORD_FOLLOWERS = frozenset(
    tokens("statement statements keyword clause clauses expression operator loop loops block")
)
_ARTICLES = frozenset(tokens("the a an"))
_ASKED = frozenset(tokens("do does mean means work works"))


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A word without its inflection: `decorators`, `decorated` and `decorating` give the same stem.

    Names with underscores stay as they are. Rougher than Porter's stemmer, and only ever compared
    with itself: https://tartarus.org/martin/PorterStemmer/
    """
    if "_" in word or len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ization", "ation", "izing", "ized", "ition", "ing", "ion", "ed", "or", "er", "ly", "e"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 4 - (suffix == "e"):
            word = word[: -len(suffix)]
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word


@lru_cache(maxsize=4096)
def vocabulary(text: str) -> frozenset[str]:
    """All stems of a text; a name like `__enter__` counts as `enter` too."""
    found: set[str] = set()
    for token in tokens(text):
        found.add(stem(token))
        if "_" in token and (bare := token.strip("_")):
            found.add(stem(bare))
    return frozenset(found)


def keywords(question: str) -> list[str]:
    """The informative words of a question in order, in lower case, each once.

    Stop words go, except where they are meant as words of Python: quoted (`` `is` ``), after another
    kept keyword (``yield from``), between an article or a question and its noun or verb (``the with
    statement``, ``what does in do``). An empty list where nothing is left.
    """
    quoted = {name.lower() for name in QUOTED.findall(question)}
    words = tokens(question)
    kept: list[str] = []
    previous_kept = False
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        after = words[index + 1] if index + 1 < len(words) else ""
        informative = word not in STOP_WORDS
        if not informative and keyword.iskeyword(word):
            informative = (
                word in quoted
                or after in _KEYWORD_FOLLOWERS
                or (before in _ARTICLES and word not in ("is", "in"))
                or (before in ("do", "does") and after in _ASKED)
                or before == "between"
                or (previous_kept and keyword.iskeyword(before) and (not after or after in _ASKED))
            )
        previous_kept = informative
        if informative and word not in kept and (len(word) > 1 or word.isdigit()):
            kept.append(word)
    return kept


def distance(one: str, other: str, most: int) -> int:
    """Edits (insert, delete, replace, swap of neighbours) between two words; `most` + 1 when more.

    Optimal string alignment, Damerau 1964.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, previous = [i], row
        for j, b in enumerate(other, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        before = previous
    return row[-1]


def near(word: str, known: Iterable[str]) -> list[str]:
    """The stems among `known` that `word` is probably a misspelling of, nearest first.

    One edit for words of 6 letters and more, two from 11 on, in words of 5 only a missing letter; the
    first letter is taken as right.
    """
    most = 0 if len(word) < 5 else 1 if len(word) < 11 else 2
    if not most or not word.isalpha():
        return []
    stemmed = stem(word)
    found = []
    for candidate in known:
        if candidate[:1] != word[:1] or len(candidate) < (4 if len(word) > 5 else len(stemmed) + 1):
            continue
        edits = min(distance(stemmed, candidate, most), distance(word, candidate, most))
        if edits <= most:
            found.append((edits, candidate))
    best = min(found)[0] if found else 0
    return sorted(candidate for edits, candidate in found if edits == best)
