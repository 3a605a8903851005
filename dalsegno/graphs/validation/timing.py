"""How long nodes take: in milliseconds, so that sums are exact."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dalsegno.graphs.model import NodeSpec, WorkflowSpec


def seconds_of_attempts(spec: WorkflowSpec, node: NodeSpec) -> int:
    """The longest time of one execution in milliseconds: its turn, all attempts, and the pauses between them. A node
    that asks begins again with each answer."""
    once = node.attempts * (node.timeout or 0) + _pauses(spec, node) + (turn_of(node) or 0)
    return math.ceil(1000 * (1 + node.interrupts) * once)


def is_timed(node: NodeSpec) -> bool:
    """Whether a node has a timeout, and one that ends some time."""
    return node.timeout is not None and math.isfinite(node.timeout)


def limit_of(budget: Any, what: str) -> int | float | None:
    """One limit of a budget, a `Budget` or a mapping; None where it has none."""
    value = budget.get(what) if isinstance(budget, dict) else getattr(budget, what, None)
    return value if isinstance(value, int | float) else None


def waits_alone(spec: WorkflowSpec, node: NodeSpec) -> bool:
    """Whether a node with a timeout is left when its time is over, whether it ends or not.

    A synchronous function of a Workflow is abandoned in its thread. LangGraph refuses to time one.
    """
    return spec.exact_choices or node.is_async


def goes_on(node: NodeSpec) -> bool:
    """Whether a thread of a node may go on when its time is over. People take none."""
    return node.kind != "human" and (not node.is_async if node.goes_on is None else node.goes_on)


def going_on(spec: WorkflowSpec) -> tuple[int, list[str]]:
    """What a graph may still do when it is cancelled: for so many milliseconds, and nodes that nothing ends.

    A coroutine is cancelled with it. Of a synchronous node the thread goes on, until its own timeout.
    """
    most, endless = 0, list[str]()
    for node in spec.nodes.values():
        if node.child is not None:
            inner, names = going_on(node.child)
            most = max(most, inner)
            endless += [f"{node.name}/{name}" for name in names]
        elif goes_on(node):
            if not is_timed(node):
                endless.append(node.name)
            else:
                most = max(most, seconds_of_attempts(spec, node))
    return most, endless


def turn_of(node: NodeSpec) -> float | None:
    """The longest that a node waits for its turn in a rate limit; None where that has no limit.

    It may wait for a place among those that go on at once, and then for its turn in time.
    """
    limit = node.policies.get("rate_limit")
    if limit is None:
        return 0.0
    most = getattr(limit, "max_wait", None)
    return None if most is None else 2 * float(most)


def _pauses(spec: WorkflowSpec, node: NodeSpec) -> float:
    retry = node.policies.get("retry")
    # LangGraph's policy is itself a tuple, of its fields.
    several = isinstance(retry, Sequence) and not hasattr(retry, "max_attempts")
    policies: Sequence[Any] = retry if isinstance(retry, Sequence) and several else [retry]
    pauses = _waiting_for_servers if spec.exact_choices else _backing_off
    return max((pauses(p, node.attempts) for p in policies if p is not None), default=0.0)


def _waiting_for_servers(policy: Any, attempts: int) -> float:
    """The pauses in a `Workflow`, whoever's the policy is: each may wait for a server's `Retry-After`, which may ask
    for `max_interval`."""
    return (attempts - 1) * (_longest(policy) + _jitter(policy)) if attempts > 1 else 0.0


def _backing_off(policy: Any, attempts: int) -> float:
    """LangGraph's backoff: interval times factor to the power of the attempt, at most `max_interval`."""
    interval = float(getattr(policy, "initial_interval", 0.5))
    factor = float(getattr(policy, "backoff_factor", 2.0))
    most, jitter = _longest(policy), _jitter(policy)
    total = 0.0
    for done in range(1, attempts):
        pause = min(most, interval)
        total += pause + jitter
        interval *= factor
        if pause >= most and factor >= 1:
            return total + (attempts - 1 - done) * (most + jitter)
    return total


def _longest(policy: Any) -> float:
    return float(getattr(policy, "max_interval", 128.0))


def _jitter(policy: Any) -> float:
    """The most that is added to a pause, in seconds."""
    return 1.0 if getattr(policy, "jitter", True) else 0.0


def seconds_over_windows(
    weight: Mapping[str, int], earliest: Mapping[str, int], latest: Mapping[str, int]
) -> int:
    """The sum over supersteps of the longest node that can run there, in milliseconds.

    The longest weighted path would be wrong: every superstep waits for its slowest task.
    """
    starts = sorted((earliest[name], latest[name], each) for name, each in weight.items() if each)
    open_ones: list[tuple[int, int]] = []
    total, step, i = 0, 0, 0
    while i < len(starts) or open_ones:
        if not open_ones:
            step = max(step, starts[i][0])
        while i < len(starts) and starts[i][0] <= step:
            heapq.heappush(open_ones, (-starts[i][2], starts[i][1]))
            i += 1
        each, last = open_ones[0]
        if last < step:
            heapq.heappop(open_ones)
            continue
        until = min(last, starts[i][0] - 1) if i < len(starts) else last
        total += -each * (until - step + 1)
        step = until + 1
    return total
