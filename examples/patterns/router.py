"""router: who knows what this word is in Python? Keywords and builtins are told by rules, the rest is chosen.

Four desks answer from what Python carries with it: its keywords, builtins, help topics and library. No model is used,
unless ``--model`` names one: it chooses the desk where no rule holds.

    $ python examples/patterns/router.py
    desks: every run ends within 6 supersteps.
    This one took 4.
    library: …
    chosen after 0 wrong choices
"""

from __future__ import annotations

import builtins
import inspect
import keyword
import pkgutil
from collections.abc import Iterable, Mapping
from pydoc_data.topics import topics
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import router

GIVEN: dict[str, Any] = {"value": "email.utils"}


def is_keyword(state: Any) -> bool:
    return keyword.iskeyword(state["value"])


def is_builtin(state: Any) -> bool:
    return hasattr(builtins, state["value"])


def keywords(state: Any) -> str:
    """Knows the words that no name can be."""
    return f"{state['value']} is a keyword"


def builtin(state: Any) -> str:
    """Knows the functions and classes that need no import."""
    return str(inspect.getdoc(getattr(builtins, state["value"]))).partition("\n")[0]


def manual(state: Any) -> str:
    """Knows what the manual has a topic on."""
    found = topics.get(state["value"].upper())
    return " ".join(found.split("\n\n")[1].split()) if found else "nobody knows"


def library(state: Any) -> str:
    """Knows the modules that can be imported, by their dotted names."""
    return str(inspect.getdoc(pkgutil.resolve_name(state["value"]))).partition("\n")[0]


def by_its_dots(state: Any) -> str:
    return "library" if "." in state["value"] else "manual"


def flow(model: str | None = None) -> Workflow:
    return router(
        [keywords, builtin, manual, library],
        rules=[(is_keyword, "keywords"), (is_builtin, "builtin")],
        choose=model or by_its_dots,
        default="manual",
        name="desks",
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{output['route']}: {output['value']}"
    yield f"chosen after {output['wrong']} wrong choices"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
