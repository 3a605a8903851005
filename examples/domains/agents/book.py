"""A book in SQLite, in which nothing stands twice: an entry has the idempotency key of the request that made it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving import idempotency_key

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE, action TEXT NOT NULL, subject TEXT NOT NULL,
    answer TEXT NOT NULL, at REAL NOT NULL
)"""


class Book:
    """What an agent did, in its order; one writer at a time."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA busy_timeout=5000")
        self._connection.execute(_TABLE)
        self._lock = threading.Lock()

    def once(self, action: str, subject: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The answer of `work`, written down; or, where the request was here before, what it was answered then.

        Work and entry are one transaction: an agent that is killed in between has done neither.
        """
        key = idempotency_key()
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                before = self._connection.execute(
                    "SELECT answer FROM entries WHERE key = ?", (key,)
                ).fetchone()
                if before is not None:
                    self._connection.execute("ROLLBACK")
                    return json.loads(before[0])
                answer = work()
                self._connection.execute(
                    "INSERT INTO entries (key, action, subject, answer, at) VALUES (?, ?, ?, ?, ?)",
                    (key, action, subject, json.dumps(answer), time.time()),
                )
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        return answer

    def answers(self, action: str, subject: str) -> list[dict[str, Any]]:
        """What was answered for an action on a subject; within `once` it reads what is about to be committed."""
        rows = self._connection.execute(
            "SELECT answer FROM entries WHERE action = ? AND subject = ? ORDER BY id", (action, subject)
        )
        return [json.loads(answer) for (answer,) in rows]

    def total(self, action: str, field: str) -> float:
        """The sum of a field over all entries of an action."""
        (total,) = self._connection.execute(
            "SELECT COALESCE(SUM(json_extract(answer, '$.' || ?)), 0) FROM entries WHERE action = ?",
            (field, action),
        ).fetchone()
        return float(total)

    def next(self, prefix: str) -> str:
        """A name that is not taken; within `once` only."""
        (last,) = self._connection.execute("SELECT COALESCE(MAX(id), 0) FROM entries").fetchone()
        return f"{prefix}-{last + 1}"

    def entries(self) -> list[dict[str, Any]]:
        """All of it, in order."""
        with self._lock:
            rows = self._connection.execute("SELECT action, subject, at FROM entries ORDER BY id").fetchall()
        return [{"action": action, "subject": subject, "at": at} for action, subject, at in rows]
