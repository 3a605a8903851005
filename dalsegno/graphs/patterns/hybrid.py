"""Pattern 4: a sequence, and in its middle a branch that a check decides about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.model import END, START
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.doubting import doubted
from dalsegno.graphs.patterns.roles import Cast, Role, named
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.working import doubled
from dalsegno.graphs.workflow import Workflow

_CHECK = """Which of these is it: {labels}? Answer with one of them alone.

{{value}}"""


class Hybrid(TypedDict, total=False):
    """The state: extend it for steps that need more.

    - `value`: what the steps hand on, from the input to the last answer
    - `label`: what the check said, or the default if that was unknown
    """

    value: Any
    label: str


@pattern(4, bound="len(before) + 2 + len(after)")
def hybrid(
    before: Sequence[Any] | Mapping[str, Any],
    check: Any,
    branches: Mapping[str, Any],
    *,
    after: Sequence[Any] | Mapping[str, Any] = (),
    default: str | None = None,
    state: Any = Hybrid,
    name: str = "hybrid",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Run fixed steps one after the other, with one in the middle that a check selects.

    When
    ----
    The way is nearly always the same, and one thing depends on the input: a long text is shortened, a foreign one
    translated, a large order approved.

    When not
    --------
    - Nothing depends on the input: `sequential`.
    - The whole way depends on it: `router`.

    Parameters
    ----------
    before
        ``state -> value``, the steps before the check. Each reads ``state["value"]``. A sequence, or a mapping by
        name; it may be empty.
    check
        ``state -> label``. Reads ``state["value"]``.
    branches
        ``state -> value`` by label; None for a label with nothing to do.
    after
        The steps after the branch, given like those before.
    default
        The label that is used if the check returns an unknown one. None: an unknown label fails the run.
    state
        `Hybrid` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"check": {"timeout": 30}}``.

    Bound
    -----
    One superstep for each step, one for the check, and one for the branch.

    Failure
    -------
    The run fails at the step, the check or the branch, and is resumed there. An unknown label takes the `default`;
    without a default it is a `WrongAnswer`, which lists the known labels.

    Source
    ------
    Exclusive choice and simple merge, in van der Aalst et al., "Workflow Patterns" (2003).

    Example
    -------
    >>> from dalsegno.graphs.patterns import hybrid
    >>> def words(state) -> list[str]:
    ...     return state["value"].split()
    >>> def length(state) -> str:
    ...     return "long" if len(state["value"]) > 3 else "short"
    >>> def shorten(state) -> list[str]:
    ...     return [*state["value"][:3], "…"]
    >>> def joined(state) -> str:
    ...     return " ".join(state["value"])
    >>> flow = hybrid([words], length, {"long": shorten, "short": None}, after=[joined])
    >>> given = {"value": "from the sign to the end"}
    >>> flow.compile().invoke(given)["value"]
    'from the sign …'
    """
    labels = _labels(branches, default)
    kind: Any = Literal[labels]
    flow = Workflow(name, state, version=version)
    cast = Cast("hybrid", flow, options)
    first = named("hybrid", before, least=0, what="step")
    last = named("hybrid", after, least=0, what="step")
    for step, node in first.items():
        cast.add(Role(name=step, key="value"), node)
    doubt = doubted("check", {"label": default}) if default is not None else None
    cast.add(
        Role(name="check", key="label", type=kind, prompt=_CHECK.format(labels=doubled(", ".join(labels)))),
        check,
        around=doubt,
    )
    for label, node in branches.items():
        if node is not None:
            cast.add(Role(name=label, key="value"), node)
    for step, node in last.items():
        cast.add(Role(name=step, key="value"), node)

    def checked(state: Any) -> str:
        return str(read(state, "label"))

    following = next(iter(last), END)
    for one, other in pairwise([START, *first, "check"]):
        flow.add_edge(one, other)
    targets: Any = {label: following if node is None else label for label, node in branches.items()}
    flow.add_conditional_edges("check", checked, targets)
    for label, node in branches.items():
        if node is not None:
            flow.add_edge(label, following)
    for one, other in pairwise([*last, END]):
        flow.add_edge(one, other)
    return flow


def _labels(branches: Any, default: str | None) -> tuple[str, ...]:
    if not isinstance(branches, Mapping) or not all(isinstance(label, str) for label in branches):
        raise DefinitionError('hybrid: branches are a mapping by label: {"long": shorten, "short": None}.')
    if all(node is None for node in branches.values()):
        raise DefinitionError("hybrid: no branch does anything, so there is nothing to check: `sequential`.")
    if default is not None and default not in branches:
        raise DefinitionError(
            f"hybrid(default={default!r}): it is not one of the branches{did_you_mean(default, branches) or '.'}"
        )
    return tuple(branches)
