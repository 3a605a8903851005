"""parallel: what is there about a word? Three places are searched at once, and what they have is put together.

The places are Python's help topics, the documentation of its builtins and the names in its library. One of them may
fail without taking the others with it. No model is used, unless ``--model`` names one to put the findings into a
sentence.

    $ python examples/patterns/parallel.py
    about: every run ends within 4 supersteps.
    This one took 4.
    iterator: … help topics, … builtins, … modules
    first of each: …
"""

from __future__ import annotations

import builtins
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import parallel
from dalsegno.nodes.agent import agent

GIVEN: dict[str, Any] = {"value": "iterator"}


def in_topics(state: Any) -> list[str]:
    """Help topics that speak of it."""
    return sorted(name for name, text in topics.items() if state["value"] in text)


async def in_builtins(state: Any) -> list[str]:
    """Builtins whose documentation speaks of it."""
    found = vars(builtins).items()
    return sorted(name for name, value in found if state["value"] in (inspect.getdoc(value) or ""))


def in_library(state: Any) -> list[str]:
    """Modules of the library whose names begin like it."""
    names = {module.name for module in pkgutil.iter_modules()} & set(sys.stdlib_module_names)
    return sorted(name for name in names if name.startswith(state["value"][:4]))


def together(state: Any) -> dict[str, Any]:
    return {"value": state["results"]}


def flow(model: str | None = None) -> Workflow:
    combine = agent(model, "In one sentence, where is it treated? {results}") if model else together
    return parallel(
        {"help topics": in_topics, "builtins": in_builtins, "modules": in_library},
        combine=combine,
        on_error="collect",
        name="about",
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    results = output["results"]
    yield f"{GIVEN['value']}: {', '.join(f'{len(found)} {place}' for place, found in results.items())}"
    yield f"first of each: {', '.join(found[0] if found else 'none' for found in results.values())}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
