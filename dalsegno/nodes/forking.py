"""What a process that was forked has to forget: threads, connections and locks of the other one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

Forget = TypeVar("Forget", bound=Callable[[], None])


def in_forked_child(forget: Forget) -> Forget:
    """Have a function called in every process that is forked from this one. A decorator; nothing without forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
    return forget
