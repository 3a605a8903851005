"""What a workflow is: building, reading, checking and compiling it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalsegno.graphs.model import END, START, Each, Loop

if TYPE_CHECKING:
    from dalsegno.graphs.checking import validate
    from dalsegno.graphs.workflow import Workflow

__all__ = ["END", "START", "Each", "Loop", "Workflow", "validate"]

_LAZY = {"Workflow": "dalsegno.graphs.workflow", "validate": "dalsegno.graphs.checking"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`Workflow` and `validate`, imported when asked for: the model alone is quick to import."""
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
