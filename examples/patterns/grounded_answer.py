"""grounded_answer: a question about Python, answered from its own documentation, or not at all.

The passages are the help topics that Python carries with it (`pydoc_data.topics`). The actors are those of
`dalsegno demo`: functions that search, grade, quote and check. With ``--model`` a model writes the answer.

    $ python examples/patterns/grounded_answer.py
    grounded_answer: every run ends within 18 supersteps.
    This one took …
    answered: …
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.demo import workflow

GIVEN: dict[str, Any] = {"question": "What is a lambda?"}


def flow(model: str | None = None) -> Workflow:
    if model is not None:
        os.environ["DALSEGNO_MODEL"] = model
    return workflow.flow()


def show(output: Mapping[str, Any]) -> Iterable[str]:
    said = output["answer"]
    yield f"{output['outcome']}: {' '.join(s['text'] for s in said['sentences']) if said else ''}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
