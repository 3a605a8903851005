"""Pattern 27: ask one after the other until one answers."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.roles import Cast, Role, named
from dalsegno.graphs.patterns.states import Failure, failure, read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.policies.case import ErrorFilter, check_filter, matches


class FallbackChain(TypedDict, total=False):
    """The state: extend it for actors that need more.

    - `request`: what each actor is asked
    - `value`: the answer
    - `answered_by`: the name of the actor that gave it
    - `failures`: the failures of the actors that were asked before
    """

    request: Any
    value: Any
    answered_by: str
    failures: Annotated[list[Failure], operator.add]


@pattern(27, bound="len(actors) + 2")
def fallback_chain(
    actors: Sequence[Any] | Mapping[str, Any],
    *,
    falls_through: ErrorFilter | None = None,
    state: Any = FallbackChain,
    name: str = "fallback_chain",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Ask the first; if it fails ask the next, until one answers.

    When
    ----
    Several can answer, with different price, speed or reliability, and it matters who did: a model and a smaller one,
    an agent and a local function. Each is a node with policies of its own. A run that is killed in the third does not
    ask the first again.

    When not
    --------
    - The others are the same thing at another place, and nobody asks which one it was: the policy `Fallback` on a
      node costs no superstep.
    - The answer is to be judged before it is used: `output_validation`.

    Parameters
    ----------
    actors
        ``state -> value``, in the order in which they are asked. Each reads ``state["request"]``. A sequence, or a
        mapping by name.
    falls_through
        Which errors lead to the next actor: exception classes, or a function of the error. None: any error, except
        those that break the workflow's own declarations. Every other error fails the run.
    state
        `FallbackChain` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"large": {"timeout": 20}}``.

    Bound
    -----
    `begin`, each actor, and `respond`.

    Failure
    -------
    An actor that fails after its own retries is listed in ``failures``, and the next one is asked. If the last one
    fails, the run fails, and is resumed there.

    Source
    ------
    Recovery blocks: Randell, "System Structure for Software Fault Tolerance" (1975).

    Example
    -------
    >>> from dalsegno.graphs.patterns import fallback_chain
    >>> def remote(state) -> str:
    ...     raise ConnectionError("the line is busy")
    >>> def local(state) -> str:
    ...     return state["request"].upper()
    >>> flow = fallback_chain([remote, local])
    >>> given = {"request": "rain"}
    >>> flow.compile().invoke(given)["answered_by"]
    'local'
    """
    check_filter("fallback_chain(falls_through)", falls_through)
    flow = Workflow(name, state, version=version)
    cast = Cast("fallback_chain", flow, options)
    played = named("fallback_chain", actors)
    names = list(played)
    cast.begin(failures=[])
    flow.add_edge("begin", names[0])
    for actor, following in zip(names, [*names[1:], None], strict=True):
        caught = None if following is None else _caught(actor, falls_through)
        cast.add(Role(name=actor, key="value"), played[actor], on_failure=caught)
        if following is None:
            flow.add_edge(actor, "respond")
        else:
            flow.add_conditional_edges(actor, _fell(actor), {"answered": "respond", "failed": following})

    def respond(state: Any) -> dict[str, str]:
        return {"answered_by": names[len(read(state, "failures", []))]}

    cast.own("respond", respond)
    return flow.add_edge("respond", END)


def _caught(actor: str, falls_through: ErrorFilter | None) -> Any:
    def caught(argument: Any, error: Exception) -> dict[str, list[Failure]]:
        if not matches(falls_through, error):
            raise error
        return {"failures": [failure(actor, error)]}

    return caught


def _fell(actor: str) -> Any:
    def fell(state: Any) -> Literal["answered", "failed"]:
        return "failed" if any(f["name"] == actor for f in read(state, "failures", [])) else "answered"

    return fell
