"""recursive_decomposition: how many lines has a package of Python's library, with all that is in it?

A module is simple: its lines are counted. A package is divided into what is in it, over as many levels as there are,
and all parts of one level are counted side by side. No model is used, unless ``--model`` names one, which judges
whether a part is simple.

    $ python examples/patterns/recursive_decomposition.py
    lines: every run ends within 29 supersteps.
    This one took …
    xml: … lines in … parts
    xml.dom: … lines
    xml.etree: … lines
    xml.parsers: … lines
    xml.sax: … lines
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import recursive_decomposition

GIVEN: dict[str, Any] = {"request": "xml"}


def inside(package: str) -> list[str]:
    """The modules and packages in a package."""
    paths = getattr(importlib.import_module(package), "__path__", [])
    return sorted(f"{package}.{module.name}" for module in pkgutil.iter_modules(paths))


def simple(state: Any) -> bool:
    return not inside(state["problem"])


def count(state: Any) -> int:
    """The lines of a module; those of an empty one are none."""
    try:
        return len(inspect.getsource(importlib.import_module(state["problem"])).splitlines())
    except OSError:
        return 0


def divide(state: Any) -> list[str]:
    return inside(state["problem"])


def add(state: Any) -> int:
    """The lines of all parts, and of the package's own beginning."""
    return count(state) + sum(state["results"])


def flow(model: str | None = None) -> Workflow:
    return recursive_decomposition(model or simple, count, divide, add, depth=3, breadth=24, name="lines")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    tree = output["tree"]
    yield f"{tree['0']['problem']}: {output['answer']} lines in {len(tree)} parts"
    for path, part in tree.items():
        if path.count(".") == 1:
            yield f"{part['problem']}: {part['result']} lines"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
