"""What a pattern declares for the matrix: `cases/case_<name>.py` holds one `CASE`.

Everything in a case must be deterministic, and quick: it is killed at every commit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalsegno.graphs.patterns import Node
from dalsegno.graphs.patterns.catalog import Pattern, find
from dalsegno.graphs.workflow import Workflow


@dataclass(frozen=True, kw_only=True)
class Failing:
    """The pattern's failure path: what is called and given, and how it ends.

    `expect` are keys and values of the output of a run that goes its declared way out. `error` is the class
    and a part of the message where the run fails; `mended` then makes it good, and the run is resumed.
    """

    given: Mapping[str, Any]
    args: tuple[Any, ...] | None = None
    options: Mapping[str, Any] | None = None
    expect: Mapping[str, Any] | None = None
    error: tuple[str, str] | None = None
    mended: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the matrix.

    Parameters
    ----------
    pattern
        The function.
    args, options
        What it is called with.
    given
        The input of the run, which reaches the bound exactly.
    expect
        Keys and values that the output has, among others.
    gives
        The key of its answer, for the pattern around it.
    failing
        Its failure path.
    slot
        ``(node, state) -> Workflow``: the pattern with another workflow in a role that reads the state and answers
        under the key `slot_key`, anything at all. None: there is no such role, and `no_slot` says why.
    slot_given
        The input of that workflow.
    answers
        Answers to questions that the run waits for, by node.
    calls
        The model calls that the run makes, which the certificate has as its bound.
    """

    pattern: Callable[..., Workflow]
    given: Mapping[str, Any]
    expect: Mapping[str, Any]
    gives: str
    failing: Failing
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    slot: Callable[[Node, Any], Workflow] | None = None
    slot_key: str = ""
    slot_given: Mapping[str, Any] = field(default_factory=dict)
    no_slot: str = ""
    answers: Mapping[str, Any] | None = None
    calls: int | None = None

    @property
    def entry(self) -> Pattern:
        """Its entry in the catalogue."""
        return find(self.pattern.__name__)

    def flow(self) -> Workflow:
        """The workflow of the row."""
        return self.pattern(*self.args, **self.options)

    def bound(self) -> int:
        """What the formula says of it."""
        return self.entry.bound(*self.args, **self.options)

    def failing_flow(self) -> Workflow:
        """The workflow that goes the failure path."""
        way = self.failing
        args = self.args if way.args is None else way.args
        return self.pattern(*args, **(self.options if way.options is None else way.options))


def cases() -> dict[str, Case]:
    """The cases by the names of their patterns, in the order of their numbers."""
    files = sorted((Path(__file__).parent / "cases").glob("case_*.py"))
    found: list[Case] = [importlib.import_module(file.stem).CASE for file in files]
    return {case.entry.name: case for case in sorted(found, key=lambda case: case.entry.number)}
