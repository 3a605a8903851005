"""Pattern 2: several at once, and what they gave brought together."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from langgraph.types import Overwrite
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, TooFewAnswers
from dalsegno.graphs.model import END
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.racing import Race
from dalsegno.graphs.patterns.roles import Cast, Role, failed_as, named
from dalsegno.graphs.patterns.states import Failure, merged, read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.policies import RateLimit


class Parallel(TypedDict, total=False):
    """The state: extend it for branches that need more.

    - `value`: what every branch reads, and at the end what `combine` made of `results`
    - `results`: the answers by branch
    - `failures`: the failures of branches that were allowed to fail
    - `given_up`: the branches that were not waited for
    """

    value: Any
    results: Annotated[dict[str, Any], merged]
    failures: Annotated[list[Failure], operator.add]
    given_up: Annotated[list[str], operator.add]


@pattern(2, bound="4 if combine else 3")
def parallel(
    branches: Sequence[Any] | Mapping[str, Any],
    *,
    combine: Any = None,
    join: Literal["all", "any"] | int = "all",
    on_error: Literal["fail", "collect"] = "fail",
    max_concurrency: int | None = None,
    state: Any = Parallel,
    name: str = "parallel",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Run branches at the same time, and bring their answers together.

    When
    ----
    You need several answers about the same input, and none of them needs another's. Or you ask several for the same,
    and the fastest answer will do: `join`.

    When not
    --------
    - There is one branch for every item of a collection: `map_reduce`.
    - The answers are to be compared with each other: `ensemble`.

    Parameters
    ----------
    branches
        ``state -> value``, a sequence or a mapping by name. Each reads ``state["value"]``; its answer is
        ``results[its name]``.
    combine
        ``state -> value``. Reads ``state["results"]``, in the order of the branches. None: `results` is the result.
    join
        ``"all"`` waits for every branch, ``"any"`` for the first answer, a number for that many answers. The other
        branches are given up: a coroutine is cancelled; a sync function cannot be stopped, and continues in a thread
        whose answer is ignored. A human is asked only when the other branches have ended without enough answers. A
        `Runner` keeps which branches came first, so a run that was killed continues with the same ones.
    on_error
        ``"fail"``: a failed branch fails the run. ``"collect"``: its failure is kept, and the others continue.
    max_concurrency
        Branches at once, over all runs of this workflow in the process. Default: all coroutines; of sync functions as
        many as LangGraph has threads.
    state
        `Parallel` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"weather": {"timeout": 3}}``.

    Bound
    -----
    `begin`, all branches in one superstep, and `join`; with `combine`, one more.

    Failure
    -------
    The run fails at the branch and is resumed there; the answers of the other branches stand. With ``"collect"``, the
    failures are in ``failures``. If too few answers are left for `join`, `TooFewAnswers` says why each branch failed.

    Source
    ------
    Parallel split with synchronization, and the structured discriminator, in van der Aalst et al., "Workflow
    Patterns" (2003).

    Example
    -------
    >>> from dalsegno.graphs.patterns import parallel
    >>> def longest(state) -> str:
    ...     return max(state["value"].split(), key=len)
    >>> def vowels(state) -> int:
    ...     return sum(letter in "aeiou" for letter in state["value"])
    >>> flow = parallel([longest, vowels])
    >>> given = {"value": "from the sign"}
    >>> flow.compile().invoke(given)["results"]
    {'longest': 'from', 'vowels': 3}
    """
    flow = Workflow(name, state, version=version)
    cast = Cast("parallel", flow, options)
    played = named("parallel", branches, what="branch")
    needed = _needed(join, len(played))
    if on_error not in ("fail", "collect"):
        raise DefinitionError(f'parallel(on_error={on_error!r}): it is "fail" or "collect".')
    race = None if join == "all" else Race(needed, lambda branch: {"given_up": [branch]})
    limit = {"rate_limit": RateLimit(concurrency=max_concurrency)} if max_concurrency is not None else {}

    cast.begin(results={}, failures=[], given_up=[])
    for branch, node in played.items():
        role = Role(name=branch, key="results", item=branch)
        caught = failed_as(branch) if on_error == "collect" else None
        around = race.lane(branch) if race is not None else None
        cast.add(role, node, on_failure=caught, around=around, **limit)
        flow.add_edge("begin", branch)

    def joined(state: Any) -> dict[str, Any]:
        results = read(state, "results", {})
        if len(results) < needed and join != "all":
            raise _too_few(needed, len(results), read(state, "failures", []))
        return {"results": Overwrite({branch: results[branch] for branch in played if branch in results})}

    cast.own("join", joined)
    flow.add_edge(list(played), "join")
    if combine is not None:
        cast.add(Role(name="combine", key="value"), combine)
        flow.add_edge("join", "combine")
    flow.add_edge("combine" if combine is not None else "join", END)
    return flow


def _needed(join: Any, branches: int) -> int:
    needed = {"all": branches, "any": 1}.get(join, join) if isinstance(join, str) else join
    if isinstance(needed, bool) or not isinstance(needed, int) or not 1 <= needed <= branches:
        raise DefinitionError(
            f'parallel(join={join!r}): "all", "any", or a number of its branches, from 1 to {branches}.'
        )
    return needed


def _too_few(needed: int, answered: int, failures: Sequence[Failure]) -> TooFewAnswers:
    why = "; ".join(f"`{f['name']}`: {f['error']}: {f['message']}" for f in failures)
    many, fewer = ("1 answer", "") if needed == 1 else (f"{needed} answers", ", or ask for fewer: join=")
    return TooFewAnswers(
        f"`parallel` needs {many}, and {answered or 'none'} came. {why}. Mend what failed and start again{fewer}.",
        needed=needed,
        answered=answered,
        failures=tuple(failures),
    )
