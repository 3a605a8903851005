"""How much a run, a workflow or a node may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dalsegno.errors import DefinitionError
from dalsegno.nodes.policies.case import number
from dalsegno.nodes.policies.clock import SYSTEM, Clock

COUNTS = ("supersteps", "model_calls", "tokens")
KINDS = ("supersteps", "model_calls", "tokens", "seconds", "cost")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits on what a run, each run of a workflow, or a node in one run may spend. None is no limit.

    A subworkflow spends out of every budget around it. The budget is checked before each superstep and each model
    call.

    Supersteps and model calls never exceed their limit. The tokens and cost of a call are known only after it, so
    they can:

    - With `tokens_per_call`, a call is made if enough is left for it and for all calls under way. No limit is then
      exceeded, as long as no call spends more than that.
    - Without it, a call is made if anything is left after what the calls under way will probably spend: for each, as
      much as the largest call of its node so far. The last call may then exceed the limit, and so may first calls
      side by side, of which nothing is known yet.

    Parameters
    ----------
    supersteps, model_calls, tokens
        Counts. A node has no supersteps of its own.
    seconds
        Time in seconds. A run counts while a process works on it; a node counts while it executes.
    cost
        Money, in the unit of `prices`.
    tokens_per_call
        The most tokens of one model call, prompt and answer together. It is no limit of its own, but is held back for
        each call.
    prices
        ``{model: (input, output)}`` for a million tokens. If `cost` is limited, a model without a price is not
        called.

    Raises
    ------
    DefinitionError
        A limit is not a number of 0 or more, or a price is not a pair.
    """

    supersteps: int | None = None
    model_calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None
    tokens_per_call: int | None = None
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False, hash=False)
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)

    def __post_init__(self) -> None:
        for kind in KINDS:
            value = getattr(self, kind)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise DefinitionError(
                    f"Budget({kind}={value!r}): a limit is a number, 0 or more; None is no limit."
                )
            if kind in COUNTS and value != int(value):
                raise DefinitionError(
                    f"Budget({kind}={value!r}): {kind.replace('_', ' ')} are counted in whole ones."
                )
        if self.tokens_per_call is not None:
            number("Budget(tokens_per_call)", self.tokens_per_call, least=1, whole=True)
            if self.tokens is None and self.cost is None:
                raise DefinitionError(
                    f"Budget(tokens_per_call={self.tokens_per_call}): it is held back out of `tokens` or `cost`, and "
                    "neither is limited. Give one of them, or leave it out."
                )
            if self.tokens is not None and self.tokens and self.tokens_per_call > self.tokens:
                raise DefinitionError(
                    f"Budget(tokens={self.tokens:g}, tokens_per_call={self.tokens_per_call}): not one call could be "
                    "made. Raise `tokens`, or lower `tokens_per_call`."
                )
        for model, price in self.prices.items():
            if not _is_price(price):
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
        said = [b.tokens_per_call for b in (self, other) if b.tokens_per_call is not None]
        return Budget(
            **lower,
            tokens_per_call=max(said, default=None),
            prices={**other.prices, **self.prices},
            clock=self.clock,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, kept with the run."""
        said = {"tokens_per_call": self.tokens_per_call} if self.tokens_per_call is not None else {}
        return {**self.limits(), **said, **({"prices": dict(self.prices)} if self.prices else {})}


def _is_price(price: Any) -> bool:
    return (
        isinstance(price, tuple | list)
        and len(price) == 2
        and all(isinstance(part, int | float) and part >= 0 for part in price)
    )


def price_of(prices: Mapping[str, tuple[float, float]], model: str | None) -> tuple[float, float] | None:
    """A model's price, by its name or by the longest one that it begins with (``"gpt"`` for ``"gpt-2024"``)."""
    if model is None:
        return None
    fitting = [name for name in prices if model == name or model.startswith(f"{name}-")]
    return prices[max(fitting, key=len)] if fitting else None
