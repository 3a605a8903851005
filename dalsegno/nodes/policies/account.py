"""The account of a run: what was spent, by which node, and whether there is enough for the next call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from dalsegno.errors import BudgetExceeded
from dalsegno.nodes.paths import shown
from dalsegno.nodes.policies.budget import Budget, price_of
from dalsegno.nodes.policies.clock import SYSTEM, Clock
from dalsegno.nodes.policies.under_way import Call, CallsUnderWay, said_of_a_call

Amount = TypeVar("Amount", int, float)


class Account:
    """What a run spends. One for all its nodes and subworkflows, called from any thread, with the place of a node.

    Parameters
    ----------
    budget
        The run's limits.
    usage
        What earlier processes spent, as `usage` gave it, by the places of nodes.
    clock
        For the seconds of this process.
    reserved
        Called after a model call was reserved, before it is made.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        usage: Mapping[str, Any] | None = None,
        *,
        clock: Clock = SYSTEM,
        owner: str = "the run",
        reserved: Callable[[], None] | None = None,
    ) -> None:
        earlier = usage or {}
        self.budget = budget
        self.owner = owner
        self._clock = clock
        self._began = clock.now()
        self._earlier = float(earlier.get("seconds", 0.0))
        self._by_node: dict[str, dict[str, float]] = {
            node: dict(spent) for node, spent in earlier.get("by_node", {}).items()
        }
        self._policies: dict[str, dict[str, int]] = {
            node: dict(acted) for node, acted in earlier.get("policies", {}).items()
        }
        self._of_nodes: dict[str, Budget] = {}
        self._reserved = reserved
        self._calls = CallsUnderWay()
        self._lock = threading.Lock()
        self.version = 0
        """Rises with everything that is spent."""

    # -- spending -----------------------------------------------------------------------------------

    def begin(self, node: str, superstep: int) -> None:
        """A node is about to run in that superstep of the run.

        Raises
        ------
        BudgetExceeded
            There is no superstep, or no time, left for it.
        """
        budget = self.budget
        if budget is None:
            return
        if budget.supersteps is not None and superstep > budget.supersteps:
            self._refuse(node, "supersteps", budget.supersteps, superstep - 1, self.owner, {})
        if budget.seconds is not None and self.seconds >= budget.seconds:
            with self._lock:
                by_node = self._spent("seconds", "")
            self._refuse(node, "seconds", budget.seconds, self.seconds, self.owner, by_node)

    def reserve(
        self, node: str, calls: int = 1, model: str | None = None, key: Hashable | None = None
    ) -> None:
        """A model is about to be called by a node: it is counted now, so that parallel nodes see each other's.

        Under a `key`, what it will probably spend is held back until it is settled or released.

        Raises
        ------
        BudgetExceeded
            A limit of the run, of the node or of a subworkflow around it is reached.
        """
        with self._lock:
            for owner, prefix, budget in self._budgets(node):
                for what, limit in budget.limits().items():
                    if what == "supersteps":
                        continue
                    # The seconds of a subworkflow are its node's: those of the nodes in it are a part of them.
                    by_node = self._spent(what, prefix, exact=what == "seconds")
                    spent = self.seconds if what == "seconds" and not prefix else sum(by_node.values())
                    held, needed = 0.0, float(calls) if what == "model_calls" else 0.0
                    if what in ("tokens", "cost"):
                        held = self._calls.held(what, budget, partial(_inside, path=prefix), self._by_node)
                        needed = calls * said_of_a_call(what, budget, model)
                    if spent + held + needed > limit or (not needed and spent + held >= limit):
                        self._refuse(node, what, limit, spent, owner, by_node, held, needed)
                if budget.cost is not None and model is not None and price_of(budget.prices, model) is None:
                    raise BudgetExceeded(
                        f"`{shown(node)}` calls the model {model!r}, whose price is not known, within a budget of "
                        f'{budget.cost:g}. Name it: Budget(cost=..., prices={{"{model}": (input, output)}}).',
                        what="cost",
                        limit=budget.cost,
                        spent=sum(self._spent("cost", prefix).values()),
                        owner=owner,
                        by_node={shown(place): value for place, value in self._spent("cost", prefix).items()},
                    )
            self._add(node, "model_calls", calls)
            if key is not None:
                self._calls.begun(key, Call(node, model))
        if self._reserved is not None:
            self._reserved()

    def settle(
        self,
        node: str,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        model: str | None = None,
        cost: float | None = None,
        seconds: float = 0.0,
        key: Hashable | None = None,
    ) -> None:
        """What was spent after all. Without a `cost` it is that of the tokens, at the run's prices: of the `model` that
        has answered or, where that has none, of the one that was called."""
        with self._lock:
            called = self._calls.ended(key) if key is not None else None
            if cost is None and (input_tokens or output_tokens):
                prices = {m: p for _, _, budget in self._budgets(node) for m, p in budget.prices.items()}
                price = price_of(prices, model) or price_of(prices, called.model if called else None)
                cost = (input_tokens * price[0] + output_tokens * price[1]) / 1e6 if price else 0.0
            self._add(node, "tokens", input_tokens + output_tokens)
            self._add(node, "cost", cost or 0.0)
            if input_tokens or output_tokens or cost:
                self._calls.seen(node, input_tokens + output_tokens, cost or 0.0)
            self._add(node, "seconds", seconds)

    def release(self, key: Hashable) -> None:
        """A call has failed: nothing is held back for it any more."""
        with self._lock:
            self._calls.ended(key)

    def limit(self, node: str, budget: Budget) -> None:
        """Have a node, and what is inside it, keep to a budget of its own.

        Raises
        ------
        BudgetExceeded
            Its time is over.
        """
        with self._lock:
            self._of_nodes[node] = budget
            by_node = self._spent("seconds", node, exact=True) if budget.seconds is not None else {}
        if budget.seconds is not None and sum(by_node.values()) >= budget.seconds:
            self._refuse(node, "seconds", budget.seconds, sum(by_node.values()), f"`{shown(node)}`", by_node)

    def acted(self, node: str, policy: str, what: str) -> None:
        """A policy around a node did something; it is counted."""
        with self._lock:
            acted = self._policies.setdefault(node, {})
            said = f"{policy} {what}".replace("_", " ")
            acted[said] = acted.get(said, 0) + 1
            self.version += 1

    # -- looking ------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Seconds that processes were at it."""
        return self._earlier + max(self._clock.now() - self._began, 0.0)

    @property
    def is_metered(self) -> bool:
        """Whether a model call may reach a limit, so that each is worth a commit of its own."""
        with self._lock:
            budgets = [b for b in (self.budget, *self._of_nodes.values()) if b is not None]
        return any(b.model_calls is not None or b.tokens is not None or b.cost is not None for b in budgets)

    def usage(self) -> dict[str, Any]:
        """All that was spent, as JSON: totals, each node's part, what its policies did how often, and the budget."""
        with self._lock:
            spent = {what: sum(self._spent(what, "").values()) for what in ("model_calls", "tokens", "cost")}
            by_node = {node: _rounded(each) for node, each in _by_path(self._by_node).items()}
            policies = _by_path(self._policies)
        usage: dict[str, Any] = {"seconds": round(self.seconds, 6)}
        usage |= {"model_calls": int(spent["model_calls"]), "tokens": int(spent["tokens"])}
        if spent["cost"]:
            usage["cost"] = round(spent["cost"], 9)
        if by_node:
            usage["by_node"] = by_node
        if policies:
            usage["policies"] = policies
        if self.budget is not None and (kept := self.budget.to_dict()):
            usage["budget"] = kept
        return usage

    def _budgets(self, node: str) -> Iterator[tuple[str, str, Budget]]:
        """Every budget that a node spends out of: whose it is, the path it is for, and its limits."""
        if self.budget is not None:
            yield self.owner, "", self.budget
        for path, budget in self._of_nodes.items():
            if _inside(node, path):
                yield f"`{shown(path)}`", path, budget

    def _spent(self, what: str, prefix: str, *, exact: bool = False) -> dict[str, float]:
        return {
            node: each[what]
            for node, each in self._by_node.items()
            if each.get(what)
            and (not prefix or node == prefix or (not exact and node.startswith(f"{prefix}/")))
        }

    def _add(self, node: str, what: str, amount: float) -> None:
        if amount:
            spent = self._by_node.setdefault(node, {})
            spent[what] = spent.get(what, 0) + amount
            self.version += 1

    def _refuse(
        self,
        node: str,
        what: str,
        limit: float,
        spent: float,
        owner: str,
        by_node: Mapping[str, float],
        held: float = 0.0,
        needed: float = 0.0,
    ) -> None:
        node, by_node = shown(node), {shown(place): spent for place, spent in by_node.items()}
        words = what.replace("_", " ")
        where = ", ".join(f"`{n}` {v:.6g}" for n, v in sorted(by_node.items(), key=lambda i: -i[1])[:5])
        how = f"Give more: raise the budget of {owner}, and resume."
        if owner == "the run":
            how = f"Resume with more: a budget whose `{what}` is larger."
        whose = owner[0].upper() + owner[1:]
        more = f"up to {needed:.6g} more" if needed and what != "model_calls" else "more"
        waits = f"; {held:.6g} are held back for model calls under way" if held else ""
        raise BudgetExceeded(
            f"{whose} has spent {spent:.6g} of {limit:.6g} {words}{f' ({where})' if where else ''}{waits}, and "
            f"`{node}` needs {more}. {how}",
            what=what,
            limit=limit,
            spent=spent,
            owner=owner,
            by_node=dict(by_node),
            node=node,
            held=held,
        )


def _inside(node: str, path: str) -> bool:
    """Whether a node is the one of that path, or inside it; all are inside of none."""
    return not path or node == path or node.startswith(f"{path}/")


def _by_path(spent: Mapping[str, Mapping[str, Amount]]) -> dict[str, dict[str, Amount]]:
    """What was kept by place, by the paths that people read."""
    found: dict[str, dict[str, Amount]] = {}
    for place, each in spent.items():
        sums = found.setdefault(shown(place), {})
        for what, amount in each.items():
            sums[what] = sums[what] + amount if what in sums else amount
    return found


def _rounded(spent: Mapping[str, float]) -> dict[str, float]:
    return {what: round(value, 9) if isinstance(value, float) else value for what, value in spent.items()}
