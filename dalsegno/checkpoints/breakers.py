"""Circuit breakers that are open, for the next process and for those beside this one."""

from __future__ import annotations

from dalsegno.checkpoints.journal import Journal
from dalsegno.errors import CheckpointError


class KeptBreakers:
    """The breakers of one database.

    What cannot be read or written now is not kept, and nothing is raised for it: a breaker's state is worth no failure
    of its node, and the run's next write says what is wrong with the database.
    """

    def __init__(self, ledger: Journal) -> None:
        self._database = ledger.database

    def breaker_get(self, key: str) -> tuple[float | None, float] | None:
        """Since when a breaker is open (None: it is closed), and when that came about, in unix seconds; None where
        nothing is known of it."""
        try:
            with self._database.read() as connection:
                row = connection.execute(
                    "SELECT opened_at, changed_at FROM breakers WHERE key = ?", (key,)
                ).fetchone()
        except CheckpointError:
            return None
        return (row[0], row[1]) if row is not None else None

    def breaker_put(self, key: str, opened_at: float | None, changed_at: float) -> None:
        """Keep what has become of a breaker, committed at once."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO breakers (key, opened_at, changed_at) VALUES (?, ?, ?) ON CONFLICT (key) "
                    "DO UPDATE SET opened_at = excluded.opened_at, changed_at = excluded.changed_at",
                    (key, opened_at, changed_at),
                )
        except CheckpointError:
            return
