"""Pattern 14: teams in teams, and workers beside them."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Team, Worker, hierarchy
from dalsegno.graphs.patterns.catalog import find
from dalsegno.testing import Reply, ScriptedChatModel


def down(state: Any) -> dict[str, Any]:
    """Passes its request to everybody it can name, once."""
    return {"tasks": [] if state["results"] else [{"to": "below", "task": state["request"]}]}


def echo(state: Any) -> Any:
    return state["task"]


def test_three_levels_are_certified_by_one_formula() -> None:
    lowest = Team(down, {"below": echo, "beside": echo}, rounds=1)
    args = (down, {"below": Team(down, {"below": lowest, "beside": echo}), "beside": echo})
    flow = hierarchy(*args)
    certificate = flow.validate().certificate
    assert certificate is not None
    assert flow.validate().findings == ()
    assert certificate.supersteps == find("hierarchy").bound(*args) == 2 * (2 + 1 + 2 * (2 + 1 + 5) + 2) + 2
    output = flow.compile().invoke({"request": "rain"})
    assert output["answer"][0]["result"][0]["result"][0]["result"] == "rain"


def test_models_lead_at_every_level() -> None:
    with (
        ScriptedChatModel(
            [
                Reply({"tasks": [{"to": "poets", "task": "a line"}]}, expect="poets: they write verse"),
                Reply({"tasks": [], "answer": "Done."}, expect="O rain"),
            ]
        ) as top,
        ScriptedChatModel(
            [
                Reply({"tasks": [{"to": "poet", "task": "on rain"}]}, expect="Asked for: a line"),
                Reply({"tasks": [], "answer": "O rain"}, expect="O rain"),
            ]
        ) as middle,
        ScriptedChatModel([Reply("O rain", expect="on rain")]) as poet,
    ):
        poets = Team(middle, {"poet": Worker(poet, about="verse")}, about="they write verse")
        output = hierarchy(top, {"poets": poets}).compile().invoke({"request": "a poem"})
    assert output["answer"] == "Done."


def test_a_team_without_workers_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no workers"):
        Team(down, [])
