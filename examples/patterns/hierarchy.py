"""hierarchy: an inventory of Python's library. One lead has a team for each of two packages, whose leads have workers.

Each team's lead finds the modules of its package and has them counted, all at once: by one worker the classes, by the
other the functions that are documented. All read the library's own source. The leads are functions; with ``--model`` a
model leads the teams.

    $ python examples/patterns/hierarchy.py
    inventory: every run ends within 11 supersteps.
    This one took 11.
    json: … classes, … documented functions in … modules
    email: … classes, … documented functions in … modules
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import Team, hierarchy

GIVEN: dict[str, Any] = {"request": "json email"}


def tree(module: str) -> ast.Module:
    """A module's source, read and not imported."""
    found = importlib.util.find_spec(module)
    return stage.parsed(Path(str(found and found.origin)).read_text())


def classes(state: Any) -> int:
    """Counts the classes of a module."""
    return sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree(state["task"])))


def documented(state: Any) -> int:
    """Counts the functions of a module that have a docstring."""
    functions = (node for node in ast.walk(tree(state["task"])) if isinstance(node, ast.FunctionDef))
    return sum(ast.get_docstring(function) is not None for function in functions)


def head(state: Any) -> dict[str, Any]:
    """The package's modules, each to both workers."""
    package = importlib.import_module(state["request"])
    names = [f"{package.__name__}.{m.name}" for m in pkgutil.iter_modules(package.__path__) if not m.ispkg]
    tasks = [{"to": worker, "task": name} for name in names for worker in ("classes", "documented")]
    return {"tasks": tasks}


def add(state: Any) -> dict[str, int]:
    """The counts of a package."""
    found = [(done["to"], done["result"]) for done in state["results"]]
    sums = {worker: sum(n for by, n in found if by == worker) for worker in ("classes", "documented")}
    return {**sums, "modules": len({done["task"] for done in state["results"]})}


def director(state: Any) -> dict[str, Any]:
    """Each package to its own team."""
    return {"tasks": [{"to": name, "task": name} for name in state["request"].split()]}


def flow(model: str | None = None) -> Workflow:
    teams = {
        name: Team(
            model or head,
            [classes, documented],
            aggregate=add,
            rounds=1,
            max_tasks=64,
            about=f"counts what is in the package {name}",
        )
        for name in ("json", "email")
    }
    return hierarchy(director, teams, rounds=1, name="inventory")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for done in output["results"]:
        n = done["result"]
        yield (
            f"{done['to']}: {n['classes']} classes, {n['documented']} documented functions "
            f"in {n['modules']} modules"
        )


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
