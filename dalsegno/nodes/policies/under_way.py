"""Model calls that have begun and have not told yet what they cost, and what they will probably cost."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from dalsegno.nodes.policies.budget import Budget, price_of


@dataclass(frozen=True)
class Call:
    """A model call that is under way: of which node, to which model."""

    node: str
    model: str | None


class CallsUnderWay:
    """What is held back for calls under way. Not locked: its account is.

    A call is expected to spend as much as the largest one of its node so far, or as the average of those of earlier
    processes; at least what the budget says of each call.
    """

    def __init__(self) -> None:
        self._open: dict[Hashable, Call] = {}
        self._largest: dict[str, tuple[int, float]] = {}

    def begun(self, key: Hashable, call: Call) -> None:
        """A call has begun."""
        self._open[key] = call

    def ended(self, key: Hashable) -> Call | None:
        """It has ended, in whatever way; gives the call."""
        return self._open.pop(key, None)

    def seen(self, node: str, tokens: int, cost: float) -> None:
        """What a call of a node spent."""
        largest = self._largest.get(node, (0, 0.0))
        self._largest[node] = (max(largest[0], tokens), max(largest[1], cost))

    def held(
        self,
        what: str,
        budget: Budget,
        is_inside: Callable[[str], bool],
        spent: Mapping[str, Mapping[str, float]],
    ) -> float:
        """Tokens or cost that calls under way will probably spend out of a budget; `spent` is by node."""
        return sum(
            max(self._expected(what, call.node, spent), said_of_a_call(what, budget, call.model))
            for call in self._open.values()
            if is_inside(call.node)
        )

    def _expected(self, what: str, node: str, spent: Mapping[str, Mapping[str, float]]) -> float:
        tokens, cost = self._largest.get(node, (0, 0.0))
        earlier = spent.get(node, {})
        ended = earlier.get("model_calls", 0) - sum(call.node == node for call in self._open.values())
        average = earlier.get(what, 0) / max(ended, 1)
        return max(average, tokens if what == "tokens" else cost)


def said_of_a_call(what: str, budget: Budget, model: str | None) -> float:
    """The most that a call may spend by what the budget says of each; 0 where it says nothing."""
    tokens = budget.tokens_per_call or 0
    if what == "tokens":
        return tokens
    price = price_of(budget.prices, model) if what == "cost" else None
    return tokens * max(price) / 1e6 if price else 0.0
