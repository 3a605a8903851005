"""fallback_chain: what is it? Asked of Python's help topics, then of its builtins, then of its library.

All three answer from what Python carries with it, and each knows only its own things. No model is used, unless
``--model`` names one: it is asked last then.

    $ python examples/patterns/fallback_chain.py
    what_is: every run ends within 5 supersteps.
    This one took 5.
    library: A package for parsing, handling, and generating email messages.
    topics: KeyError; builtins: LookupError
"""

from __future__ import annotations

import builtins
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import fallback_chain
from dalsegno.nodes.agent import agent

GIVEN: dict[str, Any] = {"request": "email"}


def from_topics(state: Any) -> str:
    """The first paragraph of a help topic."""
    return " ".join(topics[state["request"]].split("\n\n")[1].split())


def from_builtins(state: Any) -> str:
    """The first line of a builtin's documentation."""
    found = getattr(builtins, state["request"], None)
    if not found:
        raise LookupError(f"no builtin is called {state['request']}")
    return str(inspect.getdoc(found)).partition("\n")[0]


def from_library(state: Any) -> str:
    """The first line of a module's documentation."""
    module = pkgutil.resolve_name(state["request"])
    return str(inspect.getdoc(module)).partition("\n")[0]


def flow(model: str | None = None) -> Workflow:
    actors: dict[str, Any] = {"topics": from_topics, "builtins": from_builtins, "library": from_library}
    if model is not None:
        actors["model"] = agent(model, "In one sentence: what is {request} in Python?")
    return fallback_chain(actors, falls_through=(LookupError, ImportError), name="what_is")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{output['answered_by']}: {output['value']}"
    yield "; ".join(f"{failed['name']}: {failed['error']}" for failed in output["failures"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
