"""Pattern 14: supervisors of supervisors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.roles import named
from dalsegno.graphs.patterns.supervisor import Supervised, supervisor
from dalsegno.graphs.patterns.working import Worker
from dalsegno.graphs.workflow import Workflow


class Team(Worker):
    """A worker that is a supervisor with workers of its own, some of which may be teams.

    Parameters
    ----------
    lead, workers, aggregate, rounds, max_tasks
        As of `supervisor`; the lead's ``state["request"]`` is the task that the team was given.
    name, about
        As of `Worker`.
    """

    def __init__(
        self,
        lead: Any,
        workers: Sequence[Any] | Mapping[str, Any],
        /,
        *,
        aggregate: Any = None,
        rounds: int = 2,
        max_tasks: int = 8,
        name: str | None = None,
        about: str = "",
    ) -> None:
        self.workers: dict[str, Worker] = named("hierarchy", workers, kind=Worker, what="worker")
        self.rounds, self.aggregate = rounds, aggregate
        flow = supervisor(
            lead, self.workers, aggregate=aggregate, rounds=rounds, max_tasks=max_tasks, name=name or "team"
        )
        keys: dict[str, Any] = {"inputs": {"request": "task"}, "outputs": {"results": "answer"}}
        super().__init__(flow, name=name, about=about, **keys)

    @property
    def supersteps(self) -> int:
        """The most of a run of the team, where each actor is one node."""
        return self.rounds * (2 + _longest(self.workers)) + (3 if self.aggregate is not None else 2)


def _longest(workers: Mapping[str, Worker]) -> int:
    return max(1 + worker.supersteps if isinstance(worker, Team) else 1 for worker in workers.values())


def _counts(given: Mapping[str, Any]) -> dict[str, int]:
    return {"longest": _longest(named("hierarchy", given["teams"], kind=Worker, what="team"))}


@pattern(14, bound="rounds * (2 + longest) + (3 if aggregate else 2)", counts=_counts)
def hierarchy(
    lead: Any,
    teams: Sequence[Any] | Mapping[str, Any],
    *,
    aggregate: Any = None,
    rounds: int = 2,
    max_tasks: int = 8,
    state: Any = Supervised,
    name: str = "hierarchy",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Give tasks to teams, whose leads give tasks to their own workers, over as many levels as there are.

    When
    ----
    There are more workers than one lead can know, or parts of the work need a lead who understands them. Each level
    sees only its own tasks and results.

    When not
    --------
    One lead can keep all workers in mind: `supervisor`. Every further level costs decisions, and something is lost on
    the way between levels.

    Parameters
    ----------
    lead
        ``state -> {"tasks": [{"to": team, "task": ...}], "answer": ...}``, as for `supervisor`.
    teams
        Instances of `Team`, and beside them workers that answer to the lead itself. A sequence, or a mapping by name.
    aggregate
        ``state -> answer``. Reads ``state["results"]``. None: the lead's own answer, or the results if it gave none.
    rounds
        How often the lead decides; each team has its own rounds.
    max_tasks
        The most tasks of one decision.
    state
        `Supervised` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"lead": {"timeout": 60}}``.

    Bound
    -----
    That of `supervisor`, but a team in place of a worker weighs one more than its own bound; `longest` is the
    heaviest of them.

    Failure
    -------
    A worker's failure is reported to its own lead; the failure of a team (because its lead failed, say) to the lead
    above. If the rounds are used up, `outcome` is ``"out of rounds"``, and the answer is made from what there is.

    Source
    ------
    Hierarchical agent teams, in LangGraph's documentation (2024); Simon, "The Architecture of Complexity" (1962).

    Example
    -------
    >>> from dalsegno.graphs.patterns import Team, hierarchy
    >>> def ask_all(state) -> dict:
    ...     names = ("letters", "digits") if isinstance(state["request"], str) else ("left", "right")
    ...     return {"tasks": [{"to": n, "task": "a1b2"} for n in names if not state["results"]]}
    >>> def letters(state) -> int:
    ...     return sum(map(str.isalpha, state["task"]))
    >>> def digits(state) -> int:
    ...     return sum(map(str.isdigit, state["task"]))
    >>> def add(state) -> int:
    ...     return sum(done["result"] for done in state["results"])
    >>> teams = {name: Team(ask_all, [letters, digits], aggregate=add) for name in ("left", "right")}
    >>> flow = hierarchy(ask_all, teams, aggregate=add)
    >>> given = {"request": 1}
    >>> flow.compile().invoke(given)["answer"]
    8
    """
    played: dict[str, Worker] = named("hierarchy", teams, kind=Worker, what="team")
    return supervisor(
        lead,
        played,
        aggregate=aggregate,
        rounds=rounds,
        max_tasks=max_tasks,
        state=state,
        name=name,
        version=version,
        options=options,
    )
