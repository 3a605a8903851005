"""Pattern 16: a coordinator chooses whom to ask what, and a synthesizer brings their answers together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from langgraph.types import Overwrite
from typing_extensions import TypedDict

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import END, START, Each, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role, apart, named
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.working import (
    Done,
    Task,
    Worker,
    add_workers,
    by_number,
    given_out,
    not_here,
    roster,
)
from dalsegno.graphs.workflow import Workflow

_COORDINATOR = """Choose which of these specialists to ask, what to ask each of them, and in which order, so that their
answers together are enough for the request. Ask nobody who is not needed.

{specialists}

The request: {{request}}"""
_SYNTHESIZER = """Make one answer of what the specialists say. Name in `conflicts` each point on which they contradict
each other, and decide it in the answer.

The request: {request}

They say: {results}"""


class Synthesis(TypedDict):
    """One answer of many, and the points on which they contradicted each other."""

    answer: Any
    conflicts: list[str]


class Consultation(TypedDict, total=False):
    """The state: extend it for specialists that need more.

    - `request`: what is asked for
    - `questions`: who is asked what
    - `results`: what the specialists say
    - `task`: the question that a specialist answers
    - `number`, `to`: its place, and who that specialist is
    - `synthesis`: the synthesizer's ``answer``, and the ``conflicts`` between the specialists
    """

    request: Any
    questions: list[Task]
    number: int
    to: str
    task: Any
    results: Annotated[list[Done], by_number]
    synthesis: Synthesis


@pattern(16, bound='4 if order == "parallel" else 2 * len(specialists) + 4')
def specialists(
    coordinator: Any,
    specialists: Sequence[Any] | Mapping[str, Any],
    synthesizer: Any,
    *,
    order: Literal["parallel", "serial"] = "parallel",
    state: Any = Consultation,
    name: str = "specialists",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Ask experts, each about what only they know, and combine their answers into one.

    When
    ----
    A question has several sides, and each side needs a prompt, tools or a model of its own. In parallel it is quick.
    In series each specialist sees what was said before, which gives answers that fit together.

    When not
    --------
    - Their answers lead to further questions: `supervisor`.
    - All are asked the same: `ensemble`.

    Parameters
    ----------
    coordinator
        ``state -> [{"to": specialist, "task": question}]``, in the order in which they are asked. Reads
        ``state["request"]``. Several questions to one specialist are joined.
    specialists
        ``state -> answer``. Each reads ``state["task"]``, and in series ``state["results"]``. A sequence, or a
        mapping by name. A `Worker` says what it is good at, for a coordinator that is a model.
    synthesizer
        ``state -> {"answer", "conflicts"}``. Reads ``state["results"]``.
    order
        ``"parallel"``: all at once. ``"serial"``: one after the other, in the order of the coordinator.
    state
        `Consultation` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"coordinator": {"timeout": 60}}``.

    Bound
    -----
    `begin`, the coordinator, all specialists at once, the synthesizer. In series, each specialist once, with `ask`
    before each and after the last.

    Failure
    -------
    A specialist that fails, or a question to an unknown one, is among the results with its error, and the synthesizer
    makes an answer from the others. If another role fails, the run fails, and is resumed there.

    Source
    ------
    Blackboard systems, in Buschmann et al., "Pattern-Oriented Software Architecture" 1 (1996).

    Example
    -------
    >>> from dalsegno.graphs.patterns import specialists
    >>> def coordinator(state) -> list:
    ...     return [{"to": who, "task": state["request"]} for who in ("first", "last")]
    >>> def first(state) -> str:
    ...     return min(state["task"])
    >>> def last(state) -> str:
    ...     return max(state["task"])
    >>> def synthesizer(state) -> dict:
    ...     return {"answer": "-".join(done["result"] for done in state["results"]), "conflicts": []}
    >>> flow = specialists(coordinator, [first, last], synthesizer)
    >>> given = {"request": "segno"}
    >>> flow.compile().invoke(given)["synthesis"]["answer"]
    'e-s'
    """
    if order not in ("parallel", "serial"):
        raise DefinitionError(f'specialists(order={order!r}): it is "parallel" or "serial".')
    flow = Workflow(name, state, version=version)
    cast = Cast("specialists", flow, options)
    played: dict[str, Worker] = named("specialists", specialists, kind=Worker, what="specialist")
    cast.own("begin", lambda state: {"results": Overwrite([])}, reads=())
    prompt = _COORDINATOR.format(specialists=roster(played))
    cast.add(
        Role(name="coordinator", key="questions", type=list[Task], prompt=prompt),
        coordinator,
        around=filed("questions", lambda state, questions: _together(questions, played)),
        writes=("questions", "results"),
    )
    cast.add(
        Role(name="synthesizer", key="synthesis", type=Synthesis, prompt=_SYNTHESIZER),
        synthesizer,
    )
    flow.add_edge(START, "begin").add_edge("begin", "coordinator").add_edge("synthesizer", END)
    add_workers(cast, played, sent=order == "parallel")
    if order == "parallel":
        most = {who: Each(who, max=len(played)) for who in played}
        nobody = apart("nobody", played)

        def ask_all(state: Any) -> Any:
            return given_out(state, read(state, "questions"), played, len(played)) or nobody

        flow.add_conditional_edges("coordinator", ask_all, {nobody: "synthesizer", **most})
        for who in played:
            flow.add_edge(who, "synthesizer")
        return flow
    cast.own("ask", _asked_next)
    flow.add_edge("coordinator", "ask")
    for who in played:
        flow.add_edge(who, "ask")
    ways: dict[Any, Any] = {who: Loop(who, max=1, on_exhausted="synthesizer") for who in played}
    return flow.add_conditional_edges("ask", _whom, {**ways, "": "synthesizer"})


def _together(questions: Sequence[Task], known: Mapping[str, Any]) -> dict[str, Any]:
    """One question for each specialist, in the order in which they are named, and errors for those not there."""
    asked: dict[str, list[Any]] = {}
    one: list[Task]
    for question in questions:
        asked.setdefault(question["to"], []).append(question["task"])
    one = [{"to": to, "task": tasks[0] if len(tasks) == 1 else tasks} for to, tasks in asked.items()]
    wrong = [
        {
            **task,
            "number": 0,
            "error": not_here(task["to"], known),
        }
        for task in one
        if task["to"] not in known
    ]
    return {"questions": [task for task in one if task["to"] in known], "results": wrong}


def _asked_next(state: Any) -> dict[str, Any]:
    done = {done["to"] for done in read(state, "results", [])}
    for number, question in enumerate(read(state, "questions"), 1):
        if question["to"] not in done:
            return {"number": number, "to": question["to"], "task": question["task"]}
    return {"to": ""}


def _whom(state: Any) -> str:
    return str(read(state, "to"))
