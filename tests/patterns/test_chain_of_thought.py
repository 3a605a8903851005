"""Pattern 10: steps stand apart from the answer."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import chain_of_thought
from dalsegno.testing import Reply, ScriptedChatModel


def test_one_model_thinks_and_another_answers() -> None:
    with (
        ScriptedChatModel(
            [
                Reply({"steps": ["3 boxes of 4"], "enough": False}, expect="The steps until now: []"),
                Reply({"steps": ["3 x 4 = 12"], "enough": True}, expect="3 boxes of 4"),
            ]
        ) as thinker,
        ScriptedChatModel([Reply("12", expect="3 x 4 = 12")]) as speaker,
    ):
        flow = chain_of_thought(thinker, speaker)
        assert flow.validate().findings == ()
        output = flow.compile().invoke({"request": "How many?"})
    assert output["answer"] == "12"
    assert output["steps"] == ["3 boxes of 4", "3 x 4 = 12"]
    assert output["outcome"] == "thought through"


def test_steps_that_were_there_are_not_noted_again() -> None:
    def think(state: Any) -> dict[str, Any]:
        return {"steps": [*state["steps"], str(len(state["steps"]))], "enough": len(state["steps"]) > 1}

    output = chain_of_thought(think, lambda state: "").compile().invoke({"request": ""})
    assert output["steps"] == ["0", "1", "2"]


def test_one_round_is_enough_where_all_steps_come_at_once() -> None:
    flow = chain_of_thought(
        lambda state: {"steps": ["a", "b"], "enough": True}, lambda s: s["steps"], rounds=1
    )
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"request": ""})["answer"] == ["a", "b"]


@pytest.mark.parametrize("rounds", [0, 2.0, True])
def test_what_cannot_be_meant_is_refused(rounds: Any) -> None:
    with pytest.raises(DefinitionError, match="rounds="):
        chain_of_thought(lambda state: "", lambda state: "", rounds=rounds)
