"""What happens: starting, going on with and listening to runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.runtime.result import RunResult
    from dalsegno.runtime.runner import Runner

__all__ = ["RunResult", "Runner"]

_LAZY = {"RunResult": "dalsegno.runtime.result", "Runner": "dalsegno.runtime.runner"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`Runner` brings LangGraph with it, so it is imported when asked for."""
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
