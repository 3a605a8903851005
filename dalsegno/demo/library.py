"""The passages in a full-text index: words and trigrams, fused by reciprocal rank.

Words find what is spelled as in the text, trigrams find the rest (``decoratr``, ``init``). Needs
SQLite 3.34 or newer with FTS5, which is what has the trigram tokenizer: https://www.sqlite.org/fts5.html
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from dalsegno.demo import topics, words
from dalsegno.demo.topics import Passage
from dalsegno.errors import DatabaseUnavailable, MissingExtra

Mode = Literal["hybrid", "words", "trigrams"]

FORMAT = 1
FUSION = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

_SCHEMA = """
    CREATE TABLE passage
        (number INTEGER PRIMARY KEY, id TEXT, topic TEXT, heading TEXT, position INTEGER, text TEXT);
    CREATE TABLE word (stem TEXT PRIMARY KEY, passages INTEGER) WITHOUT ROWID;
    CREATE TABLE origin (made_for TEXT);
    CREATE VIRTUAL TABLE words USING fts5(topic, heading, text, content='passage', content_rowid='number',
        tokenize="porter unicode61 tokenchars '_'");
    CREATE VIRTUAL TABLE trigrams USING fts5(topic, heading, text, content='passage', content_rowid='number',
        tokenize='trigram');
"""
_RANKED = {
    index: f"SELECT rowid FROM {index} WHERE {index} MATCH ? "
    f"ORDER BY bm25({index}, 4.0, 3.0, 1.0), rowid LIMIT ?"
    for index in ("words", "trigrams")
}


class Library:
    """A searchable collection of passages; safe to share between threads.

    Use `Library.open` for the documentation topics of the running Python, `Library(passages)` for any
    other passages, in memory.
    """

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._start(_built(passages))

    def _start(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        (self._size,) = connection.execute("SELECT count(*) FROM passage").fetchone()

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> Library:
        """The topics of the running Python, indexed in the file `path`, or in memory.

        The file is made where it is missing, broken, or made by another version of Python; always
        whole, by replacing it, so that a process killed meanwhile leaves nothing half-made.

        Raises
        ------
        MissingExtra
            This Python's SQLite has no FTS5 with trigrams.
        DatabaseUnavailable
            The file cannot be written.
        """
        if path is None:
            return cls(topics.split(topics.load()))
        file = Path(path)
        connection = _existing(file)
        if connection is None:
            _write(file)
            connection = _existing(file)
        if connection is None:
            raise DatabaseUnavailable(
                f"The index {file} was written and cannot be read back.", path=str(file)
            )
        library = cls.__new__(cls)
        library._start(connection)
        return library

    def search(self, query: str, k: int = 5, *, mode: Mode = "hybrid") -> list[Passage]:
        """The `k` best passages for any text, best first, with their score; none where nothing fits.

        `query` is data: nothing in it is read as query syntax. `mode` picks the index; ``hybrid`` sums
        1 / (60 + rank) over both.
        """
        asked = words.keywords(query)
        depth = max(50, 3 * k)
        fused: Counter[int] = Counter()
        for index in ("words", "trigrams"):
            expression = _word_query(asked) if index == "words" else _trigram_query(asked)
            if expression and mode in ("hybrid", index):
                with self._lock:
                    rows = self._connection.execute(_RANKED[index], (expression, depth)).fetchall()
                for rank, (number,) in enumerate(rows, 1):
                    fused[number] += 1 / (FUSION + rank)  # type: ignore[assignment]
        best = sorted(fused, key=lambda number: (-fused[number], number))[: max(k, 0)]
        return [self._passage(number, fused[number]) for number in best]

    def weights(self, question: str) -> dict[str, float]:
        """How informative each keyword of a question is, 0..1: its inverse document frequency.

        A word that no passage has weighs 1, a misspelt one as much as what it is probably meant to be.
        """
        most = math.log(1 + self._size)
        return {
            word: math.log(1 + self._size / (1 + self._frequency(word))) / most
            for word in words.keywords(question)
        }

    def __len__(self) -> int:
        """The number of passages."""
        return int(self._size)

    def close(self) -> None:
        """Close the index; searching afterwards fails."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _passage(self, number: int, score: float) -> Passage:
        with self._lock:
            row = self._connection.execute(
                "SELECT id, topic, heading, position, text FROM passage WHERE number = ?", (number,)
            ).fetchone()
        return cast(
            Passage, dict(zip(("id", "topic", "heading", "position", "text"), row, strict=True), score=score)
        )

    def _frequency(self, word: str) -> int:
        with self._lock:
            row = self._connection.execute(
                "SELECT passages FROM word WHERE stem = ?", (words.stem(word),)
            ).fetchone()
            if row:
                return int(row[0])
            same_letter = self._connection.execute(
                "SELECT stem, passages FROM word WHERE stem >= ? AND stem < ?",
                (word[0], chr(ord(word[0]) + 1)),
            ).fetchall()
        frequencies = dict(same_letter)
        return max((int(frequencies[stem]) for stem in words.near(word, frequencies)), default=0)


def _word_query(asked: list[str]) -> str:
    """Any of the words, and better the neighbours together."""
    pairs = [f'"{one} {other}"' for one, other in pairwise(asked)]
    return " OR ".join([f'"{word}"' for word in asked] + pairs)


def _trigram_query(asked: list[str]) -> str:
    """Any three letters in a row; bm25 lets the rare ones decide."""
    parts = {word[start : start + 3]: None for word in asked for start in range(len(word) - 2)}
    return " OR ".join(f'"{part}"' for part in list(parts)[:200])


def _made_for() -> str:
    return f"{FORMAT}:{sys.implementation.name}:{'.'.join(map(str, sys.version_info))}"


def _existing(file: Path) -> Any | None:
    """A connection that only reads, or None where the file is missing, broken or of another Python."""
    if not file.is_file():
        return None
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    try:
        row = connection.execute("SELECT made_for FROM origin").fetchone()
        if row and row[0] == _made_for():
            return connection
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return None


def _write(file: Path) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with Library(topics.split(topics.load())) as library:
            target = sqlite3.connect(str(scratch))
            try:
                library._connection.backup(target)
            finally:
                target.close()
        os.replace(scratch, file)
    except (OSError, sqlite3.OperationalError) as error:
        raise DatabaseUnavailable(
            f"The demo's index {file} cannot be written: {error}. Choose another place or make room.",
            path=str(file),
        ) from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _built(passages: Iterable[Passage]) -> Any:
    """A new index in memory."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        connection.close()
        raise MissingExtra(
            f"The demo needs SQLite 3.34 or newer with FTS5 and its trigram tokenizer; this Python has "
            f"{sqlite3.sqlite_version} ({error}). Install pysqlite3, which brings its own SQLite.",
            extra="pysqlite3",
        ) from error
    frequencies: Counter[str] = Counter()
    rows = []
    for number, passage in enumerate(passages, 1):
        rows.append((number, *(passage[key] for key in ("id", "topic", "heading", "position", "text"))))
        frequencies.update(words.vocabulary(searchable(passage)))
    with connection:
        connection.executemany("INSERT INTO passage VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO word VALUES (?, ?)", sorted(frequencies.items()))
        connection.execute("INSERT INTO origin VALUES (?)", (_made_for(),))
        connection.execute("INSERT INTO words(words) VALUES ('rebuild')")
        connection.execute("INSERT INTO trigrams(trigrams) VALUES ('rebuild')")
    return connection


def searchable(passage: Passage) -> str:
    """Everything of a passage that a word can be found in."""
    return f"{passage['topic']} {passage['heading']}\n{passage['text']}"
