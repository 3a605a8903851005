"""Pattern 25: the next one is asked with the prompt that was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import prompt_generation
from dalsegno.testing import ScriptedChatModel


def work(state: Any) -> str:
    return f"{state['prompt']}|{state['input']}"


def test_one_model_writes_and_another_is_asked_with_that_and_the_input_alone() -> None:
    writer = ScriptedChatModel([AIMessage("Translate into {French}.")])
    worker = ScriptedChatModel([AIMessage("la pluie")])
    flow = prompt_generation(writer, worker)
    assert flow.compile().invoke({"task": "translate", "input": "the rain"})["output"] == "la pluie"
    asked = worker.calls[0].messages
    assert [message.content for message in asked] == ["Translate into {French}.\n\nthe rain"]


def test_without_a_checker_no_prompt_of_an_earlier_turn_counts_as_refused(tmp_path: Path) -> None:
    writer = ScriptedChatModel([AIMessage("Do the first."), AIMessage("Do the second.")])
    with Runner(prompt_generation(writer, work), db=tmp_path / "r.db") as runner:
        for task in ("one", "two"):
            runner.run({"task": task, "input": "i"}, thread="t").raise_for_status()
    said = str(writer.calls[1].messages[0].content)
    assert "The task: two" in said
    assert "Do the first." not in said


def test_a_refused_prompt_is_written_again_knowing_why() -> None:
    def write(state: Any) -> str:
        return "long" if state["review"] is None else f"short, for {state['review']['problem']}"

    def check(state: Any) -> dict[str, Any]:
        return {"valid": state["prompt"].startswith("short"), "problem": "it was long"}

    output = prompt_generation(write, work, checker=check).compile().invoke({"task": "t", "input": "i"})
    assert output["output"] == "short, for it was long|i"
    assert output["review"]["valid"] is True


def test_without_rewrites_a_refused_prompt_is_used_and_said() -> None:
    def refuse(state: Any) -> dict[str, Any]:
        return {"valid": False, "problem": "none too good"}

    flow = prompt_generation(lambda state: "p", work, checker=refuse, rewrites=0)
    output = flow.compile().invoke({"task": "t", "input": "i"})
    assert (output["output"], output["review"]["problem"]) == ("p|i", "none too good")


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(DefinitionError, match="0 or more"):
        prompt_generation(work, work, rewrites=-1)
