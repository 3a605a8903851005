"""Pattern 12: what is ready is done side by side, and an impossible plan goes back."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Worker, planner_executor
from dalsegno.graphs.patterns.catalog import find
from dalsegno.testing import Reply, ScriptedChatModel


def sub(name: str, *needs: str, kind: str = "echo", **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": kind, "task": name, "needs": list(needs), **more}


def echo(state: Any) -> Any:
    return [state["task"], *state["inputs"]]


def planned(*plans: list[dict[str, Any]]) -> Any:
    """A planner that has these plans, one after the other."""
    left = list(plans)
    return lambda state: left.pop(0)


def test_independent_subtasks_run_side_by_side() -> None:
    met = threading.Barrier(3, timeout=20)

    def wait(state: Any) -> int:
        return met.wait()

    flow = planner_executor(planned([sub(name, kind="wait") for name in "abc"]), [wait])
    output = asyncio.run(flow.compile().ainvoke({"request": ""}))
    assert output["outcome"] == "done"
    assert sorted(result["result"] for result in output["answer"].values()) == [0, 1, 2]


def test_a_subtask_is_given_the_results_it_needs() -> None:
    plan = [sub("d", "b", "c"), sub("b", "a"), sub("c", "a"), sub("a")]
    output = planner_executor(planned(plan), [echo]).compile().invoke({"request": ""})
    assert output["results"]["d"] == {"result": ["d", "b", "c"]}


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ([], "There are no subtasks."),
        ([sub("a", "b"), sub("b", "a")], "in a circle: `a`, `b`."),
        ([sub("a", "bee"), sub("been")], "needs `bee`, which is no subtask; did you mean `been`?"),
        ([sub("a", kind="ecko")], "of the kind `ecko`, which is not there; did you mean `echo`?"),
        ([sub("a"), sub("a")], "Several subtasks are called `a`."),
        ([sub(name) for name in "abcd"], "There are 4 subtasks, and at most 3 may be."),
    ],
)
def test_an_impossible_plan_goes_back_with_what_is_wrong(plan: Any, problem: str) -> None:
    told: list[Any] = []
    left = [plan, [sub("a")]]

    def planner(state: Any) -> Any:
        told.append(state["problems"])
        return left.pop(0)

    output = planner_executor(planner, [echo], max_subtasks=3).compile().invoke({"request": ""})
    assert told[0] == []
    assert problem in " ".join(told[1])
    assert output["outcome"] == "done"


def test_what_needs_a_failed_subtask_is_skipped_and_all_else_is_done() -> None:
    def fragile(state: Any) -> str:
        raise OSError("it broke")

    plan = [sub("a", kind="fragile"), sub("b", "a"), sub("c"), sub("d", "c")]
    output = planner_executor(planned(plan), [echo, fragile]).compile().invoke({"request": ""})
    assert output["results"]["a"] == {"error": "OSError: it broke"}
    assert output["skipped"] == ["b"]
    assert output["results"]["d"] == {"result": ["d", "c"]}
    assert output["outcome"] == "in part"


def test_a_failed_subtask_goes_back_to_the_planner_and_what_is_done_stays() -> None:
    called: list[str] = []
    plans = [
        [sub("a"), sub("b", "a", kind="fragile"), sub("c", "b")],
        [sub("b", "a"), sub("c", "b")],
    ]
    told: list[Any] = []

    def planner(state: Any) -> Any:
        told.append(state["problems"])
        return plans.pop(0)

    def counted(state: Any) -> Any:
        called.append(state["id"])
        return echo(state)

    def fragile(state: Any) -> str:
        raise OSError("it broke")

    flow = planner_executor(planner, {"echo": counted, "fragile": fragile}, repairs=1)
    assert flow.validate().findings == ()
    output = flow.compile().invoke({"request": ""})
    assert told == [
        [],
        ["`b` failed: OSError: it broke", "Done, and there to be needed, not to be planned again: `a`."],
    ]
    assert (output["outcome"], output["skipped"], called) == ("done", [], ["a", "b", "c"])
    assert output["results"]["c"] == {"result": ["c", "b"]}


def test_what_fails_again_when_the_repairs_are_spent_is_left_as_it_is() -> None:
    def fragile(state: Any) -> str:
        raise OSError("it broke")

    plan = [sub("a", kind="fragile"), sub("b", "a")]
    args = (planned(*[plan] * 3), [echo, fragile])
    options: dict[str, Any] = {"repairs": 2, "max_subtasks": 2, "replans": 1}
    flow = planner_executor(*args, **options)
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.supersteps == find("planner_executor").bound(*args, **options)
    output = flow.compile().invoke({"request": ""})
    assert (output["outcome"], output["skipped"]) == ("in part", ["b"])
    assert output["results"] == {"a": {"error": "OSError: it broke"}}


@pytest.mark.parametrize("concluding", [False, True])
def test_a_planner_that_cannot_mend_what_failed_leaves_what_is_done(concluding: bool) -> None:
    def fragile(state: Any) -> str:
        raise OSError("it broke")

    def conclude(state: Any) -> list[str]:
        return sorted(state["results"])

    plans = planned([sub("a"), sub("b", kind="fragile")], [], [])
    options: dict[str, Any] = {"repairs": 1, "replans": 1, "conclude": conclude if concluding else None}
    flow = planner_executor(plans, [echo, fragile], **options)
    report = flow.validate()
    assert report.findings == ()
    assert report.certificate is not None
    bound = find("planner_executor").bound(plans, [echo, fragile], **options)
    assert report.certificate.supersteps == bound
    output = flow.compile().invoke({"request": ""})
    found = {"a": {"result": ["a"]}, "b": {"error": "OSError: it broke"}}
    assert (output["outcome"], output["results"]) == ("in part", found)
    assert output["answer"] == (["a", "b"] if concluding else found)


def test_models_plan_execute_verify_and_conclude() -> None:
    plan = [sub("a", kind="poet", success="it rhymes"), sub("b", "a", kind="clerk")]
    with (
        ScriptedChatModel(
            [
                Reply({"answer": plan}, expect=["at most 8 subtasks", "poet: writes verse"]),
                Reply({"answer": []}, expect="it rhymes"),
                Reply({"answer": [{"id": "b", "why": "too short"}]}, expect='"b"'),
                Reply("In part.", expect="no success: too short"),
            ]
        ) as model,
        ScriptedChatModel([Reply("main, rain", expect="It is done well if: it rhymes")]) as poet,
        ScriptedChatModel([Reply("2", expect='{"a":"main, rain"}')]) as clerk,
    ):
        flow = planner_executor(
            model, {"poet": Worker(poet, about="writes verse"), "clerk": clerk}, verify=model, conclude=model
        )
        assert flow.validate().findings == ()
        assert flow.compile().invoke({"request": "rain"})["answer"] == "In part."


def test_an_impossible_plan_is_forgotten_in_the_next_turn(tmp_path: Path) -> None:
    flow = planner_executor(planned([], [sub("a")]), [echo], replans=0)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({"request": ""}, thread="t").raise_for_status().output["outcome"] == "impossible"
        output = runner.run({"request": ""}, thread="t").raise_for_status().output
    assert (output["outcome"], output["problems"]) == ("done", [])


@pytest.mark.parametrize(
    ("executors", "options", "message"),
    [
        ([], {}, "no executors"),
        ([echo], {"max_subtasks": 0}, "max_subtasks=0"),
        ([echo], {"replans": -1}, "replans=-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(executors: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        planner_executor(planned([]), executors, **options)
