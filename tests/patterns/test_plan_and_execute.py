"""Pattern 11: plans that stand, that change, that are empty, and that are too long."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.types import Command
from pydantic import BaseModel, Field

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import plan_and_execute
from dalsegno.graphs.patterns.plan_and_execute import StepDone
from dalsegno.testing import Reply, ScriptedChatModel


def plan(state: Any) -> list[str]:
    return list(state["request"])


def execute(state: Any) -> str:
    return str(state["step"]).upper()


def test_new_information_changes_the_rest_of_the_plan() -> None:
    def better(state: Any) -> list[str]:
        return ["d", "e"] if state["done"][-1]["step"] == "a" else state["plan"]

    output = plan_and_execute(plan, execute, replan=better).compile().invoke({"request": "abc"})
    assert [done["result"] for done in output["done"]] == ["A", "D", "E"]
    assert output["outcome"] == "done"


class Plans(BaseModel):
    request: str
    plan: list[str] | None = None
    step: str | None = None
    done: Annotated[list[StepDone], operator.add] = Field(default_factory=list)
    answer: str | None = None
    outcome: str | None = None


def test_a_planner_may_answer_with_an_object_of_the_state() -> None:
    flow = plan_and_execute(
        lambda state: Plans(request=state.request, plan=list(state.request)),
        lambda state: state.step.upper(),
        replan=lambda state: Plans(request=state.request, plan=[*state.plan[:1]]),
        state=Plans,
    )
    output = flow.compile().invoke({"request": "abc"})
    assert [(done["step"], done["result"]) for done in output["done"]] == [("a", "A"), ("b", "B")]


@pytest.mark.parametrize("several", [False, True])
def test_a_planner_may_answer_with_a_command(several: bool) -> None:
    def planner(state: Any) -> Any:
        command: Command[Any] = Command(update={"plan": list(state["request"])})
        return [command] if several else command

    output = plan_and_execute(planner, execute).compile().invoke({"request": "ab"})
    assert [(done["step"], done["result"]) for done in output["done"]] == [("a", "A"), ("b", "B")]


def test_an_empty_plan_is_done_at_once() -> None:
    output = plan_and_execute(plan, execute).compile().invoke({"request": ""})
    assert (output["outcome"], output["answer"], output["done"]) == ("done", None, [])


def test_a_plan_that_grows_for_ever_ends() -> None:
    flow = plan_and_execute(plan, execute, replan=lambda state: ["more", *state["plan"]], max_steps=4)
    output = flow.compile().invoke({"request": "ab"})
    assert output["outcome"] == "out of steps"
    assert len(output["done"]) == 4


def test_when_the_last_step_that_there_can_be_fails_it_is_not_done() -> None:
    def refuse_b(state: Any) -> str:
        if state["step"] == "b":
            raise PermissionError("refused")
        return execute(state)

    flow = plan_and_execute(plan, refuse_b, replan=lambda state: state["plan"], max_steps=2)
    output = flow.compile().invoke({"request": "ab"})
    assert (output["outcome"], output["answer"]) == ("out of steps", None)
    flow = plan_and_execute(plan, refuse_b, replan=lambda state: state["plan"], max_steps=3)
    assert flow.compile().invoke({"request": "ab"})["outcome"] == "done"  # as who plans says


def test_a_step_that_fails_is_done_again_when_the_run_is_resumed(tmp_path: Path) -> None:
    broken = [True]

    def sometimes(state: Any) -> str:
        if state["step"] == "b" and broken.pop():
            raise OSError("the line is busy")
        return execute(state)

    with Runner(plan_and_execute(plan, sometimes), db=tmp_path / "r.db") as runner:
        assert runner.run({"request": "abc"}, thread="t").status == "failed"
        broken.append(False)
        output = runner.resume("t").raise_for_status().output
    assert [done["result"] for done in output["done"]] == ["A", "B", "C"]


def test_models_plan_execute_replan_and_conclude() -> None:
    with ScriptedChatModel(
        [
            Reply({"answer": ["look", "tell"]}, expect="Plan how to do this"),
            Reply("it rains", expect="The step: look"),
            Reply({"answer": ["tell them to stay"]}, expect='"result":"it rains"'),
            Reply("told", expect="The step: tell them to stay"),
            Reply({"answer": []}, expect="The steps that were to come: []"),
            Reply("They stay.", expect="What was done"),
        ]
    ) as model:
        flow = plan_and_execute(model, model, replan=model, conclude=model)
        assert flow.validate().findings == ()
        assert flow.compile().invoke({"request": "Picnic?"})["answer"] == "They stay."


@pytest.mark.parametrize("steps", [0, 1.5, True])
def test_what_cannot_be_meant_is_refused(steps: Any) -> None:
    with pytest.raises(DefinitionError, match="max_steps="):
        plan_and_execute(plan, execute, max_steps=steps)


def test_one_step_needs_no_replanning() -> None:
    flow = plan_and_execute(plan, execute, replan=plan, max_steps=1)
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"request": "ab"})["outcome"] == "out of steps"
