"""Whose turn it is under a rate limit that the processes of one database share."""

from __future__ import annotations

import json
from collections import deque

from dalsegno.checkpoints.journal import Journal
from dalsegno.errors import CheckpointError
from dalsegno.nodes.policies.turns import next_turn


class KeptTurns:
    """The turns of one database that other machines reach too.

    What cannot be asked now is not shared: each process keeps to the limit by itself then, and the run's next write
    says what is wrong with the database.
    """

    def __init__(self, ledger: Journal) -> None:
        self._database = ledger.database

    def take(self, name: str, *, calls: int, per: float, now: float, most: float | None) -> float | None:
        """Take the next turn under a name; unix seconds at which it comes, None where the database is away.

        One that would come more than `most` seconds from `now` is not taken.
        """
        try:
            with self._database.transaction() as connection:
                self._database.lock(f"rate limit {name}")
                row = connection.execute("SELECT begun FROM turns WHERE name = ?", (name,)).fetchone()
                begun: deque[float] = deque(json.loads(row[0]) if row is not None else ())
                at = next_turn(begun, calls=calls, per=per, now=now)
                if most is None or at - now <= most:
                    begun.append(at)
                    connection.execute(
                        "INSERT INTO turns (name, begun) VALUES (?, ?) "
                        "ON CONFLICT (name) DO UPDATE SET begun = excluded.begun",
                        (name, json.dumps(list(begun)[-calls:])),
                    )
        except CheckpointError:
            return None
        return at
