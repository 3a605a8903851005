"""react: which functions of Python's `textwrap` call others of it? Found in its source, with three tools.

The tools read the module's own source: what it defines, the text of one definition, who is called in it. The reasoner
is a function that goes from one to the next, as its observations tell it, and first calls a tool wrongly; with
``--model`` it is a model.

    $ python examples/patterns/react.py
    detective: every run ends within 17 supersteps.
    This one took 9.
    definitions(modul='textwrap') -> error: `definitions` takes no argument `modul`; did you mean `module`? …
    definitions(module='textwrap') -> ["TextWrapper", "wrap", "fill", "shorten", "dedent", "indent"]
    calls(module='textwrap', name='wrap') -> ["TextWrapper", "wrap"]
    calls(module='textwrap', name='fill') -> ["TextWrapper", "fill"]
    calls(module='textwrap', name='shorten') -> ["TextWrapper", "fill", "join", "split", "strip"]
    calls(module='textwrap', name='dedent') -> …
    calls(module='textwrap', name='indent') -> …
    wrap, fill and shorten use TextWrapper.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import react

GIVEN: dict[str, Any] = {"request": "Which functions of the module textwrap use its class TextWrapper?"}


def definitions(module: str) -> list[str]:
    """The names of the classes and functions that a module defines."""
    tree = stage.parsed(inspect.getsource(importlib.import_module(module)))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def calls(module: str, name: str) -> list[str]:
    """The names that a function of a module calls."""
    tree = stage.parsed(inspect.getsource(getattr(importlib.import_module(module), name)))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted({getattr(each, "attr", None) or getattr(each, "id", "") for each in called})


def detective(state: Any) -> Any:
    """First what there is, then what each function calls, then the answer."""
    seen = [message for message in state["messages"] if message.type == "tool"]
    if not seen:
        return {"name": "definitions", "args": {"modul": "textwrap"}}
    if seen[-1].status == "error":
        return {"name": "definitions", "args": {"module": "textwrap"}}
    functions = [name for name in json.loads(seen[1].text) if name.islower()]
    if len(seen) == 2:
        return [{"name": "calls", "args": {"module": "textwrap", "name": name}} for name in functions]
    users = [name for name, found in zip(functions, seen[2:], strict=True) if "TextWrapper" in found.text]
    return f"{', '.join(users[:-1])} and {users[-1]} use TextWrapper."


def flow(model: str | None = None) -> Workflow:
    return react(model or detective, [definitions, calls], name="detective")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    asked = {}
    for message in output["messages"]:
        asked |= {call["id"]: call for call in getattr(message, "tool_calls", ())}
        if message.type == "tool":
            call = asked[message.tool_call_id]
            said = ", ".join(f"{name}={value!r}" for name, value in call["args"].items())
            failed = "error: " if message.status == "error" else ""
            yield f"{call['name']}({said}) -> {failed}{message.text}"
    yield str(output["answer"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
