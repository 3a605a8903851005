"""Pattern 3: the input decides which one it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.doubting import doubted
from dalsegno.graphs.patterns.roles import Cast, Role, named
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.working import Worker, roster
from dalsegno.graphs.workflow import Workflow

Rule = tuple[Callable[[Any], Any], str]
"""A predicate of the state, and the route where it holds."""

_CHOOSE = """Who is this for? Choose one of these, and answer with its name alone:

{routes}

{{value}}"""


class Routed(TypedDict, total=False):
    """The state: extend it for rules and routes that need more.

    - `value`: what is routed, and at the end the answer
    - `route`: who gave the answer
    - `choice`: the last choice; None if it was none of the routes
    - `wrong`: how many choices were none of the routes
    """

    value: Any
    route: str
    choice: str | None
    wrong: int


@pattern(3, bound="2 + (2 * (1 + retries) if choose else 0)")
def router(
    routes: Sequence[Any] | Mapping[str, Any],
    *,
    default: str,
    rules: Sequence[Rule] = (),
    choose: Any = None,
    retries: int = 1,
    state: Any = Routed,
    name: str = "router",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Send the input to the route that fits it: by rules, by a choice, or by default.

    When
    ----
    Inputs are of several kinds, and each kind needs another prompt, model, tool or workflow. Rules cover what can be
    said exactly; a choice covers the rest.

    When not
    --------
    - One input needs several of them: `parallel`, `specialists`.
    - The conversation continues afterwards and is validated: `intent_workflows`.

    Parameters
    ----------
    routes
        ``state -> value``. Each reads ``state["value"]``. A sequence, or a mapping by name. A `Worker` says what it
        is good at, for a choice by a model; by default that is the first line of a function's docstring.
    default
        The route that is taken if no rule holds and nothing else is chosen.
    rules
        Pairs ``(predicate, route)``. The first pair whose ``predicate(state)`` is true decides.
    choose
        ``state -> route``, called if no rule holds. A model is told the routes. None: the default is taken.
    retries
        How often `choose` is called again after a choice that is none of the routes.
    state
        `Routed` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"choose": {"timeout": 20}}``.

    Bound
    -----
    `match`, which checks the rules, and the route. With `choose`, two more in between for the choice and for
    `decide`, which checks it, and both again for each of `retries`.

    Failure
    -------
    After a choice that is no route, or no choice at all, `choose` is called again; in the end the default is taken.
    ``wrong`` counts these choices. If choosing itself fails, or a rule or a route does, the run fails and is resumed
    there.

    Source
    ------
    Content-Based Router, in Hohpe and Woolf, "Enterprise Integration Patterns" (2003); routing, in Anthropic,
    "Building effective agents" (2024).

    Example
    -------
    >>> from dalsegno.graphs.patterns import router
    >>> def reckon(state) -> int:
    ...     return sum(int(number) for number in state["value"].split("+"))
    >>> def shout(state) -> str:
    ...     return state["value"].upper()
    >>> def is_sum(state) -> bool:
    ...     return "+" in state["value"]
    >>> flow = router([reckon, shout], rules=[(is_sum, "reckon")], default="shout")
    >>> given = {"value": "3+4"}
    >>> flow.compile().invoke(given)["value"]
    7
    """
    whole("router", 0, retries=retries)
    flow = Workflow(name, state, version=version)
    cast = Cast("router", flow, options)
    played: dict[str, Worker] = named("router", routes, kind=Worker, what="route")
    _check(rules, choose, default, played)

    def match(state: Any) -> dict[str, Any]:
        matched = (route for holds, route in rules if holds(state))
        otherwise = default if choose is None else None
        return {"route": next(matched, otherwise), "choice": None, "wrong": 0}

    def decide(state: Any) -> dict[str, Any]:
        choice, wrong = read(state, "choice"), read(state, "wrong", 0)
        if choice is not None:
            return {"route": choice}
        return {"wrong": wrong + 1, "route": default if wrong >= retries else None}

    cast.own("match", match)
    flow.add_edge(START, "match")
    for route, node in played.items():
        cast.add(Role(name=route, key="value"), node)
        flow.add_edge(route, END)
    ways = {route: route for route in played}
    if choose is None:
        return flow.add_conditional_edges("match", _route, _reached(ways, rules, default))
    kind: Any = Literal[tuple(played)]
    prompt = _CHOOSE.format(routes=roster(played))
    role = Role(name="choose", key="choice", type=kind, prompt=prompt)
    cast.add(role, choose, around=doubted("choose", {"choice": None}))
    cast.own("decide", decide)
    flow.add_edge("choose", "decide")
    flow.add_conditional_edges("match", _route, {**_reached(ways, rules), "choose": "choose"})
    again = {"choose": Loop("choose", max=retries, on_exhausted=default)} if retries else {}
    return flow.add_conditional_edges("decide", _route, {**ways, **again})


def _route(state: Any) -> str:
    return read(state, "route") or "choose"


def _reached(ways: Mapping[str, str], rules: Sequence[Rule], *others: str) -> dict[str, Any]:
    """The routes that rules lead to."""
    wanted = {route for _, route in rules} | set(others)
    return {route: target for route, target in ways.items() if route in wanted}


def _check(rules: Any, choose: Any, default: Any, routes: Mapping[str, Any]) -> None:
    pairs = [rule for rule in rules if isinstance(rule, tuple) and len(rule) == 2 and callable(rule[0])]
    if len(pairs) != len(rules):
        raise DefinitionError('router(rules=...): pairs of a predicate and a route: [(is_sum, "reckon")].')
    for said, route in [*(("rules", route) for _, route in pairs), ("default", default)]:
        if route not in routes:
            raise DefinitionError(
                f"router({said}=...): there is no route {route!r}{did_you_mean(str(route), routes) or '.'} "
                f"There are {', '.join(map('`{}`'.format, routes))}."
            )
    if not rules and choose is None:
        raise DefinitionError("router: without rules= or choose= it would always take the default.")
    if choose is None and (unused := set(routes) - {route for _, route in rules} - {default}):
        raise DefinitionError(
            f"router: no rule leads to {', '.join(f'`{name}`' for name in sorted(unused))}."
        )
