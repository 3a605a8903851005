"""Pattern 5: the same for every item of a collection, and what came of all of them brought together."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from langgraph.types import Overwrite, Send
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, WrongAnswer, did_you_mean
from dalsegno.graphs.model import END, Each
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import Failure, failure, read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.policies import RateLimit


class MapReduce(TypedDict, total=False):
    """The state: extend it for actors that need more.

    - `value`: what the splitter reads, and at the end what the reducer made of `results`
    - `items`: the collection
    - `item`: what the mapper is sent
    - `results`: the mapper's answers, in the order of the items
    - `failures`: the failures of items that were allowed to fail
    - `mapped`: the answers as they come, each with its place
    """

    value: Any
    items: list[Any]
    item: Any
    mapped: Annotated[list[Any], operator.add]
    results: list[Any]
    failures: list[Failure]


@pattern(5, bound="3 + (1 if splitter else 0) + (1 if reducer else 0)")
def map_reduce(
    mapper: Any,
    *,
    reducer: Any = None,
    splitter: Any = None,
    on_error: Literal["fail", "skip", "collect"] = "fail",
    max_items: int = 1000,
    batch: int | None = None,
    max_concurrency: int | None = None,
    also: str | Sequence[str] = (),
    state: Any = MapReduce,
    name: str = "map_reduce",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Do the same for every item of a collection, all at once, and bring the answers together.

    When
    ----
    There is one thing to do for each of many items: pages, rows, files, cities. An item that is done stays done, even
    if the run is killed while others are under way.

    When not
    --------
    - Different things are done to the same input: `parallel`.
    - An item needs the result of another one: `function_calls`.
    - The items become known only on the way: `supervisor`.

    Parameters
    ----------
    mapper
        ``state -> value``. Reads ``state["item"]``, which is all that it is sent.
    reducer
        ``state -> value``. Reads ``state["results"]``, in the order of the items. None: `results` is the result.
    splitter
        ``state -> items``, a list. Reads ``state["value"]``. None: the items are given as ``items``.
    on_error
        ``"fail"``: a failed item fails the run. ``"skip"``: it is left out of `results`. ``"collect"``: its failure
        stands in its place in `results`. With both of these, `failures` says which items failed, and why.
    max_items
        The most items of one run. More than these fail the run before the first is processed.
    batch
        Items for one call of the mapper. ``state["item"]`` is then a list of that length (the last one may be
        shorter), and the mapper answers with a list of the same length. None: one item a call.
    max_concurrency
        Calls at once, over all runs of this workflow in the process. Default: all coroutines; of sync functions as
        many as LangGraph has threads.
    also
        Keys of the state, one or several, that the mapper is sent with each item.
    state
        `MapReduce` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"map": {"timeout": 10}}``.

    Bound
    -----
    `begin`, the splitter if there is one, all items in one superstep, `gather`, and the reducer if there is one. A
    collection without items goes from the beginning straight to `gather`.

    Failure
    -------
    The run fails at the item and is resumed there; the answers for the other items stand. With ``"skip"`` and
    ``"collect"``, the failures are in ``failures``, named ``item 3``. A batch fails as a whole.

    Source
    ------
    Dean and Ghemawat, "MapReduce: Simplified Data Processing on Large Clusters" (2004).

    Example
    -------
    >>> from dalsegno.graphs.patterns import map_reduce
    >>> def length(state) -> int:
    ...     return len(state["item"])
    >>> def total(state) -> int:
    ...     return sum(state["results"])
    >>> flow = map_reduce(length, reducer=total)
    >>> given = {"items": ["from", "the", "sign"]}
    >>> flow.compile().invoke(given)["value"]
    11
    """
    whole("map_reduce", 1, max_items=max_items)
    whole("map_reduce", 1, **({"batch": batch} if batch is not None else {}))
    if on_error not in ("fail", "skip", "collect"):
        raise DefinitionError(f'map_reduce(on_error={on_error!r}): it is "fail", "skip" or "collect".')
    flow = Workflow(name, state, version=version)
    shared_keys = (also,) if isinstance(also, str) else tuple(also)
    for key in shared_keys:
        if key not in flow.annotations:
            raise DefinitionError(
                f"map_reduce(also={key!r}): no key of the state{did_you_mean(key, flow.annotations) or '.'}"
            )
    cast = Cast("map_reduce", flow, options)
    limit = {"rate_limit": RateLimit(concurrency=max_concurrency)} if max_concurrency is not None else {}
    source = cast.begin(mapped=[])
    if splitter is not None:
        flow.add_edge(source, "split")
        source = cast.add(Role(name="split", key="items", type=list[Any]), splitter)
    cast.add(
        Role(name="map", key="mapped", type=Any if batch is None else list[Any]),
        mapper,
        on_failure=_failed if on_error != "fail" else None,
        around=filed(
            "mapped",
            partial(_answered, batch is not None),
            fell=partial(_fell, batch is not None),
            actor=mapper,
        ),
        writes=("mapped",),
        **limit,
    )

    def tasks(state: Any) -> Any:
        items = _items(state, max_items)
        shared = {key: read(state, key) for key in shared_keys}
        if batch is None:
            sent = [Send("map", {**shared, "item": item, "place": place}) for place, item in enumerate(items)]
        else:
            starts = range(0, len(items), batch)
            sent = [Send("map", {**shared, "item": items[at : at + batch], "place": at}) for at in starts]
        return sent or "empty"

    def gather(state: Any) -> dict[str, Any]:
        mapped = sorted(read(state, "mapped", []), key=operator.itemgetter(0))
        failures = [found for _, found, failed in mapped if failed]
        results = [found for _, found, failed in mapped if not failed or on_error == "collect"]
        return {"results": results, "failures": failures, "mapped": Overwrite([])}

    cast.own("gather", gather, reads=("mapped",), writes=("results", "failures", "mapped"))
    most = Each("map", max=max_items if batch is None else -(-max_items // batch))
    flow.add_conditional_edges(source, tasks, {"empty": "gather", "map": most})
    flow.add_edge("map", "gather")
    if reducer is not None:
        cast.add(Role(name="reduce", key="value"), reducer)
        flow.add_edge("gather", "reduce")
    return flow.add_edge("reduce" if reducer is not None else "gather", END)


def _items(state: Any, most: int) -> list[Any]:
    items = read(state, "items")
    if not isinstance(items, list | tuple):
        raise WrongAnswer(
            f"`map_reduce` was given {type(items).__name__} as `items`, where a list is expected. Give the run "
            '{"items": [...]}, or the pattern a splitter= that makes a list of `value`.',
            pattern="map_reduce",
            role="split",
            expected="list",
            got=type(items).__name__,
        )
    if len(items) > most:
        raise WrongAnswer(
            f"`map_reduce` was given {len(items):,} items, and at most {most:,} are allowed: max_items=.",
            pattern="map_reduce",
            role="split",
            expected=f"at most {most} items",
            got=f"{len(items)} items",
        )
    return list(items)


def _answered(batched: bool, task: Any, value: Any) -> dict[str, Any]:
    """Each answer with its place; the third says whether it is a failure."""
    place = task["place"]
    if not batched:
        return {"mapped": [(place, value, False)]}
    if len(value) != len(task["item"]):
        raise WrongAnswer(
            f"`map` of the pattern `map_reduce` answered {len(value)} values to a batch of {len(task['item'])} items. "
            "Return a list with one for each, in their order.",
            pattern="map_reduce",
            role="map",
            expected=f"{len(task['item'])} values",
            got=f"{len(value)} values",
        )
    return {"mapped": [(place + after, answer, False) for after, answer in enumerate(value)]}


def _failed(task: Any, error: BaseException) -> dict[str, Any]:
    return {"mapped": failure("item", error)}


def _fell(batched: bool, task: Any, failed: Any) -> dict[str, Any]:
    """The failure of a task under the place of each of its items, counted from 1 as people do."""
    places = range(task["place"], task["place"] + (len(task["item"]) if batched else 1))
    return {"mapped": [(place, {**failed, "name": f"item {place + 1}"}, True) for place in places]}
