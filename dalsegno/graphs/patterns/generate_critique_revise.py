"""Pattern 17: write, have it judged, write again until it is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import share, whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import Score, read
from dalsegno.graphs.workflow import Workflow

_GENERATOR = "Do what is asked, and answer with the result alone.\n\n{request}"
_CRITIC = """Judge the draft by what was asked for. Give a score from 0 (useless) to 1 (nothing to improve), and say in
`comments` what must be changed for a better one.

Asked for: {request}

Draft: {draft}"""
_REVISER = """Revise the draft by what the critic says, and answer with the new draft alone.

Asked for: {request}

Draft: {draft}

The critic: {review.comments}"""
_VALIDATOR = """Is this fit to be handed over as it is? Say no where it does not do what was asked.

Asked for: {request}

Draft: {draft}"""


class Review(TypedDict):
    """What the critic says of a draft: how good it is, from 0 to 1, and what to change."""

    score: Score
    comments: str


class Validation(TypedDict):
    """The last word on the draft, and why."""

    valid: bool
    reason: str


class Drafts(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: what is asked for
    - `draft`: the newest draft
    - `review`: what the critic says about it
    - `validation`: the validator's word
    - `outcome`: set at the end: ``"good"`` (the critic was satisfied), ``"best effort"`` (the revisions were used up)
      or ``"invalid"`` (the validator refused it)
    """

    request: Any
    draft: Any
    review: Review
    validation: Validation
    outcome: Literal["good", "best effort", "invalid"]


@pattern(17, bound="2 * revisions + (4 if validator else 3)")
def generate_critique_revise(
    generator: Any,
    critic: Any,
    reviser: Any,
    *,
    validator: Any = None,
    good_enough: float = 0.8,
    revisions: int = 3,
    state: Any = Drafts,
    name: str = "generate_critique_revise",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Write a draft, have it judged, and revise it until it is good enough.

    When
    ----
    It is easier to judge the result than to write it: texts, plans, code with tests. The critic may be a program, and
    then costs no model call.

    When not
    --------
    - There is a right form, and a check that says what is wrong with it: `output_validation`.
    - Several independent answers would show more than one that is polished: `ensemble`.

    Parameters
    ----------
    generator
        ``state -> draft``. Reads ``state["request"]``.
    critic
        ``state -> {"score", "comments"}``, with a score from 0 to 1. Reads ``state["draft"]``.
    reviser
        ``state -> draft``. Reads ``state["draft"]`` and ``state["review"]["comments"]``.
    validator
        ``state -> {"valid", "reason"}``, asked once at the end. None: the critic's word is enough.
    good_enough
        A draft with this score or more is not revised.
    revisions
        The most revisions.
    state
        `Drafts` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"generator": {"timeout": 60}}``.

    Bound
    -----
    A draft and its review; a revision and its review for each of `revisions`; the validator, if there is one; and the
    end.

    Failure
    -------
    If the revisions are used up, the last draft stands, and `outcome` is ``"best effort"``. If the validator refuses
    the draft, it is ``"invalid"``. If a role fails, the run fails, and is resumed there.

    Source
    ------
    Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import generate_critique_revise
    >>> def write(state) -> str:
    ...     return state["request"]
    >>> def judge(state) -> dict:
    ...     return {"score": min(len(state["draft"]) / 20, 1.0), "comments": "say more"}
    >>> def more(state) -> str:
    ...     return state["draft"] + ", and then more"
    >>> flow = generate_critique_revise(write, judge, more)
    >>> given = {"request": "rain"}
    >>> flow.compile().invoke(given)["draft"]
    'rain, and then more'
    """
    whole("generate_critique_revise", 0, revisions=revisions)
    share("generate_critique_revise", good_enough=good_enough)
    flow = Workflow(name, state, version=version)
    cast = Cast("generate_critique_revise", flow, options)
    cast.add(Role(name="generator", key="draft", prompt=_GENERATOR), generator)
    cast.add(Role(name="critic", key="review", type=Review, prompt=_CRITIC), critic)
    if validator is not None:
        cast.add(Role(name="validator", key="validation", type=Validation, prompt=_VALIDATOR), validator)

    def verdict(state: Any) -> Literal["good enough", "to revise"]:
        return "good enough" if read(state, "review")["score"] >= good_enough else "to revise"

    def finish(state: Any) -> dict[str, str]:
        if validator is not None and not read(state, "validation")["valid"]:
            return {"outcome": "invalid"}
        return {"outcome": "good" if verdict(state) == "good enough" else "best effort"}

    cast.own("finish", finish)
    last = "validator" if validator is not None else "finish"
    again: str | Loop = last
    if revisions:
        cast.add(Role(name="reviser", key="draft", prompt=_REVISER), reviser)
        flow.add_edge("reviser", "critic")
        again = Loop("reviser", max=revisions, on_exhausted=last)
    flow.add_edge(START, "generator").add_edge("generator", "critic")
    flow.add_conditional_edges("critic", verdict, {"good enough": last, "to revise": again})
    if validator is not None:
        flow.add_edge("validator", "finish")
    return flow.add_edge("finish", END)
