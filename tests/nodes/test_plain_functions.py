"""What can be given to `with_policies`, and what would make its policies hold nothing."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from dalsegno import RetryPolicy
from dalsegno.errors import DefinitionError
from dalsegno.nodes.policies import with_policies

RETRY = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)


class Service:
    """Fails once, then answers; called as an object, or by its method."""

    def __init__(self) -> None:
        self.failures = [ConnectionError()]

    async def ask(self, what: str = "") -> str:
        if self.failures:
            raise self.failures.pop()
        return f"answer {what}"

    async def __call__(self, what: str = "") -> str:
        return await self.ask(what)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Service(),
        lambda: Service().ask,
        lambda: functools.partial(Service().ask, "x"),
        lambda: RunnableLambda(lambda x: x, afunc=Service().ask).ainvoke,
    ],
    ids=["an object", "a method", "a partial", "a runnable's way"],
)
def test_everything_that_is_awaited_is_tried_again(make: Any) -> None:
    function = make()
    arguments = () if isinstance(function, functools.partial) else ("x",)
    assert asyncio.run(with_policies(function, retry=RETRY)(*arguments)) == "answer x"


def generator() -> Iterator[int]:
    yield 1


async def agenerator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (generator, "it is a generator"),
        (agenerator, "it is a generator"),
        (RunnableLambda(lambda x: x), "`.invoke` or `.ainvoke`"),
        (3, "a function is needed"),
    ],
)
def test_what_no_policy_could_see_fail_is_refused(function: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        with_policies(function, retry=RETRY)


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_coroutine_from_a_sync_function_is_refused_not_let_go(timeout: float | None) -> None:
    with pytest.raises(DefinitionError, match="returned a coroutine"):
        with_policies(lambda: Service()(), retry=RETRY, timeout=timeout)()


def test_a_fallback_may_be_an_object_that_is_awaited() -> None:
    async def broken(what: str) -> str:
        raise ValueError

    other = Service()
    other.failures.clear()
    assert asyncio.run(with_policies(broken, fallback=other)("x")) == "answer x"
