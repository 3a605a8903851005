"""ensemble: from which year is this Python? Four look in different places, and what most of them found counts.

They read what Python carries with it: its copyright notice, its licence, the note of its compilation, and the files of
its library. No model is used, unless ``--model`` names one: it is asked too, and shown the notice.

    $ python examples/patterns/ensemble.py
    year: every run ends within 4 supersteps.
    This one took 4.
    …, … sure: … of … agree
    …
"""

from __future__ import annotations

import datetime
import platform
import re
import site
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import ensemble
from dalsegno.nodes.agent import agent

site.setcopyright()  # defines `license`, also where Python was started without it

GIVEN: dict[str, Any] = {"request": sys.version}


def latest(text: str) -> int:
    return max(int(year) for year in re.findall(r"\b(?:19|20)\d\d\b", text))


def notice(state: Any) -> int:
    """The last year of the copyright notice."""
    return latest(sys.copyright)


def terms(state: Any) -> int:
    """The last year that the licence names in its first hundred lines."""
    import builtins

    printer: Any = vars(builtins)["license"]
    printer._Printer__setup()
    return latest("\n".join(printer._Printer__lines[:100]))


def built(state: Any) -> int:
    """The year in which it was compiled."""
    return latest(platform.python_build()[1])


def library(state: Any) -> int:
    """The year of the file that all modules need."""
    return datetime.datetime.fromtimestamp(Path(datetime.__file__).stat().st_mtime, datetime.UTC).year


def flow(model: str | None = None) -> Workflow:
    members: dict[str, Any] = {"notice": notice, "terms": terms, "built": built, "library": library}
    if model is not None:
        asked = f"{sys.copyright}\n\nFrom which year is Python {{request}}?".replace("\n", " ")
        members["model"] = agent(model, asked, output=int, writes="answers")
    return ensemble(members, agreed=0.7, name="year")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    said, differing = output["answers"], output["verdict"]["differences"]
    sure = "not so" if output["disputed"] else "quite"
    yield f"{output['value']}, {sure} sure: {len(said) - len(differing)} of {len(said)} agree"
    yield "; ".join(differing) or "nobody says otherwise"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
