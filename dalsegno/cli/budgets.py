"""`--budget`: what a run may spend, as it is typed, and what it has spent, as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import UsageError
from dalsegno.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from dalsegno.nodes.policies import Budget

BudgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="WHAT=LIMIT",
        help="What the run may spend: supersteps, model_calls, tokens, seconds or cost. Repeatable. "
        'With prices for a million tokens, as JSON: {"cost": 2, "prices": {"MODEL": [IN, OUT]}}.',
    ),
]

WAYS = ("supersteps", "model_calls", "tokens", "seconds", "cost")


def budget(given: list[str] | None) -> Budget | None:
    """The options as one budget; None where there are none.

    >>> budget(["tokens=20_000", "cost=1.5"]).limits()
    {'tokens': 20000, 'cost': 1.5}
    """
    if not given:
        return None
    from dalsegno.nodes.policies import Budget
    from dalsegno.nodes.policies.budget import KINDS

    taken: dict[str, Any] = {}
    for text in given:
        if text.startswith(("{", "@")) or text == "-":
            value = options.json_value(text, "--budget")
            if not isinstance(value, dict):
                raise UsageError(f'--budget {text}: an object is needed, such as {{"tokens": 50000}}.')
            _add(taken, value)
            continue
        what, equals, limit = text.partition("=")
        if not equals:
            raise UsageError(
                f"--budget {text}: it is WHAT=LIMIT, such as tokens=50000. WHAT is one of {', '.join(WAYS)}."
            )
        _add(taken, {what.strip(): _number(text, limit)})
    for what in taken:
        if what not in (*KINDS, "tokens_per_call", "prices"):
            meant = did_you_mean(what, KINDS) or "."
            raise UsageError(
                f"--budget {what}: nothing of that name is counted{meant} It is one of {', '.join(WAYS)}."
            )
    if not isinstance(taken.get("prices", {}), dict):
        raise UsageError('--budget: prices are {"MODEL": [IN, OUT]}, for a million tokens.')
    try:
        return Budget(**taken)
    except DefinitionError as error:
        raise UsageError(f"--budget: {error.message}") from None


def _add(taken: dict[str, Any], more: Mapping[str, Any]) -> None:
    for what, limit in more.items():
        if what in taken:
            raise UsageError(f"--budget {what}={limit}: `{what}` is said twice. Say it once.")
        taken[what] = limit


def _number(text: str, limit: str) -> int | float:
    try:
        return int(limit)
    except ValueError:
        pass
    try:
        number = float(limit)
    except ValueError:
        raise UsageError(f"--budget {text}: the limit is a number, such as 50000.") from None
    return int(number) if number.is_integer() else number


def spent_in_words(usage: Mapping[str, Any]) -> str | None:
    """What a run has spent, against its budget where it has one; None where nothing is counted.

    >>> spent_in_words({"model_calls": 3, "tokens": 1200, "budget": {"tokens": 5000}})
    '3 model calls · 1,200 of 5,000 tokens'
    """
    limits: Mapping[str, Any] = usage.get("budget") or {}
    words = []
    for what in ("model_calls", "tokens", "cost", "seconds"):
        value, limit = usage.get(what) or 0, limits.get(what)
        if limit is None and (not value or what == "seconds"):
            continue
        amount = f"{_figure(value)} of {_figure(limit)}" if limit is not None else _figure(value)
        name = what.replace("_", " ")
        if name.endswith("s") and amount == "1":
            name = name[:-1]
        words.append(f"cost {amount}" if what == "cost" else f"{amount} {name}")
    return " · ".join(words) or None


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def spent_out(error: Mapping[str, Any] | None, usage: Mapping[str, Any], supersteps: int) -> str | None:
    """Which limit of the run it was that stopped it; None where it was none of the run's own."""
    if not error or error.get("type") != "BudgetExceeded":
        return None
    if not str(error.get("message")).startswith("The run has spent"):
        return None  # a node's own budget, or a price that is not known
    spent = {**usage, "supersteps": supersteps}
    limits: Mapping[str, Any] = usage.get("budget") or {}
    used = {
        what: (spent.get(what) or 0) / limit if limit else 1.0
        for what, limit in limits.items()
        if what in WAYS and isinstance(limit, int | float)
    }
    return max(used, key=lambda what: used[what], default=None)
