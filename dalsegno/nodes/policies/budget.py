"""How much a run, a workflow or a node may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dalsegno.errors import DefinitionError
from dalsegno.nodes.policies.clock import SYSTEM, Clock

KINDS = ("supersteps", "model_calls", "tokens", "seconds", "cost")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of what may be spent; None is no limit.

    Of a run, of a workflow (each run of it) or of a node (all its executions in a run). A subworkflow spends
    out of every budget around it. What is spent is asked before each superstep and each model call, so
    that the last call before a limit may go beyond it in tokens and cost.

    Parameters
    ----------
    supersteps, model_calls, tokens
        Counts. A node has no supersteps of its own.
    seconds
        Time in seconds: of a run while a process is at it, of a node its executions.
    cost
        Money, in the unit of `prices`.
    prices
        ``{model: (input, output)}`` for a million tokens. A model that is not in it is not called where
        `cost` is limited.

    Raises
    ------
    DefinitionError
        A limit is no number of 0 or more, or a price is no pair.
    """

    supersteps: int | None = None
    model_calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False, hash=False)
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)

    def __post_init__(self) -> None:
        for kind in KINDS:
            value = getattr(self, kind)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0
            ):
                raise DefinitionError(f"Budget({kind}={value!r}): a limit is a number, 0 or more.")
        for model, price in self.prices.items():
            if not (isinstance(price, tuple | list) and len(price) == 2 and all(p >= 0 for p in price)):
                raise DefinitionError(
                    f"Budget(prices={{{model!r}: {price!r}}}): a price is (input, output) for a million tokens."
                )

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None}

    def over(self, other: Budget | None) -> Budget:
        """This budget, and what it leaves open as the other one has it."""
        if other is None:
            return self
        taken: dict[str, Any] = {
            f.name: getattr(self, f.name) if getattr(self, f.name) is not None else getattr(other, f.name)
            for f in fields(self)
        }
        taken["prices"] = {**other.prices, **self.prices}
        return Budget(**taken)

    def of_a_node(self) -> Budget | None:
        """The part of it that a node can have; None where that is nothing."""
        kept = replace(self, supersteps=None)
        return kept if kept.limits() else None

    def tighter(self, other: Budget | None) -> Budget:
        """The lower of each limit, of what a node can have of the other."""
        if other is None or (other := other.of_a_node()) is None:
            return self
        ours, theirs = self.limits(), other.limits()
        lower: dict[str, Any] = {
            k: min(each[k] for each in (ours, theirs) if k in each) for k in {*ours, *theirs}
        }
        return Budget(**lower, prices={**other.prices, **self.prices}, clock=self.clock)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, kept with the run."""
        return {**self.limits(), **({"prices": dict(self.prices)} if self.prices else {})}


def price_of(prices: Mapping[str, tuple[float, float]], model: str | None) -> tuple[float, float] | None:
    """A model's price, by its name or by the longest one that it begins with (``"gpt"`` for ``"gpt-2024"``)."""
    if model is None:
        return None
    fitting = [name for name in prices if model == name or model.startswith(f"{name}-")]
    return prices[max(fitting, key=len)] if fitting else None
