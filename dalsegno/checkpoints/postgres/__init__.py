"""PostgreSQL behind the interface of `checkpoints.interface`: the checkpoints in the tables of LangGraph's
`PostgresSaver`, and ours beside them in the same schema."""

from __future__ import annotations

from dalsegno.errors import MissingExtra

try:
    import langgraph.checkpoint.postgres  # noqa: F401
    import psycopg_pool  # noqa: F401
except ImportError as error:
    raise MissingExtra(
        f"A database on PostgreSQL needs `{error.name}`, which is not installed: "
        "pip install 'dalsegno[distributed]'.",
        extra="distributed",
    ) from error

from dalsegno.checkpoints.postgres.database import PostgresDatabase
from dalsegno.checkpoints.postgres.saver import PostgresCheckpointer

__all__ = ["PostgresCheckpointer", "PostgresDatabase"]
