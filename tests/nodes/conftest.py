"""Every policy in both colours, on a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dalsegno.nodes.policies import Action, ManualClock, with_policies


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture
def acted() -> list[Action]:
    """What the policies of `wrap` did."""
    return []


@pytest.fixture(params=["sync", "async"])
def wrap(request: pytest.FixtureRequest, acted: list[Action]) -> Callable[..., Any]:
    """A plain function in policies; the async one is called on a loop of its own."""

    def make(function: Callable[..., Any], **policies: Any) -> Callable[..., Any]:
        policies.setdefault("name", getattr(function, "__qualname__", "function"))
        if request.param == "sync":
            return with_policies(function, on_action=acted.append, **policies)

        async def afunction(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        wrapped = with_policies(afunction, on_action=acted.append, **policies)
        return lambda *args, **kwargs: asyncio.run(wrapped(*args, **kwargs))

    return make


class Failing:
    """Raises what it is given, one error a call, then answers."""

    def __init__(self, *errors: BaseException, answer: Any = "answer") -> None:
        self.errors = list(errors)
        self.answer = answer
        self.calls = 0
        self.__qualname__ = "failing"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.answer


@pytest.fixture
def failing() -> type[Failing]:
    return Failing


@pytest.fixture(params=["sync", "async"])
def play(request: pytest.FixtureRequest) -> Callable[[Any, Any], dict[str, Any]]:
    """Has a player read a state, in either colour."""

    def now(player: Any, state: Any) -> dict[str, Any]:
        result: dict[str, Any] = (
            player.invoke(state) if request.param == "sync" else asyncio.run(player.ainvoke(state))
        )
        return result

    return now


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Has a runner run or resume, in either colour: `drive(runner, "run", input, thread=...)`."""

    def now(runner: Any, what: str, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            return getattr(runner, what)(*args, **options)
        return asyncio.run(getattr(runner, f"a{what}")(*args, **options))

    return now
