"""Where the mark is kept: checkpoints, the ledger of runs, and the database that holds both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.checkpoints.checkpointer import Checkpointer
    from dalsegno.checkpoints.claims import Claim
    from dalsegno.checkpoints.file.database import Database
    from dalsegno.checkpoints.interface import AnyDatabase
    from dalsegno.checkpoints.ledger import Ledger
    from dalsegno.checkpoints.opening import open_checkpointer, open_database
    from dalsegno.checkpoints.records import ExecutionRecord, RunRecord
    from dalsegno.checkpoints.sqlite import SqliteCheckpointer

__all__ = [
    "AnyDatabase",
    "Checkpointer",
    "Claim",
    "Database",
    "ExecutionRecord",
    "Ledger",
    "RunRecord",
    "SqliteCheckpointer",
    "open_checkpointer",
    "open_database",
]

# Loaded at first use: the ledger can be read without langgraph, which takes 0.2 seconds to import.
_MODULES = {
    "AnyDatabase": "interface",
    "Checkpointer": "checkpointer",
    "Claim": "claims",
    "Database": "file.database",
    "ExecutionRecord": "records",
    "Ledger": "ledger",
    "RunRecord": "records",
    "SqliteCheckpointer": "sqlite",
    "open_checkpointer": "opening",
    "open_database": "opening",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
