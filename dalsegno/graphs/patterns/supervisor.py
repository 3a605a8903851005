"""Pattern 13: one gives out tasks, several at once, until what came back is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

from dalsegno.graphs.model import END, Each, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role, apart, named
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.patterns.working import (
    Done,
    Task,
    Worker,
    add_nobody,
    add_workers,
    by_number,
    given_out,
    roster,
)
from dalsegno.graphs.workflow import Workflow

_LEAD = """You lead these workers:

{workers}

Give out tasks that bring this nearer to its end, to several of them at once where they do not need each other. A worker
knows nothing but its task. When you know enough, give no tasks, and say the answer.

Asked for: {{request}}

What was done until now: {{results}}"""
_AGGREGATE = """Answer what is asked for from what was found out; where the results contradict each other, say so.

Asked for: {request}

Found out: {results}"""


class Delegation(TypedDict):
    """What the lead decides: tasks for workers, or none and the answer."""

    tasks: list[Task]
    answer: NotRequired[Any]


class Supervised(TypedDict, total=False):
    """The state: extend it for a lead that needs more.

    - `request`: what is asked for
    - `decision`: the lead's last decision
    - `results`: what came of all tasks so far
    - `task`: what a worker is sent
    - `answer`: set at the end
    - `outcome`: set at the end: ``"done"`` if the lead gave no more tasks, ``"out of rounds"`` if it would have
      continued
    """

    request: Any
    decision: Delegation
    task: Any
    results: Annotated[list[Done], by_number]
    answer: Any
    outcome: Literal["done", "out of rounds"]


@pattern(13, bound="3 * rounds + (3 if aggregate else 2)")
def supervisor(
    lead: Any,
    workers: Sequence[Any] | Mapping[str, Any],
    *,
    aggregate: Any = None,
    rounds: int = 3,
    max_tasks: int = 8,
    state: Any = Supervised,
    name: str = "supervisor",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Give tasks to specialists, several at once, look at the results, and continue until they are enough.

    When
    ----
    It becomes clear only on the way what has to be done, and different tasks need different workers: other prompts,
    tools or models.

    When not
    --------
    - There is one worker, and nothing goes side by side. Let it do the work itself: `react`.
    - You know who is needed: `parallel`.
    - It can be decided once at the beginning: `specialists`, `planner_executor`.

    Parameters
    ----------
    lead
        ``state -> {"tasks": [{"to": worker, "task": ...}], "answer": ...}``. Reads ``state["request"]`` and
        ``state["results"]``. No tasks means that it is done.
    workers
        ``state -> result``. Each reads ``state["task"]`` and ``state["request"]``, which is all that it is sent. A
        sequence, or a mapping by name. A `Worker` says what it is good at, for a lead that is a model.
    aggregate
        ``state -> answer``. Reads ``state["results"]``. None: the lead's own answer, or the results if it gave none.
    rounds
        How often the lead decides.
    max_tasks
        The most tasks of one decision.
    state
        `Supervised` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"lead": {"timeout": 60}}``.

    Bound
    -----
    `begin`; for each of `rounds`: the lead, all its workers at once, and `collect`; `aggregate`, if there is one; and
    the end.

    Failure
    -------
    A worker that fails leaves its error among the results, and so does a task for an unknown worker, or one task too
    many. The lead decides what to do. If the rounds are used up, `outcome` is ``"out of rounds"``, and the answer is
    made from what there is. If a lead fails, the run fails, and is resumed there.

    Source
    ------
    Orchestrator and workers, in Anthropic, "Building effective agents" (2024).

    Example
    -------
    >>> from dalsegno.graphs.patterns import supervisor
    >>> def lead(state) -> dict:
    ...     if not state["results"]:
    ...         return {"tasks": [{"to": w, "task": state["request"]} for w in ("upper", "count")]}
    ...     return {"tasks": [], "answer": [done["result"] for done in state["results"]]}
    >>> def upper(state) -> str:
    ...     return state["task"].upper()
    >>> def count(state) -> int:
    ...     return len(state["task"])
    >>> flow = supervisor(lead, [upper, count])
    >>> given = {"request": "rain"}
    >>> flow.compile().invoke(given)["answer"]
    ['RAIN', 4]
    """
    whole("supervisor", 1, rounds=rounds, max_tasks=max_tasks)
    flow = Workflow(name, state, version=version)
    cast = Cast("supervisor", flow, options)
    played: dict[str, Worker] = named("supervisor", workers, kind=Worker, what="worker")
    begin = cast.begin(results=[])
    prompt = _LEAD.format(workers=roster(played))
    cast.add(Role(name="lead", key="decision", type=Delegation, prompt=prompt), lead)
    add_workers(cast, played)
    asked = [*played, add_nobody(cast)]
    cast.own("collect", lambda state: None, reads=(), writes=())

    done = apart("done", played)

    def delegates(state: Any) -> Any:
        return given_out(state, read(state, "decision")["tasks"], played, max_tasks) or done

    def respond(state: Any) -> dict[str, Any]:
        decision = read(state, "decision")
        outcome = {"outcome": "out of rounds" if decision["tasks"] else "done"}
        if aggregate is not None:
            return outcome
        found: Any = read(state, "results", [])
        return {**outcome, "answer": found if decision["tasks"] else decision.get("answer", found)}

    cast.own("respond", respond)
    last = "respond"
    if aggregate is not None:
        last = cast.add(Role(name="aggregate", key="answer", prompt=_AGGREGATE), aggregate)
        flow.add_edge("aggregate", "respond")
    flow.add_edge(begin, "lead").add_edge("respond", END)
    most = {worker: Each(worker, max=max_tasks) for worker in asked}
    flow.add_conditional_edges("lead", delegates, {done: last, **most})
    for worker in asked:
        flow.add_edge(worker, "collect")
    again: str | Loop = Loop("lead", max=rounds - 1, on_exhausted=last) if rounds > 1 else last
    return flow.add_conditional_edges("collect", _again, {"again": again})


def _again(state: Any) -> Literal["again"]:
    return "again"
