"""What is left to be collected as garbage is ended beside the thread that collects it.

Python collects in the midst of whatever a thread does, and calls what ends the objects right there: with all locks that
the thread holds, of which it would wait for itself.
"""

from __future__ import annotations

import _thread
import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import get_ident
from typing import Any

_collecting: int | None = None
"""The thread that collects garbage; there is never more than one."""


def beside_collecting(work: Callable[[], object]) -> None:
    """Do it; where this thread collects garbage, in another one, for which nobody waits. As the interpreter ends, no
    other one runs any more."""
    if _collecting == get_ident() and not sys.is_finalizing():
        with suppress(RuntimeError):  # no more threads
            # Not `Thread.start`, which waits until the thread has begun, and for a lock of its own.
            _thread.start_new_thread(_done, (work,))
            return
    work()


def _done(work: Callable[[], object]) -> None:
    with suppress(GeneratorExit):  # by which it was left
        work()


def _note(phase: str, info: Mapping[str, Any], who: Callable[[], int] = get_ident) -> None:
    global _collecting  # `who` is there also when the interpreter ends and has emptied this module
    _collecting = who() if phase == "start" else None


gc.callbacks.append(_note)
