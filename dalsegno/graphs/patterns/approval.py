"""Pattern 30: a human has a say before it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.human import NOTHING, human
from dalsegno.nodes.policies.clock import SYSTEM, Clock

_PROPOSER = "Do what is asked, and answer with the result alone: a human will look at it.\n\n{request}"
_REVISER = """Revise the proposal by what the human says, and answer with the new one alone.

Asked for: {request}

The proposal: {proposal}

The human: {decision.comment?}"""


class HumanDecision(TypedDict):
    """A human's word: whether it may be done, and what should be different."""

    approved: bool
    comment: NotRequired[str]


class Approval(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: what is asked for
    - `proposal`: what the human is shown
    - `decision`: the human's answer
    - `result`: the result of the action
    - `outcome`: ``"approved"`` or ``"rejected"``
    """

    request: Any
    proposal: Any
    decision: HumanDecision
    result: Any
    outcome: Literal["approved", "rejected"]


@pattern(30, bound="2 * revisions + 4 if reviser else 4")
def approval(
    proposer: Any,
    act: Any,
    *,
    reviser: Any = None,
    revisions: int = 2,
    question: str | Callable[[Any], str] = "May this be done?\n\n{proposal}",
    deadline: float | None = None,
    default: HumanDecision | None = None,
    clock: Clock = SYSTEM,
    state: Any = Approval,
    name: str = "approval",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Propose something, wait for a human's word, and do it only if that is yes.

    While it waits no process runs. `Runner.resume(thread, {"approved": True})` continues the run, today or next week.

    When
    ----
    The action cannot be taken back, costs money, or speaks in somebody's name.

    When not
    --------
    - A program can tell whether the proposal is good: `output_validation`.
    - The action can be undone: `saga`. Then nobody needs to wait.

    Parameters
    ----------
    proposer
        ``state -> proposal``. Reads ``state["request"]``.
    act
        ``state -> result``, called only after a yes. Reads ``state["proposal"]``.
    reviser
        ``state -> proposal``, called after a no; then the human is asked again. Reads ``state["proposal"]`` and
        ``state["decision"]["comment"]``. None: a no is the end.
    revisions
        The most revisions.
    question
        What the human is asked: a text with ``{fields}`` of the state, or ``state -> text``.
    deadline
        Seconds from the question until the default is taken. None: it waits for ever.
    default
        The decision after the deadline, which the next resume applies: ``{"approved": False}``. A deadline needs one.
    clock
        Its `time()` in unix seconds, for tests.
    state
        `Approval` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"act": {"timeout": 30}}``.

    Bound
    -----
    The proposer, `ask`, the action, `finish`; and a revision with its question for each of `revisions`.

    Failure
    -------
    A no after the last revision, or without a reviser, ends with the outcome ``"rejected"``, and nothing is done. An
    answer of another shape is refused, and the question still waits. If a role fails, the run fails, and is resumed
    there; nobody is asked the same again.

    Source
    ------
    The deferred choice between an answer and a deadline, in van der Aalst et al., "Workflow Patterns" (2003).

    Example
    -------
    >>> from dalsegno.graphs.patterns import approval
    >>> from langgraph.checkpoint.memory import InMemorySaver
    >>> from langgraph.types import Command
    >>> def write(state) -> str:
    ...     return f"Dear {state['request']}"
    >>> def send(state) -> str:
    ...     return f"sent: {state['proposal']}"
    >>> flow = approval(write, send)
    >>> given = {"request": "Ada"}
    >>> thread = {"configurable": {"thread_id": "letter"}}
    >>> graph = flow.compile(InMemorySaver())
    >>> graph.invoke(given, thread)["proposal"]
    'Dear Ada'
    >>> graph.invoke(Command(resume={"approved": True}), thread)["result"]
    'sent: Dear Ada'
    """
    whole("approval", 1, revisions=revisions)  # without a reviser there are none
    flow = Workflow(name, state, version=version)
    cast = Cast("approval", flow, options)
    stands: Any = NOTHING if default is None else default
    ask = human(
        question,
        answer=HumanDecision,
        writes="decision",
        deadline=deadline,
        default=stands,
        name="ask",
        clock=clock,
    )
    cast.add(Role(name="proposer", key="proposal", prompt=_PROPOSER), proposer)
    cast.add(Role(name="ask", key="decision"), ask)
    cast.add(Role(name="act", key="result"), act)

    def decided(state: Any) -> Literal["approved", "rejected"]:
        return "approved" if read(state, "decision")["approved"] else "rejected"

    def finish(state: Any) -> dict[str, Any]:
        outcome = decided(state)
        earlier = outcome == "rejected" and read(state, "result") is not None  # in another turn of the thread
        return {"outcome": outcome, **({"result": None} if earlier else {})}

    cast.own("finish", finish)
    again: str | Loop = "finish"
    if reviser is not None:
        cast.add(Role(name="reviser", key="proposal", prompt=_REVISER), reviser)
        flow.add_edge("reviser", "ask")
        again = Loop("reviser", max=revisions, on_exhausted="finish")
    flow.add_edge(START, "proposer").add_edge("proposer", "ask")
    flow.add_conditional_edges("ask", decided, {"approved": "act", "rejected": again})
    return flow.add_edge("act", "finish").add_edge("finish", END)
