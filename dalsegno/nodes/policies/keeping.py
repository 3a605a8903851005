"""LangGraph's store, as policies keep in it what outlives a process.

A store that fails takes no answer with it: what cannot be read was not kept, what cannot be kept is gone with the
process, and either is told as an action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dalsegno.nodes.policies.case import Case
from dalsegno.nodes.policies.words import in_words

Place = tuple[str, ...]


def found(case: Case, policy: str, store: Any, place: Place, key: str) -> Any:
    """The item at a place in the store; None where there is none, or it cannot be read."""
    try:
        return store.get(place, key)
    except Exception as error:
        _told(case, policy, "not read", error)
        return None


async def afound(case: Case, policy: str, store: Any, place: Place, key: str) -> Any:
    """The same in an event loop."""
    try:
        if _is_elsewhere(store):
            return await asyncio.to_thread(store.get, place, key)
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
        store.put(place, key, value, index=False)
    except Exception as error:
        _told(case, policy, "not kept", error)


async def akept(
    case: Case, policy: str, store: Any, place: Place, key: str, value: Mapping[str, Any]
) -> None:
    """The same in an event loop."""
    try:
        if _is_elsewhere(store):
            return await asyncio.to_thread(store.put, place, key, value, False)
        try:
            await store.aput(place, key, value, index=False)
        except NotImplementedError:
            await asyncio.to_thread(store.put, place, key, value, False)
    except Exception as error:
        _told(case, policy, "not kept", error)


def _is_elsewhere(store: Any) -> bool:
    """Whether an async store lives in another event loop than this: a Runner drives nodes on one of its own."""
    loop = getattr(store, "_loop", None)
    return isinstance(loop, asyncio.AbstractEventLoop) and loop is not asyncio.get_running_loop()


def _told(case: Case, policy: str, what: str, error: Exception) -> None:
    case.acted(policy, what, why=f"the store raised {in_words(error)}")
