"""prompt_generation: a question about a module of Python's library gets a prompt of its own, made from its source.

One function writes the prompt: it reads the module and names its public classes. One refuses prompts that are too long
for a small model. A scripted model gives a fixed answer here; with ``--model`` a real one is asked.

    $ python examples/patterns/prompt_generation.py
    explain: every run ends within 8 supersteps.
    This one took 6.
    You explain the Python module queue to beginners. Answer in one sentence. It has these:
    - …
    - PriorityQueue
    …
    (… characters) Which one is for priorities? PriorityQueue.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import stage
from langchain_core.messages import AIMessage

from dalsegno import Workflow
from dalsegno.graphs.patterns import prompt_generation
from dalsegno.testing import ScriptedChatModel

LONGEST = 400
GIVEN: dict[str, Any] = {"task": "queue", "input": "Which one is for priorities?"}


def write(state: Any) -> str:
    """What the model is, what it knows of the module, and how it answers; with less of that after a no."""
    module = importlib.import_module(state["task"])
    lines = [
        f"You explain the Python module {state['task']} to beginners. Answer in one sentence. It has these:"
    ]
    for name, thing in inspect.getmembers(module, inspect.isclass):
        if thing.__module__ in (module.__name__, f"_{module.__name__}"):
            said = " ".join((inspect.getdoc(thing) or "").split())
            lines.append(f"- {name}" if state["review"] else f"- {name}: {said}")
    return "\n".join(lines)


def check(state: Any) -> dict[str, Any]:
    length = len(state["prompt"])
    problem = f"it has {length} characters, and {LONGEST} are allowed" if length > LONGEST else ""
    return {"valid": not problem, "problem": problem}


def flow(model: str | None = None) -> Workflow:
    scripted = ScriptedChatModel([AIMessage("PriorityQueue.")])
    return prompt_generation(write, model or scripted, checker=check, name="explain")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    prompt, asked = output["prompt"], output["input"]
    yield prompt
    yield f"({len(prompt)} characters) {asked} {output['output']}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
