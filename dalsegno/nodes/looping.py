"""What can only be called in an event loop."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.tools import StructuredTool


def has_no_sync_way(runnable: Any) -> bool:
    """Whether a runnable can only be called in an event loop: one of a coroutine function and nothing else."""
    steps = getattr(runnable, "steps", None)
    if isinstance(steps, list):
        return any(map(has_no_sync_way, steps))
    if isinstance(runnable, RunnableBindingBase):
        return has_no_sync_way(runnable.bound)
    if isinstance(runnable, RunnableLambda):
        return getattr(runnable, "func", None) is None
    if isinstance(runnable, StructuredTool):
        return runnable.func is None
    return False
