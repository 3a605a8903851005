"""Threads in which an async run reaches its database, beside those in which an event loop has sync nodes executed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from dalsegno.nodes.forking import in_forked_child

P = ParamSpec("P")
T = TypeVar("T")

_MOST = 32
"""Threads, of all loops of the process."""

_pool: ThreadPoolExecutor | None = None


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `asyncio.to_thread`, which has the threads of the sync nodes: behind all those that wait for one, what a node
    wrote or an effect gave was committed, and a crash meanwhile had it done again."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MOST, thread_name_prefix="dalsegno-database")
    call: Any = partial(contextvars.copy_context().run, work, *args, **kwargs)
    done: T = await asyncio.get_running_loop().run_in_executor(_pool, call)
    return done


def end_threads() -> None:
    """End the threads, when they have done what they were given; the next use starts others."""
    global _pool
    pool, _pool = _pool, None
    if pool is not None:
        pool.shutdown()


@in_forked_child
def _forget() -> None:
    global _pool
    _pool = None  # its threads are the parent's
