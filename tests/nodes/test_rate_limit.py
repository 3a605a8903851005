"""So many calls in a time, so many at once, and the rest waits its turn."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, TypedDict

import pytest

from dalsegno import END, START, RateLimit, Runner, Workflow
from dalsegno.errors import DefinitionError, RateLimited
from dalsegno.nodes.policies import Action, ManualClock, with_policies


class State(TypedDict, total=False):
    n: int


def test_calls_beyond_the_rate_wait_until_their_turn(
    wrap: Any, failing: Any, clock: ManualClock, acted: list[Any]
) -> None:
    call = wrap(failing(), rate_limit=RateLimit(calls=2, per=10, clock=clock))
    times = []
    for _ in range(5):
        call()
        times.append(clock.now() - 1000)
    assert times == [0, 0, 10, 10, 20]
    assert [a.detail["seconds"] for a in acted] == [10, 10]


def test_in_any_window_there_are_no_more_calls_than_the_rate(failing: Any, clock: ManualClock) -> None:
    call = with_policies(failing(), rate_limit=RateLimit(calls=3, per=10, clock=clock))
    times = []
    for pause in (0, 4, 4, 0, 1, 9, 0, 0, 2):
        clock.advance(pause)
        call()
        times.append(clock.now())
    assert all(later - earlier >= 10 for earlier, later in zip(times, times[3:], strict=False))


def test_who_would_wait_too_long_is_refused(wrap: Any, failing: Any, clock: ManualClock) -> None:
    call = wrap(failing(), rate_limit=RateLimit(calls=1, per=10, max_wait=5, clock=clock))
    call()
    with pytest.raises(RateLimited, match="than the 5 seconds"):
        call()
    clock.advance(6)
    assert call() == "answer"


def test_a_clock_that_goes_back_does_not_make_everybody_wait_for_its_old_time(
    wrap: Any, failing: Any, clock: ManualClock
) -> None:
    call = wrap(failing(), rate_limit=RateLimit(calls=1, per=10, clock=clock))
    call()
    clock.advance(-5000)
    call()
    assert clock.slept == []


def test_threads_share_the_places() -> None:
    limit, going, most, lock = RateLimit(concurrency=2), [0], [0], threading.Lock()
    meet = threading.Barrier(2)

    def work() -> None:
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
        meet.wait(5)
        with lock:
            going[0] -= 1

    call = with_policies(work, rate_limit=limit)
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [2]
    assert limit.turns.going == 0


def test_tasks_of_a_loop_share_the_places_and_go_in_their_order() -> None:
    async def scenario() -> tuple[int, list[int]]:
        going = most = 0
        order = []

        async def work(number: int) -> None:
            nonlocal going, most
            going += 1
            most = max(most, going)
            order.append(number)
            await asyncio.sleep(0)
            going -= 1

        call = with_policies(work, rate_limit=RateLimit(concurrency=3))
        await asyncio.gather(*(call(n) for n in range(9)))
        return most, order

    assert asyncio.run(scenario()) == (3, list(range(9)))


def test_a_place_is_given_back_by_who_fails_waits_too_long_or_is_cancelled(clock: ManualClock) -> None:
    limit = RateLimit(concurrency=1, max_wait=5, clock=clock)

    async def scenario() -> None:
        release = asyncio.Event()
        held = asyncio.ensure_future(with_policies(release.wait, rate_limit=limit, name="held")())
        await asyncio.sleep(0)
        late = asyncio.ensure_future(with_policies(release.wait, rate_limit=limit, name="late")())
        await asyncio.sleep(0.01)
        clock.advance(6)
        with pytest.raises(RateLimited, match="`late`"):
            await late
        gone = asyncio.ensure_future(with_policies(release.wait, rate_limit=limit, name="gone")())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        held.cancel()
        await asyncio.wait([held])

    asyncio.run(scenario())
    with pytest.raises(ZeroDivisionError):
        with_policies(lambda: 1 / 0, rate_limit=limit)()
    assert (limit.turns.going, len(limit.turns.waiting)) == (0, 0)
    assert with_policies(lambda: "free", rate_limit=limit)() == "free"


def test_who_cannot_wait_because_a_listener_fails_is_in_nobodys_way(clock: ManualClock) -> None:
    places = RateLimit(concurrency=1, clock=clock)

    def listen(action: Action) -> None:
        raise OSError("the disk is full")

    async def asked() -> str:
        return "free"

    async def scenario() -> None:
        release = asyncio.Event()
        held = asyncio.ensure_future(with_policies(release.wait, rate_limit=places, name="held")())
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="disk"):
            await with_policies(asked, rate_limit=places, on_action=listen)()
        with pytest.raises(OSError, match="disk"):
            with_policies(lambda: "free", rate_limit=places, on_action=listen)()
        release.set()
        await held

    asyncio.run(scenario())
    assert (places.turns.going, len(places.turns.waiting)) == (0, 0)


def limit() -> RateLimit:
    return RateLimit(concurrency=1, max_wait=5)


def test_a_call_within_one_of_the_same_limit_goes_on_in_its_place() -> None:
    places = limit()

    def inner() -> int:
        assert places.turns.going == 1
        return 1

    async def ainner() -> int:
        return inner()

    call, acall = (with_policies(f, rate_limit=places) for f in (inner, ainner))

    async def aouter() -> int:
        return await acall() + await asyncio.to_thread(call)

    assert with_policies(lambda: call() + call(), rate_limit=places, timeout=30)() == 2
    assert asyncio.run(with_policies(aouter, rate_limit=places)()) == 2
    assert places.turns.going == 0


def test_what_outlives_a_call_waits_for_a_place_of_its_own() -> None:
    places = limit()
    going: list[int] = []

    async def note() -> None:
        going.append(places.turns.going)

    async def start() -> asyncio.Task[None]:
        async def later() -> None:
            await over.wait()
            await with_policies(note, rate_limit=places)()

        return asyncio.create_task(later())

    async def main() -> None:
        task = await with_policies(start, rate_limit=places)()
        assert places.turns.going == 0
        over.set()
        await task

    over = asyncio.Event()
    asyncio.run(main())
    assert (going, places.turns.going) == ([1], 0)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_subworkflow_and_its_nodes_may_have_one_limit(tmp_path: Path, is_async: bool) -> None:
    places = limit()

    async def anode(state: Any) -> dict[str, int]:
        return {"n": places.turns.going}

    node: Any = anode if is_async else lambda state: {"n": places.turns.going}
    child = Workflow("child", State).add_node("node", node, rate_limit=places)
    child.add_edge(START, "node").add_edge("node", END)
    flow = Workflow("flow", State).add_node("child", child, rate_limit=places)
    flow.add_edge(START, "child").add_edge("child", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({}).raise_for_status().output["n"] == 1
        assert asyncio.run(runner.arun({})).raise_for_status().output["n"] == 1


def test_one_limit_holds_for_threads_and_event_loops_at_once() -> None:
    limit, entered, release = RateLimit(concurrency=1), threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        release.wait()

    thread = threading.Thread(target=with_policies(hold, rate_limit=limit))
    thread.start()
    entered.wait()

    async def work() -> str:
        return "in the loop"

    async def scenario() -> str:
        task = asyncio.ensure_future(with_policies(work, rate_limit=limit)())
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        result: str = await task
        return result

    assert asyncio.run(scenario()) == "in the loop"
    thread.join()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"calls": 0},
        {"calls": 2.5},
        {"calls": 1, "per": 0},
        {"concurrency": 0},
        {"concurrency": True},
        {"calls": 1, "max_wait": -1},
        {"per": 60, "concurrency": 2},
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="RateLimit"):
        RateLimit(**options)
