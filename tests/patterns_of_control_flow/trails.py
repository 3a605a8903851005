"""What the cases share: a state that remembers which nodes ran, and nodes that only say so."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from dalsegno import Workflow


class Trail(TypedDict, total=False):
    ran: Annotated[list[str], operator.add]
    items: list[str]
    flag: Annotated[bool, operator.or_]
    choice: str


def flow(*names: str, **special: Any) -> Workflow:
    """A workflow with a node of each name, that appends it to `ran`; `special` says what else one does."""
    made = Workflow("case", Trail)
    for name in names:
        made.add_node(name, special.get(name) or step(name))
    return made


def step(name: str, **more: Any) -> Callable[[Any], Any]:
    return lambda state: {"ran": [name], **more}


def ran(made: Workflow, **given: Any) -> list[str]:
    """The nodes that a run executes, in order; those of one superstep in the order of their names."""
    report = made.validate()
    assert report.certificate is not None, report.findings
    done: list[str] = made.compile().invoke({"ran": [], **given})["ran"]
    assert len(done) <= report.certificate.executions
    return done


def codes(made: Workflow) -> list[str]:
    return [f.code for f in made.validate().findings]
