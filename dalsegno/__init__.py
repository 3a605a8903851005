"""Agent workflows that are proved to end and resume from the mark."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.checkpoints import SqliteCheckpointer
    from dalsegno.errors import DalsegnoError
    from dalsegno.graphs import END, START, Each, Loop, Workflow, validate
    from dalsegno.nodes import aeffect, effect
    from dalsegno.nodes.policies import Budget, RetryPolicy
    from dalsegno.runtime import Runner, RunResult

__version__ = "0.1.0.dev0"
# fmt: off
__all__ = [
    "END", "START", "Budget", "DalsegnoError", "Each", "Loop", "RetryPolicy", "RunResult", "Runner",
    "SqliteCheckpointer", "Workflow", "__version__", "aeffect", "effect", "validate",
]
# fmt: on

_NAMES = {
    "dalsegno.checkpoints": ("SqliteCheckpointer",),
    "dalsegno.errors": ("DalsegnoError",),
    "dalsegno.graphs": ("END", "START", "Each", "Loop", "Workflow", "validate"),
    "dalsegno.nodes": ("aeffect", "effect"),
    "dalsegno.nodes.policies": ("Budget", "RetryPolicy"),
    "dalsegno.runtime": ("Runner", "RunResult"),
}
_ROOMS = {name: room for room, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker that saw this would believe in every name

    def __getattr__(name: str) -> Any:
        """A public name, out of its room; imported when asked for, so that `--help` stays quick."""
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_ROOMS[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
