"""LangGraph's store, as policies keep in it what outlives a process.

A store that fails takes no answer with it: what cannot be read was not kept, what cannot be kept is gone with the
process, and either is told as an action.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

from dalsegno.nodes.policies.case import Case
from dalsegno.nodes.policies.words import in_words

Place = tuple[str, ...]

PATIENCE = 2.0
"""Seconds in which another event loop, where a store lives, has to begin with what it is asked."""


def asked(store: Any, what: str, *args: Any, **options: Any) -> Any:
    """What a store answers to a sync call, whichever event loop it lives in.

    Raises
    ------
    TimeoutError
        That loop is blocked, perhaps by whoever waits for this very run.
    """
    loop = _elsewhere(store)
    if loop is None:
        return getattr(store, what)(*args, **options)
    return _there(loop, lambda: getattr(store, f"a{what}")(*args, **options))


def found(case: Case, policy: str, store: Any, place: Place, key: str) -> Any:
    """The item at a place in the store; None where there is none, or it cannot be read."""
    try:
        return asked(store, "get", place, key)
    except Exception as error:
        _told(case, policy, "not read", error)
        return None


async def afound(case: Case, policy: str, store: Any, place: Place, key: str) -> Any:
    """The same in an event loop."""
    try:
        if _elsewhere(store) is not None:
            return await asyncio.to_thread(asked, store, "get", place, key)
        try:
            return await store.aget(place, key)
        except NotImplementedError:  # LangGraph's SqliteStore is for sync calls only
            return await asyncio.to_thread(store.get, place, key)
    except Exception as error:
        _told(case, policy, "not read", error)
        return None


def kept(case: Case, policy: str, store: Any, place: Place, key: str, value: Mapping[str, Any]) -> None:
    """Keep a value in the store."""
    try:
        asked(store, "put", place, key, value, index=False)
    except Exception as error:
        _told(case, policy, "not kept", error)


async def akept(
    case: Case, policy: str, store: Any, place: Place, key: str, value: Mapping[str, Any]
) -> None:
    """The same in an event loop."""
    try:
        if _elsewhere(store) is not None:
            return await asyncio.to_thread(asked, store, "put", place, key, value, index=False)
        try:
            await store.aput(place, key, value, index=False)
        except NotImplementedError:
            await asyncio.to_thread(store.put, place, key, value, False)
    except Exception as error:
        _told(case, policy, "not kept", error)


def _elsewhere(store: Any) -> asyncio.AbstractEventLoop | None:
    """The event loop of an async store that lives in another one than this: a Runner drives nodes on one of its own."""
    loop = getattr(store, "_loop", None)
    if not isinstance(loop, asyncio.AbstractEventLoop):
        return None
    try:
        return None if loop is asyncio.get_running_loop() else loop
    except RuntimeError:  # none runs here
        return loop


def _there(loop: asyncio.AbstractEventLoop, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Ask a store in its event loop, which may be waiting for this run itself: then for ever."""
    begun = threading.Event()

    async def work() -> Any:
        begun.set()
        return await ask()

    started = work()
    try:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(started, loop)
    except RuntimeError:  # it is closed
        started.close()
        raise
    if not begun.wait(PATIENCE):
        future.cancel()
        raise TimeoutError(
            f"The store's event loop was busy for {PATIENCE:g} seconds. If it waits for this run, await `arun` instead."
        )
    return future.result()


def _told(case: Case, policy: str, what: str, error: Exception) -> None:
    case.acted(policy, what, why=f"the store raised {in_words(error)}")
