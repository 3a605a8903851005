"""Pattern 29: what is it about? One of several workflows is for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.model import END, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role, named
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.working import doubled
from dalsegno.graphs.workflow import Workflow

_CLASSIFIER = """What is the message about? Name one of these intents: {intents}.

The turns before: {turns?}

The message: {message}

Where it was answered already, and why that will not do: {intent?} {check.problem?}"""
_VALIDATOR = """Does the result do what the message asks for? Say no, and what is the problem, where it does not.

The message: {message}

The result: {result}"""
_BUILDER = """Answer the message from the result, and say so where the result will not do.

The turns before: {turns?}

The message: {message}

The result: {result}

The check of it: {check?}"""


class ResultCheck(TypedDict):
    """Whether a result will do, and what is the problem where it will not."""

    valid: bool
    problem: str


class Served(TypedDict):
    """A turn as it was: the message, what it was about, and the response."""

    message: Any
    intent: str
    response: Any


class IntentWorkflows(TypedDict, total=False):
    """The state: extend it for workflows that need more.

    - `message`: the newest message
    - `intent`: what it is about
    - `result`: what that intent's workflow gave
    - `check`: the validator's word on it
    - `response`: the answer
    - `turns`: the turns before
    - `outcome`: ``"invalid"`` if the last result was not accepted either, else ``"served"``
    """

    message: Any
    intent: str
    result: Any
    check: ResultCheck | None
    response: Any
    turns: list[Served]
    outcome: Literal["served", "invalid"]


@pattern(29, bound="3 * retries + 6 if validator else 5")
def intent_workflows(
    classifier: Any,
    workflows: Mapping[str, Any],
    builder: Any,
    *,
    validator: Any = None,
    default: str | None = None,
    retries: int = 1,
    keep: int = 50,
    state: Any = IntentWorkflows,
    name: str = "intent_workflows",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Find out what a message is about, run the workflow for that, check its result, and respond, turn after turn.

    When
    ----
    An assistant does several things, each in its own way. Every intent has a workflow, which may be any other pattern
    and has a proof of its own.

    When not
    --------
    - Every message is handled alike: `conversation`.
    - The data says plainly which way to go: `router`.
    - There is only one workflow. Begin with that one; add intents when there are several.

    Parameters
    ----------
    classifier
        ``state -> intent``, the name of a workflow. Reads ``state["message"]``; when asked again, also
        ``state["check"]``.
    workflows
        What is run for each intent, by its name: ``state -> result``, or a workflow whose keys are mapped,
        ``Node(flow, inputs={"request": "message"}, outputs={"result": "value"})``.
    builder
        ``state -> response``. Reads ``state["result"]``, ``state["check"]`` and ``state["turns"]``.
    validator
        ``state -> {"valid", "problem"}``. Reads ``state["result"]``. None: every result is accepted.
    default
        The intent that is used if the classifier names an unknown one. None: that is a `WrongAnswer`.
    retries
        How often a message is classified and served again after a result that was not accepted.
    keep
        How many turns are kept.
    state
        `IntentWorkflows` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"classifier": {"timeout": 20}}``.

    Bound
    -----
    `begin`; the classifier, the workflow and the validator, if there is one, once and for each of `retries`; the
    builder, and `record`. A workflow weighs its own bound besides.

    Failure
    -------
    A result that is not accepted goes back to the classifier, which is told why. After `retries`, the response is
    built from the last result, and ``outcome`` is ``"invalid"``. If something fails in a workflow, the run fails, and
    is resumed there.

    Source
    ------
    Routing: Anthropic, "Building effective agents" (2024).

    Example
    -------
    >>> from dalsegno.graphs.patterns import Node, intent_workflows, sequential
    >>> def classify(state) -> str:
    ...     return "count" if "how many" in state["message"] else "shout"
    >>> def words(state) -> list[str]:
    ...     return state["value"].split()
    >>> def count(state) -> int:
    ...     return len(state["value"])
    >>> def shout(state) -> str:
    ...     return state["message"].upper()
    >>> def respond(state) -> str:
    ...     return f"{state['intent']}: {state['result']}"
    >>> counting = Node(sequential([words, count]), inputs={"value": "message"}, outputs={"result": "value"})
    >>> flow = intent_workflows(classify, {"count": counting, "shout": shout}, respond)
    >>> given = {"message": "how many words are these?"}
    >>> flow.compile().invoke(given)["response"]
    'count: 5'
    """
    played = named("intent_workflows", workflows, least=2, what="workflow")
    _check(played, default, retries, keep)
    flow = Workflow(name, state, version=version)
    cast = Cast("intent_workflows", flow, options)
    cast.begin(check=None, intent="", outcome="served")
    prompt = _CLASSIFIER.replace("{intents}", doubled(", ".join(f'"{intent}"' for intent in played)))
    cast.add(
        Role(name="classifier", key="intent", type=_intent(list(played), default), prompt=prompt), classifier
    )
    for intent, node in played.items():
        cast.add(Role(name=intent, key="result"), node)
    cast.add(Role(name="builder", key="response", prompt=_BUILDER), builder)

    def record(state: Any) -> dict[str, Any]:
        turn: Served = {
            "message": read(state, "message"),
            "intent": read(state, "intent"),
            "response": read(state, "response"),
        }
        check = read(state, "check")
        return {
            "turns": [*(read(state, "turns") or []), turn][-keep:],
            "outcome": "served" if check is None or check["valid"] else "invalid",
        }

    def valid(state: Any) -> Literal["valid", "invalid"]:
        return "valid" if read(state, "check")["valid"] else "invalid"

    cast.own("record", record)
    flow.add_edge("begin", "classifier").add_edge("builder", "record").add_edge("record", END)
    flow.add_conditional_edges("classifier", lambda state: read(state, "intent"), {i: i for i in played})
    if validator is not None:
        cast.add(Role(name="validator", key="check", type=ResultCheck, prompt=_VALIDATOR), validator)
        again = Loop("classifier", max=retries, on_exhausted="builder") if retries else "builder"
        flow.add_conditional_edges("validator", valid, {"valid": "builder", "invalid": again})
    for intent in played:
        flow.add_edge(intent, "validator" if validator is not None else "builder")
    return flow


def _intent(intents: list[str], default: str | None) -> Any:
    one: Any = Literal[tuple(intents)]
    if default is None:
        return one
    return Annotated[one, BeforeValidator(lambda named: named if named in intents else default)]


def _check(played: Mapping[str, Any], default: Any, retries: Any, keep: Any) -> None:
    whole("intent_workflows", 0, retries=retries)
    whole("intent_workflows", 1, keep=keep)
    if default is not None and default not in played:
        near = did_you_mean(str(default), played) or "."
        known = ", ".join(f"`{intent}`" for intent in played)
        raise DefinitionError(
            f"intent_workflows(default={default!r}): there is no such workflow{near} There are {known}."
        )
