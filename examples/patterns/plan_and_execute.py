"""plan_and_execute: how much of a module of Python is documented? Planned, measured, and planned anew on the way.

The plan is made from `textwrap`'s own `__all__`, one step for each name. A name that turns out to be a class puts its
methods on the plan. The actors are functions; with ``--model`` a model concludes.

    $ python examples/patterns/plan_and_execute.py
    documented: every run ends within 83 supersteps.
    This one took …
    TextWrapper: … lines
    wrap: …
    …
    indent: …
    TextWrapper.fill: …
    TextWrapper.wrap: …
    … of … things are documented, in … lines.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import plan_and_execute

GIVEN: dict[str, Any] = {"request": "textwrap"}


def plan(state: Any) -> list[str]:
    """One step for each public name."""
    return list(importlib.import_module(state["request"]).__all__)


def measure(state: Any) -> int:
    """The lines of documentation of one thing."""
    thing = pkgutil.resolve_name(f"{state['request']}:{state['step']}")
    return len((inspect.getdoc(thing) or "").splitlines())


def and_its_methods(state: Any) -> list[str]:
    """What is left, and the public methods of the class that was just measured."""
    step = state["done"][-1]["step"]
    thing = pkgutil.resolve_name(f"{state['request']}:{step}")
    own = vars(thing) if inspect.isclass(thing) else {}
    methods = sorted(name for name, value in own.items() if inspect.isfunction(value) and name[0] != "_")
    return [*state["plan"], *(f"{step}.{name}" for name in methods)]


def conclude(state: Any) -> str:
    lines = [done["result"] for done in state["done"]]
    return f"{sum(map(bool, lines))} of {len(lines)} things are documented, in {sum(lines)} lines."


def flow(model: str | None = None) -> Workflow:
    return plan_and_execute(
        plan,
        measure,
        replan=and_its_methods,
        conclude=model or conclude,
        max_steps=40,
        name="documented",
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for done in output["done"]:
        yield f"{done['step']}: {done['result']} lines"
    yield str(output["answer"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
