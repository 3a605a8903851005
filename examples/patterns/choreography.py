"""choreography: Python's licence is read, and whoever cares reacts: to sentences, to years, to old years.

The text is the licence that this Python carries with it (``license()``). The reader knows nobody; a subscriber that is
added or taken away changes nothing for the others. No model is used.

    $ python examples/patterns/choreography.py
    archive: every run ends within 14 supersteps.
    This one took …
    … sentences
    … years
    … in the last century
    quiet, after … events
"""

from __future__ import annotations

import re
import site
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import Subscriber, choreography

site.setcopyright()  # defines `license`, also where Python was started without it

GIVEN: dict[str, Any] = {"events": [{"type": "asked", "data": "license"}]}


def reader(state: Any) -> list[dict[str, Any]]:
    """The sentences of the licence that name a year."""
    import builtins

    printer: Any = vars(builtins)[state["event"]["data"]]
    printer._Printer__setup()
    flat = re.sub(r"\s+", " ", "\n".join(printer._Printer__lines))
    found = [s for s in re.split(r"(?<=[.;])\s", flat) if re.search(r"\b(19|20)\d\d\b", s)]
    return [{"type": "sentence", "data": sentence} for sentence in found[:40]]


def historian(state: Any) -> list[dict[str, Any]]:
    """The first and the last year of a sentence."""
    years = sorted(re.findall(r"\b(?:19|20)\d\d\b", state["event"]["data"]))
    return [{"type": "year", "data": int(year)} for year in dict.fromkeys([years[0], years[-1]])]


def archivist(state: Any) -> dict[str, Any] | None:
    """Notes a year of the last century."""
    year = state["event"]["data"]
    return {"type": "last century", "data": year} if year < 2000 else None


def flow(model: str | None = None) -> Workflow:
    return choreography(
        [
            Subscriber(reader, on="asked"),
            Subscriber(historian, on="sentence"),
            Subscriber(archivist, on="year"),
        ],
        rounds=4,
        max_events=128,
        name="archive",
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    counted = Counter(event["type"] for event in output["published"])
    yield f"{counted['sentence']} sentences"
    yield f"{counted['year']} years"
    yield f"{counted['last century']} in the last century"
    yield f"{output['outcome']}, after {len(output['published'])} events"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
