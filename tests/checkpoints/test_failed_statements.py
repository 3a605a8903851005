"""A statement that failed leaves nothing behind on its connection."""

from __future__ import annotations

import pytest

from dalsegno.checkpoints import open_database
from dalsegno.errors import CheckpointError


def test_what_came_behind_a_failed_statement_is_not_taken_for_prepared(postgres_url: str) -> None:
    database = open_database(postgres_url, connections=1)
    added = "SELECT CAST(? AS INTEGER) + 41"

    def works() -> bool:
        with database.transaction() as transaction:
            return transaction.execute(added, (1,)).fetchone() == (42,)

    def fails() -> None:
        with database.transaction() as transaction:
            transaction.execute("SELECT 1 / 0")
            transaction.execute(added, (1,)).fetchone()

    for _ in range(8):  # psycopg prepares what it has been given five times, also behind one that fails
        with pytest.raises(CheckpointError):
            fails()
        assert works()
    database.close()
