"""Who is asked to do something by somebody else: workers, with what they are good at."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NotRequired

from langgraph.types import Send
from typing_extensions import TypedDict

from dalsegno.errors import did_you_mean
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Node, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.nodes.execution import masked_here
from dalsegno.nodes.policies.words import in_words

_WORK = """You are `{name}`{about}. Do this, and answer with the result alone.

{{task}}

It is a part of this: {{request}}"""


class Task(TypedDict):
    """What somebody is asked to do: whom, and what."""

    to: str
    task: Any


class Done(TypedDict):
    """What came of a task: its `result`, or the `error` that it failed with; `number` is its place among all."""

    number: int
    to: str
    task: Any
    result: NotRequired[Any]
    error: NotRequired[str]


def by_number(old: list[Done] | None, new: list[Done] | None) -> list[Done]:
    """A reducer for what came of tasks: in the order in which they were given, whoever was first.

    >>> [done["number"] for done in by_number([{"number": 2}], [{"number": 1}])]
    [1, 2]
    """
    return sorted([*(old or []), *(new or [])], key=lambda done: done["number"])


class Worker(Node):
    """An actor that is given tasks, and what those who give them are told of it.

    Parameters
    ----------
    about
        What it is good at, in a sentence. Default: the first line of the function's docstring.
    """

    def __init__(
        self, actor: Any, /, *, name: str | None = None, about: str | None = None, **options: Any
    ) -> None:
        super().__init__(actor, name=name, **options)
        self.about = about if about is not None else _first_line(actor)


def _first_line(actor: Any) -> str:
    own = inspect.getdoc(actor) if inspect.isroutine(actor) else None
    return (own or "").partition("\n")[0]


def roster(workers: Mapping[str, Worker]) -> str:
    """Who there is, for the prompt of somebody who chooses; braces are doubled, for it is a template."""
    lines = [f"- {name}{f': {worker.about}' if worker.about else ''}" for name, worker in workers.items()]
    return doubled("\n".join(lines))


NOBODY = "nobody"
"""The node that tasks go to which no worker can be given."""


def add_workers(cast: Cast, workers: Mapping[str, Worker], *, sent: bool = True) -> None:
    """Add the nodes of workers; each leaves a `Done` in ``results``.

    A failure is a `Done` as well, so that whoever gave the task can react to it. `sent`: they are sent their tasks, and
    do not find them in the state.
    """
    key = "results"
    for name, worker in workers.items():
        about = f", who is good at this: {worker.about}" if worker.about else ""
        cast.add(
            Role(name=name, key=key, prompt=_WORK.format(name=doubled(name), about=doubled(about))),
            worker,
            on_failure=lambda _, error: {key: masked_here(in_words(error))},
            around=filed(
                key, partial(_filed, "result"), fell=partial(_filed, "error"), actor=worker if sent else None
            ),
            writes=(key,),
        )


def add_nobody(cast: Cast) -> str:
    """Add the node `nobody`, which leaves an error in ``results``; give its name."""
    return cast.own(NOBODY, lambda task: _filed("error", task, task["error"]), writes=("results",))


def given_out(state: Any, tasks: Sequence[Task], workers: Mapping[str, Any], most: int) -> list[Send]:
    """The tasks on their way to workers, and to `nobody` those for a worker that is not there, or beyond the `most`.

    A worker is sent ``{"request", "task"}``, with the task's number, and whom it is for. To `nobody` go at most as many
    as to a worker: the last of them is all that are left, as a list.
    """
    before = len(read(state, "results", []))
    sends: list[Send] = []
    refused: list[dict[str, Any]] = []
    for place, task in enumerate(tasks):
        asked = {"request": read(state, "request"), "number": before + place + 1, **task}
        if task["to"] not in workers:
            refused.append({**asked, "error": not_here(task["to"], workers)})
        elif place >= most:
            error = f"Not given out: at most {most} tasks at once. Ask again."
            refused.append({**asked, "error": error})
        else:
            sends.append(Send(task["to"], asked))
    if len(refused) > most:
        rest = refused[most - 1 :]
        error = f"{len(rest)} tasks were not given out: at most {most} at once. Ask again, for fewer."
        refused[most - 1 :] = [{**rest[0], "task": [each["task"] for each in rest], "error": error}]
    return [*sends, *(Send(NOBODY, asked) for asked in refused)]


def not_here(worker: str, workers: Mapping[str, Any]) -> str:
    """What is told of a task for somebody who is not there."""
    return f"There is no `{worker}` here{did_you_mean(worker, workers) or '.'}"


def _filed(what: str, task: Any, value: Any) -> dict[str, Any]:
    return {
        "results": [
            {"number": read(task, "number"), "to": read(task, "to"), "task": read(task, "task"), what: value}
        ]
    }


def doubled(text: str) -> str:
    """A text in a template of a prompt, its braces as they are."""
    return text.replace("{", "{{").replace("}", "}}")
