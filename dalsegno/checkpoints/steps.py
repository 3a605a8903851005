"""The committed executions of a run for somebody who follows it: each of them once.

They are numbered by their rows. In a file rows come to be there in that order. On a server one may come after another
with a higher number, since its transaction took longer; so it is counted how many there are up to the highest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dalsegno.checkpoints import values
from dalsegno.checkpoints.interface import Statements
from dalsegno.checkpoints.ledger import Ledger
from dalsegno.nodes.paths import shown

SEEN = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")
"""What `Seen` is as text."""

_COLUMNS = "id, superstep, node, occurrence, idx, attempt, status, started_at, seconds, error"
_NAMES = ("superstep", "node", "occurrence", "index", "attempt", "status", "started_at", "seconds")


@dataclass(frozen=True)
class Seen:
    """How far somebody has seen a run's executions: up to which number, and how many, where that has to be known.

    >>> str(Seen(17)), str(Seen(17, 3)), Seen.of("17.3")
    ('17', '17.3', Seen(number=17, count=3))
    """

    number: int = 0
    count: int | None = None

    def __str__(self) -> str:
        return str(self.number) if self.count is None else f"{self.number}.{self.count}"

    @classmethod
    def of(cls, text: str) -> Self:
        """What a text says that matches `SEEN` as a whole."""
        number, _, count = text.partition(".")
        return cls(int(number), int(count) if count else None)


class Steps:
    """Reads a run's executions, those that came after `seen`; of one run, by one reader.

    Where more are there up to that number than were seen, it cannot be known which are the new ones: all of them are
    given again.
    """

    def __init__(self, ledger: Ledger, run_id: str, seen: Seen | None = None) -> None:
        self.seen = seen or Seen()
        self._database = ledger.database
        self._run_id = run_id
        self._given: set[int] | None = None

    def more(self, limit: int = 500) -> list[tuple[Seen, Mapping[str, Any]]]:
        """Those that were not given yet, each with what has been seen after it; about so many at most.

        A router's decision outside of any node has the occurrence 0.
        """
        found: list[tuple[Seen, Mapping[str, Any]]] = []
        with self._database.read() as connection:
            rows = self._late(connection) if self._database.is_shared else []
            rows += self._rows(connection, "id > ? ORDER BY id LIMIT ?", self.seen.number, limit)
        for row in rows:
            self.seen = self._with(row[0])
            found.append((self.seen, _step(row)))
        return found

    def _with(self, number: int) -> Seen:
        highest = max(self.seen.number, number)
        if self._given is None:
            return Seen(highest)
        self._given.add(number)
        return Seen(highest, len(self._given))

    def _late(self, connection: Statements) -> list[Any]:
        """What has come to be there before what was seen last."""
        where, parameters = "FROM executions WHERE run_id = ? AND id <= ?", (self._run_id, self.seen.number)
        (count,) = connection.execute(f"SELECT count(*) {where}", parameters).fetchone()
        if self._given is None:
            self._given = set()
            if self.seen.count in (None, count):
                self._given.update(
                    n for (n,) in connection.execute(f"SELECT id {where}", parameters).fetchall()
                )
        if count == len(self._given):
            return []
        rows = self._rows(connection, "id <= ? ORDER BY id", self.seen.number)
        return [row for row in rows if row[0] not in self._given]

    def _rows(self, connection: Statements, where: str, *parameters: Any) -> list[Any]:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM executions WHERE run_id = ? AND {where}", (self._run_id, *parameters)
        ).fetchall()


def _step(row: tuple[Any, ...]) -> Mapping[str, Any]:
    found = {**dict(zip(_NAMES, row[1:9], strict=True)), "error": values.load_json(row[9])}
    found["node"] = shown(found["node"])
    if str(found["occurrence"]).isdecimal():
        found["occurrence"] = int(found["occurrence"])  # a column of a server has one type
    return found
