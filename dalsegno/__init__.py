"""Agent workflows that are proved to end and resume from the mark."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# fmt: off
if TYPE_CHECKING:
    from dalsegno.checkpoints import SqliteCheckpointer  # noqa: I001 - one line a room
    from dalsegno.errors import DalsegnoError
    from dalsegno.graphs import END, START, Each, Loop, Workflow, validate
    from dalsegno.nodes import Secret, aeffect, effect
    from dalsegno.nodes.players import agent, human, remote, tool
    from dalsegno.nodes.policies import Budget, Cache, CircuitBreaker, Fallback, RateLimit, RetryPolicy, Timeout, Watch
    from dalsegno.runtime import Runner, RunResult

__version__ = "0.1.0.dev0"
__all__ = [
    "END", "START", "Budget", "Cache", "CircuitBreaker", "DalsegnoError", "Each", "Fallback", "Loop", "RateLimit",
    "RetryPolicy", "RunResult", "Runner", "Secret", "SqliteCheckpointer", "Timeout", "Watch", "Workflow", "__version__",
    "aeffect", "agent", "effect", "human", "remote", "tool", "validate",
]
_NAMES = {
    "dalsegno.checkpoints": ("SqliteCheckpointer",), "dalsegno.errors": ("DalsegnoError",),
    "dalsegno.graphs": ("END", "START", "Each", "Loop", "Workflow", "validate"),
    "dalsegno.nodes": ("Secret", "aeffect", "effect"),
    "dalsegno.nodes.players": ("agent", "human", "remote", "tool"),
    "dalsegno.nodes.policies": (
        "Budget", "Cache", "CircuitBreaker", "Fallback", "RateLimit", "RetryPolicy", "Timeout", "Watch"),
    "dalsegno.runtime": ("Runner", "RunResult"),
}
# fmt: on
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
