"""supervisor: what does Python know about a word? Three experts are asked at once, and then about what is beside it.

The experts read what Python carries with it: its help topics, its builtins, its keywords. They and the lead are
functions; with ``--model`` a model leads.

    $ python examples/patterns/supervisor.py
    about_a_word: every run ends within 11 supersteps.
    This one took 9.
    keywords, `with`: a keyword
    builtins, `with`: LookupError: no builtin is called with
    topics, `with`: The "with" statement The "with" statement is used to wrap th
    topics, …
    `with` is a keyword; … topics tell of it.
"""

from __future__ import annotations

import builtins
import inspect
import keyword
import pydoc
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import supervisor

GIVEN: dict[str, Any] = {"request": "with"}


def keywords(state: Any) -> str:
    """Whether a word is a keyword of Python."""
    return "a keyword" if keyword.iskeyword(state["task"]) else "no keyword"


def in_builtins(state: Any) -> str:
    """What a builtin does."""
    found = getattr(builtins, state["task"], None)
    if found is None:
        raise LookupError(f"no builtin is called {state['task']}")
    return str(inspect.getdoc(found)).partition("\n")[0]


def in_topics(state: Any) -> str:
    """The beginning of the help topic of that name."""
    return " ".join(topics[state["task"]].replace("*", "").split())


def lead(state: Any) -> dict[str, Any]:
    """All experts at once; then the topics that Python's help names beside this one; then the answer."""
    word, results = state["request"], state["results"]
    asked = {done["task"] for done in results}
    if not results:
        return {"tasks": [{"to": expert, "task": word} for expert in ("keywords", "builtins", "topics")]}
    _, beside = TOPICS.get(word, ("", ""))
    more = [topic for part in beside.split() if (topic := part.lower()) in topics and topic not in asked]
    if more:
        return {"tasks": [{"to": "topics", "task": topic} for topic in more]}
    found = [done for done in results if "result" in done]
    told = sum(done["to"] == "topics" for done in found)
    return {"tasks": [], "answer": f"`{word}` is {found[0]['result']}; {told} topics tell of it."}


TOPICS: Mapping[str, Any] = {
    word: entry if isinstance(entry, tuple) else ("", "") for word, entry in pydoc.Helper.keywords.items()
}
"""What Python's help has for a keyword: its topic, and the topics beside it."""


def flow(model: str | None = None) -> Workflow:
    experts = {"keywords": keywords, "builtins": in_builtins, "topics": in_topics}
    return supervisor(model or lead, experts, rounds=3, name="about_a_word")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for done in output["results"]:
        yield f"{done['to']}, `{done['task']}`: {done.get('result', done.get('error', ''))[:60]}"
    yield str(output["answer"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
