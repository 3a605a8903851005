"""An error that takes no note, cannot say what it is, or has properties that raise, is dealt with as any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dalsegno import Fallback, RetryPolicy
from dalsegno.graphs.patterns import SagaStep, fallback_chain, parallel, saga


@dataclass(frozen=True)
class Frozen(Exception):
    code: int = 3


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Closed(Exception):
    @property
    def response(self) -> Any:
        raise RuntimeError("there is none")

    retry_after = response


@pytest.fixture(params=[Frozen, Mute, Closed])
def error(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_it_is_tried_again_and_stays_what_it_is(wrap: Any, failing: Any, error: Any) -> None:
    retry = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    assert wrap(failing(error()), retry=retry)() == "answer"
    with pytest.raises(error):
        wrap(failing(error(), error()), retry=retry)()
    with pytest.raises(error):  # given up, with a note where it takes one
        wrap(failing(error()), retry=RetryPolicy(initial_interval=9, max_elapsed=1))()


def test_another_one_answers_or_fails_too(wrap: Any, failing: Any, error: Any) -> None:
    assert wrap(failing(error()), fallback="other")() == "other"
    with pytest.raises(error):
        wrap(failing(error()), fallback=Fallback(failing(error())))()
    with pytest.raises(ZeroDivisionError):
        wrap(failing(error()), retry=RetryPolicy(retry_on=lambda raised: bool(1 / 0)))()


def test_a_pattern_goes_its_way(error: Any) -> None:
    def fail(state: Any) -> Any:
        raise error

    flow = parallel({"bad": fail, "good": lambda state: 1}, on_error="collect")
    output = flow.compile().invoke({"value": 1})
    assert [failed["error"] for failed in output["failures"]] == [error.__name__]
    assert (
        fallback_chain({"bad": fail, "good": lambda state: 1}).compile().invoke({"request": 1})["answered_by"]
        == "good"
    )
    steps = [SagaStep(lambda state: 1, name="one", compensate=lambda state: None), SagaStep(fail, name="two")]
    assert saga(steps).compile().invoke({"request": 1})["outcome"] == "undone"
