"""Every way a node can fail, under every policy, ends in one of the six ways; there is no seventh.

Retried · fell back · handled by its handler · skipped, as declared · compensated · or the run fails, resumable,
with node, attempt, error and traceback in the ledger.
"""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.errors import NodeError
from langgraph.types import Command

from dalsegno import (
    END,
    START,
    Budget,
    Cache,
    CircuitBreaker,
    Fallback,
    RateLimit,
    RetryPolicy,
    Runner,
    Timeout,
    Watch,
    Workflow,
)
from dalsegno.nodes.policies import ManualClock, spend
from dalsegno.runtime.events import Event, NodeFailed, PolicyActed


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]
    unknown: str


@dataclass
class World:
    clock: ManualClock
    release: threading.Event = field(default_factory=threading.Event)
    mended: bool = False


def raises(world: World) -> Any:
    raise ConnectionError("no network")


def hangs(world: World) -> Any:
    world.clock.advance(100)
    world.release.wait()
    return {"path": ["too late"]}


def says_nothing(world: World) -> Any:
    return {}


def calls_too_often(world: World) -> Any:
    spend(model_calls=2)
    return {"path": ["call"]}


def goes_astray(world: World) -> Any:
    return Command(goto="nowhere")


def writes_elsewhere(world: World) -> Any:
    return {"elsewhere": 1}


FAILURES: dict[str, tuple[Callable[[World], Any], str]] = {
    "raises": (raises, "ConnectionError"),
    "takes too long": (hangs, "NodeTimeout"),
    "answers nothing": (says_nothing, "EmptyAnswer"),
    "makes calls it does not declare": (calls_too_often, "BoundExceeded"),
    "routes where nothing is declared": (goes_astray, "UndeclaredTarget"),
    "writes a key there is not": (writes_elsewhere, "UnknownStateKey"),
}
BREACHES = {"BoundExceeded", "UndeclaredTarget", "UnknownStateKey"}
"""What the workflow's own declarations forbid: no policy covers it up, only a handler that is declared."""

RETRY = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
POLICIES: dict[str, Callable[[], dict[str, Any]]] = {
    "none": lambda: {},
    "retry": lambda: {"retry": RETRY},
    "fallback": lambda: {"fallback": Fallback({"path": ["fallback"]})},
    "retry and fallback": lambda: {"retry": RETRY, "fallback": Fallback({"path": ["fallback"]})},
    "breaker": lambda: {"breaker": CircuitBreaker(failures=1, recovery=0.001)},
    "rate limit": lambda: {"rate_limit": RateLimit(concurrency=1)},
    "cache": lambda: {"cache": Cache()},
    "budget": lambda: {"budget": Budget(tokens=1000)},
    "handler": lambda: {"error_handler": "to the handler"},
    "everything": lambda: {
        "retry": RETRY,
        "fallback": Fallback({"path": ["fallback"]}),
        "breaker": CircuitBreaker(failures=1, recovery=0.001),
        "rate_limit": RateLimit(calls=1000, concurrency=1),
        "cache": Cache(),
        "budget": Budget(tokens=1000),
    },
}


def to_the_handler(state: State, error: NodeError) -> Command[Literal["handled"]]:
    return Command(update={"path": [f"handled {type(error.error).__name__}"]}, goto="handled")


def workflow(world: World, failure: str, policy: str, is_async: bool) -> Workflow:
    fail, _ = FAILURES[failure]

    def node(state: State) -> Any:
        return {"path": ["call"]} if world.mended else fail(world)

    async def anode(state: State) -> Any:
        if not world.mended and failure == "takes too long":
            world.clock.advance(100)
            await asyncio.Event().wait()
        return node(state)

    options = POLICIES[policy]()
    if "error_handler" in options:
        options["error_handler"] = to_the_handler
    flow = Workflow("failing", State)
    flow.add_node(
        "call",
        anode if is_async else node,
        timeout=Timeout(attempt=5, clock=world.clock),
        watch=Watch(),
        calls=1,
        **options,
    )
    flow.add_node("handled", lambda s: {"path": ["went on"]})
    flow.add_edge(START, "call").add_edge("handled", END)
    flow.add_edge("call", "handled" if "error_handler" not in options else END)
    return flow


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_ends_in_a_declared_way_or_in_a_run_that_can_be_resumed(
    tmp_path: Path, failure: str, policy: str, is_async: bool
) -> None:
    world, events = World(ManualClock()), list[Event]()
    error = FAILURES[failure][1]
    runner = Runner(workflow(world, failure, policy, is_async), db=tmp_path / "r.db", on_event=events.append)
    try:
        result = runner.run({}, "t1")
        acted = [(e.policy, e.what) for e in events if isinstance(e, PolicyActed)]
        failed = [e for e in events if isinstance(e, NodeFailed)]
        options = POLICIES[policy]()
        covered = error not in BREACHES
        if covered and "retry" in options:
            assert ("retry", "again") in acted
            assert [e.attempt for e in failed[:1]] == [1]
        if covered and "fallback" in options:
            assert result.output == {"path": ["fallback", "went on"]}
            assert acted[-1] == ("fallback", "answered")
        elif "error_handler" in options:
            assert result.output == {"path": [f"handled {error}", "went on"]}
        else:
            attempts = 2 if covered and "retry" in options else 1
            assert result.error is not None
            kept = runner.ledger.latest("t1")
            assert kept is not None
            assert kept.error is not None
            found = [kept.error[key] for key in ("type", "node", "attempt")]
            assert (kept.status, found) == ("failed", [error, "call", attempts])
            assert kept.error["message"]
            assert "Traceback" in kept.error["traceback"]
            journal = [(e.status, e.attempt) for e in runner.ledger.executions(kept.run_id)]
            assert journal == [("failed", n) for n in range(1, attempts + 1)]
            world.mended = True
            world.clock.advance(1)
            assert runner.resume("t1").output == {"path": ["call", "went on"]}
    finally:
        world.release.set()
