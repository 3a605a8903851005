"""sequential: read a licence, take its sentences, keep those that forbid something, count them.

The text is the licence of this Python, which it carries with it (``license()``). No model is used.

    $ python examples/patterns/sequential.py
    licence: every run ends within 4 supersteps.
    This one took 4.
    … sentences forbid something; the shortest:
    …
"""

from __future__ import annotations

import re
import site
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import sequential

site.setcopyright()  # defines `license`, also where Python was started without it


def read(state: Any) -> str:
    """The licence, its lines joined."""
    import builtins

    printer: Any = vars(builtins)["license"]
    printer._Printer__setup()
    return "\n".join(printer._Printer__lines)


def sentences(state: Any) -> list[str]:
    flat = re.sub(r"\s+", " ", state["value"])
    return [sentence.strip() for sentence in re.split(r"(?<=[.;])\s", flat) if sentence.strip()]


def forbidding(state: Any) -> list[str]:
    return [s for s in state["value"] if re.search(r"\b(not|nor|no|without)\b", s, re.IGNORECASE)]


def summary(state: Any) -> dict[str, Any]:
    found = state["value"]
    return {"value": {"count": len(found), "shortest": min(found, key=len)}}


GIVEN: dict[str, Any] = {"value": None}


def flow(model: str | None = None) -> Workflow:
    return sequential([read, sentences, forbidding, summary], name="licence")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield f"{output['value']['count']} sentences forbid something; the shortest:"
    yield f"  {output['value']['shortest']}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
