"""A failure that a pattern keeps for somebody to react to is kept without the secrets of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from dalsegno import Runner, Secret, Workflow
from dalsegno.graphs.patterns import plan_and_execute, planner_executor, supervisor
from dalsegno.graphs.patterns.plan_and_execute import Planned
from dalsegno.graphs.patterns.planner_executor import SubtaskPlan
from dalsegno.graphs.patterns.supervisor import Supervised

PLANTED = "hunter-22-planted"


class Plan(Planned, total=False):
    key: Annotated[str, Secret]


class Subtasks(SubtaskPlan, total=False):
    key: Annotated[str, Secret]


class Watched(Supervised, total=False):
    key: Annotated[str, Secret]


def work(state: Any) -> str:
    raise ConnectionError(f"{PLANTED} was refused")


def decide(state: Any) -> Any:
    return {"tasks": [] if state.get("results") else [{"to": "work", "task": "try"}]}


FLOWS = {
    "plan_and_execute": plan_and_execute(
        lambda state: ["try"], work, replan=lambda state: [], state=Plan, name="first"
    ),
    "planner_executor": planner_executor(
        lambda state: [{"id": "one", "kind": "work", "task": "try"}], [work], state=Subtasks, name="second"
    ),
    "supervisor": supervisor(decide, [work], state=Watched, name="third"),
}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_what_failed_is_kept_without_the_runs_secrets(flow: Workflow, tmp_path: Path) -> None:
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = runner.run({"request": "do it", "key": PLANTED})
    output = {key: value for key, value in result.output.items() if key != "key"}
    assert result.status == "completed"
    assert "was refused" in str(output)
    assert PLANTED not in str(output)
