"""Nodes of the user's may be called as a pattern calls one of its own ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner, Workflow
from dalsegno.graphs.patterns import Subscriber, choreography, planner_executor, specialists, supervisor


def supervised(name: str) -> Workflow:
    def lead(state: Any) -> dict[str, Any]:
        return {"tasks": [] if state["results"] else [{"to": name, "task": 1}]}

    return supervisor(lead, {name: lambda state: state["task"], "other": lambda state: 2})


def consulted(name: str) -> Workflow:
    return specialists(
        lambda state: state["request"],
        {name: lambda state: state["task"]},
        lambda state: {"answer": len(state["results"]), "conflicts": []},
    )


def planned(name: str) -> Workflow:
    return planner_executor(lambda state: state["request"], {name: lambda state: state["task"]})


def danced(name: str) -> Workflow:
    return choreography({name: Subscriber(lambda state: None, on="rain")})


@pytest.mark.parametrize(
    ("make", "name", "given", "key", "expected"),
    [
        (supervised, "done", {"request": "r"}, "outcome", "done"),
        (consulted, "nobody", {"request": []}, "synthesis", {"answer": 0, "conflicts": []}),
        (
            consulted,
            "nobody",
            {"request": [{"to": "nobody", "task": 1}]},
            "synthesis",
            {"answer": 1, "conflicts": []},
        ),
        (planned, "impossible", {"request": []}, "outcome", "impossible"),
        (
            planned,
            "impossible",
            {"request": [{"id": "a", "kind": "impossible", "task": 1}]},
            "outcome",
            "done",
        ),
        (danced, "quiet", {"events": []}, "outcome", "quiet"),
        (danced, "quiet", {"events": [{"type": "rain"}]}, "outcome", "quiet"),
    ],
)
def test_a_node_may_be_called_as_a_way_of_the_pattern(
    make: Callable[[str], Workflow],
    name: str,
    given: dict[str, Any],
    key: str,
    expected: Any,
    tmp_path: Path,
) -> None:
    with Runner(make(name), db=tmp_path / "r.db") as runner:
        assert runner.run(given).raise_for_status().output[key] == expected
