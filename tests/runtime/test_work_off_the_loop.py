"""Blocking work beside an event loop is done once, whatever threads there are."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dalsegno.runtime import off_loop
from dalsegno.runtime.off_loop import OffLoop


def test_where_there_are_no_more_threads_it_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done: list[str] = []

    async def main() -> None:
        is_over = threading.Event()
        other = OffLoop(is_over.wait)  # has the pool's only thread
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            await off_loop.off_loop(lambda: done.append("once"))
        is_over.set()
        await other.ended()
        await off_loop.off_loop(lambda: None)

    monkeypatch.setattr(off_loop, "_pool", None)  # that of other tests may have threads that are free
    asyncio.run(main())
    assert done == ["once"]


def test_what_it_raises_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        asyncio.run(off_loop.off_loop(fail))
