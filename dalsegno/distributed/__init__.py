"""Many workers: Temporal hands runs to them, PostgreSQL keeps checkpoints and ledger. The extra `distributed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.distributed.client import Client
    from dalsegno.distributed.handle import Handle
    from dalsegno.distributed.server import DevEngine
    from dalsegno.distributed.worker import Worker

__all__ = ["Client", "DevEngine", "Handle", "Worker"]

_LAZY = {
    "Client": "dalsegno.distributed.client",
    "DevEngine": "dalsegno.distributed.server",
    "Handle": "dalsegno.distributed.handle",
    "Worker": "dalsegno.distributed.worker",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Each brings the runtime with it, so it is imported when asked for."""
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
