"""Pattern 29: a message goes to the workflow for what it is about, and its result is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Node, intent_workflows, sequential
from dalsegno.testing import ScriptedChatModel


def classify(state: Any) -> str:
    return "shout" if "!" in state["message"] else "count"


def shout(state: Any) -> str:
    return str(state["message"]).upper()


def count(state: Any) -> int:
    return len(state["message"].split())


def respond(state: Any) -> str:
    return f"{state['intent']}: {state['result']}"


WORKFLOWS = {"shout": shout, "count": count}


def test_a_turn_after_the_other_is_kept_on_the_thread(tmp_path: Path) -> None:
    with Runner(intent_workflows(classify, WORKFLOWS, respond, keep=2), db=tmp_path / "r.db") as runner:
        for message in ("one two", "rain!", "one two three"):
            output = runner.run({"message": message}, thread="t").raise_for_status().output
    assert [turn["response"] for turn in output["turns"]] == ["shout: RAIN!", "count: 3"]
    assert output["outcome"] == "served"


def test_a_result_that_will_not_do_is_classified_again_knowing_why() -> None:
    def again(state: Any) -> str:
        return "count" if state["check"] else "shout"

    def number(state: Any) -> dict[str, Any]:
        return {"valid": isinstance(state["result"], int), "problem": "a number is wanted"}

    flow = intent_workflows(again, WORKFLOWS, respond, validator=number)
    output = flow.compile().invoke({"message": "a b"})
    assert (output["response"], output["outcome"]) == ("count: 2", "served")


def test_an_intent_that_there_is_none_of_is_the_default() -> None:
    flow = intent_workflows(lambda state: "sing", WORKFLOWS, respond, default="shout")
    assert flow.compile().invoke({"message": "rain"})["response"] == "shout: RAIN"


def test_a_workflow_weighs_its_own_bound_besides() -> None:
    def words(state: Any) -> list[str]:
        return list(state["value"].split())

    def total(state: Any) -> int:
        return len(state["value"])

    inner = Node(sequential([words, total]), inputs={"value": "message"}, outputs={"result": "value"})
    plain = intent_workflows(classify, WORKFLOWS, respond).validate().certificate
    nested = intent_workflows(classify, {**WORKFLOWS, "inner": inner}, respond).validate().certificate
    assert plain is not None
    assert nested is not None
    assert (plain.supersteps, nested.supersteps) == (5, 7)


def test_a_model_classifies_and_another_one_responds() -> None:
    model = ScriptedChatModel(
        [AIMessage("", tool_calls=[{"name": "Answer", "args": {"answer": "count"}, "id": "1"}])]
    )
    flow = intent_workflows(model, WORKFLOWS, ScriptedChatModel([AIMessage("Two words.")]))
    output = flow.compile().invoke({"message": "al fine"})
    assert (output["intent"], output["response"]) == ("count", "Two words.")


@pytest.mark.parametrize(
    ("workflows", "options", "said"),
    [
        ({"one": count}, {}, "at least 2 are needed"),
        (WORKFLOWS, {"default": "shuot"}, "did you mean `shout`"),
        (WORKFLOWS, {"retries": -1}, "0 or more"),
        (WORKFLOWS, {"keep": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(workflows: Any, options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        intent_workflows(classify, workflows, respond, **options)
