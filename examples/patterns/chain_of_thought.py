"""chain_of_thought: does `except OSError` catch a BrokenPipeError? Reasoned from class to class, and answered then.

What is known of each class is read from Python itself: its bases, and the first words of its documentation. The thinker
is a function that takes one step at a time; with ``--model`` a model thinks and answers.

    $ python examples/patterns/chain_of_thought.py
    catches: every run ends within 18 supersteps.
    This one took 8.
    1. BrokenPipeError (Broken pipe.) is a ConnectionError.
    2. ConnectionError (Connection error.) is a OSError.
    3. What is a OSError is caught by `except OSError`.
    Yes: BrokenPipeError, ConnectionError, OSError.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import chain_of_thought

GIVEN: dict[str, Any] = {"request": "Does `except OSError` catch a BrokenPipeError?"}


def asked(state: Any) -> tuple[str, str]:
    """The class in the `except`, and the class that is raised."""
    caught, raised = re.findall(r"[A-Z]\w*(?:Error|Exception)", state["request"])
    return caught, raised


def think(state: Any) -> dict[str, Any]:
    """One step up in the tree of exceptions, from where the last one led."""
    caught, raised = asked(state)
    here = re.findall(r"is a (\w+)\.", state["steps"][-1])[0] if state["steps"] else raised
    if here == caught:
        return {"steps": [f"What is a {here} is caught by `except {caught}`."], "enough": True}
    kind = getattr(builtins, here)
    about = str(inspect.getdoc(kind)).partition("\n")[0]
    above = kind.__base__.__name__
    return {"steps": [f"{here} ({about}) is a {above}."], "enough": above == "object"}


def answer(state: Any) -> str:
    way = [name for step in state["steps"] for name in re.findall(r"^(\w+Error)", step)]
    caught, _ = asked(state)
    return f"Yes: {', '.join([*way, caught])}." if "is caught" in state["steps"][-1] else "No."


def flow(model: str | None = None) -> Workflow:
    return chain_of_thought(model or think, model or answer, rounds=8, name="catches")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for number, step in enumerate(output["steps"], 1):
        yield f"{number}. {step}"
    yield str(output["answer"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
