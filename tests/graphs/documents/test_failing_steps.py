"""What happens when a step fails for good: the run fails, the step is skipped, what was done is taken back, or another
step comes next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.errors import StepFailed
from tests.graphs.documents.conftest import Flow, Write, call, ran

A = {"name": "a", "agent_calls": [call("inc", "$input.n")]}
BOOM = {"name": "b", "agent_calls": [call("boom")]}


def undone(folder: Path) -> list[str]:
    """What was taken back, in its order."""
    journal = folder / "journal.txt"
    return journal.read_text().splitlines() if journal.exists() else []


def back(params: Any = "$result") -> dict[str, Any]:
    return {"compensation": call("take_back", params)}


def test_a_run_fails_where_a_step_fails_and_is_resumed_there(steps: Flow, folder: Path) -> None:
    def flow() -> Any:
        return steps(A, {"name": "b", "agent_calls": [call("boom_over", "$current")]})

    with Runner(flow(), db=folder / "runs.db") as runner:
        failed = runner.run({"n": 10}, thread="t")
    assert (failed.status, failed.error["node"]) == ("failed", "b")
    work = folder / "work.py"
    work.write_text(work.read_text().replace("x > 10", "x > 100"))
    sys.modules.pop("work")
    with Runner(flow(), db=folder / "runs.db") as runner:
        assert runner.resume("t").output == {"output": 11, "results": {"a": 11, "b": 11}}


def test_a_step_that_may_be_skipped_hands_on_what_it_was_given_and_is_told_of(steps: Flow) -> None:
    result = ran(steps(A, {**BOOM, "on_error": "skip"}, {"name": "c", "agent_calls": [call("inc")]}), n=1)
    assert result["results"] == {"a": 2, "c": 3}
    assert result["failures"] == [{"name": "b", "error": "ValueError", "message": "boom 2"}]


def test_the_rest_of_a_row_is_skipped_with_the_call_that_failed(steps: Flow) -> None:
    row = {"name": "b", "on_error": "skip", "agent_calls": [call("boom"), call("inc", "$previous")]}
    assert ran(steps(A, row), n=1)["results"] == {"a": 2}


def test_a_parallel_call_that_failed_is_null_where_it_may_be_skipped(steps: Flow) -> None:
    calls = [call("boom"), call("inc")]
    result = ran(
        steps(A, {"name": "p", "strategy": "parallel", "on_error": "skip", "agent_calls": calls}), n=1
    )
    assert result["results"]["p"] == [None, 3]
    assert [failed["name"] for failed in result["failures"]] == ["p.boom"]


def test_an_item_that_failed_is_null_where_it_may_be_skipped_also_for_the_reduce(steps: Flow) -> None:
    mapped = {
        "name": "m",
        "strategy": "map_reduce",
        "over": [1, 50, 3],
        "max": 3,
        "on_error": "skip",
        "agent_calls": [call("boom_over"), call("same")],
    }
    result = ran(steps(mapped))
    assert result["output"] == [1, None, 3]
    assert [failed["name"] for failed in result["failures"]] == ["m.item 2"]
    del mapped["agent_calls"][1]  # type: ignore[attr-defined]  # a list of calls
    assert ran(steps(mapped))["output"] == [1, None, 3]


@pytest.mark.parametrize("strategy", ["parallel", "map_reduce", "conditional", "loop", "subworkflow", "saga"])
def test_a_failing_step_of_every_strategy_leads_to_the_step_that_it_names(
    steps: Flow, write: Write, strategy: str
) -> None:
    write(
        "name: inner\nsteps: [{name: s, agent_calls: [{function: 'work.py:boom', params: $input.x}]}]",
        "inner.yaml",
    )
    step: dict[str, Any] = {"name": "b", "strategy": strategy, "on_error": {"goto": "d"}}
    step |= {
        "map_reduce": {"max": 3, "over": [1], "agent_calls": [call("boom")]},
        "conditional": {"agent_calls": [call("boom", when="true")]},
        "loop": {"max": 2, "steps": [{"name": "inside", "agent_calls": [call("boom")]}]},
        "subworkflow": {"workflow": "inner.yaml", "params": {"x": "$current"}},
    }.get(strategy, {"agent_calls": [call("boom")]})
    flow = steps(
        A, step, {"name": "c", "agent_calls": [call("boom")]}, {"name": "d", "agent_calls": [call("inc")]}
    )
    result = ran(flow, n=1)
    assert result["results"] == {"a": 2, "d": 3}
    assert len(result["failures"]) == 1


def test_going_back_is_bounded_and_then_the_run_fails(steps: Flow) -> None:
    flow = steps(A, {**BOOM, "on_error": {"goto": "a", "max": 2}})
    assert flow.validate().certificate.executions_by_node["b"] == 3
    with pytest.raises(StepFailed, match="boom 2"):
        ran(flow, n=1)


def test_what_earlier_steps_did_is_taken_back_in_reverse(steps: Flow, folder: Path) -> None:
    flow = steps(
        {
            "name": "a",
            "agent_calls": [call("inc", "$input.n", **back()), call("double", "$previous", **back())],
        },
        {
            "name": "p",
            "strategy": "parallel",
            "agent_calls": [call("inc", **back()), call("double", **back())],
        },
        {
            "name": "c",
            "strategy": "conditional",
            "agent_calls": [call("inc", "$current[0]", when="true", **back())],
        },
        {
            "name": "s",
            "strategy": "saga",
            "agent_calls": [call("inc", **back()), call("double", "$previous", **back())],
        },
        {**BOOM, "on_error": "compensate"},
    )
    result = ran(flow, n=1)
    assert undone(folder) == ["14", "7", "6", "8", "5", "4", "2"]
    assert result["undone"] == ["s.double", "s.inc", "c.inc", "p.double", "p.inc", "a.double", "a.inc"]
    assert (result["outcome"], result["output"], result["not_undone"]) == ("undone", None, [])


def test_what_was_not_done_is_not_taken_back(steps: Flow, folder: Path) -> None:
    flow = steps(
        {"name": "a", "condition": "$input.n > 5", "agent_calls": [call("inc", "$input.n", **back("never"))]},
        {"name": "b", "on_error": "skip", "agent_calls": [call("boom", 1, **back("never"))]},
        {"name": "c", "agent_calls": [call("inc", "$input.n", **back())]},
        {"name": "d", "on_error": "compensate", "agent_calls": [call("boom", **back("never"))]},
    )
    assert ran(flow, n=1)["undone"] == ["c.inc"]
    assert undone(folder) == ["2"]


def test_parallel_calls_that_were_done_are_taken_back_with_the_one_that_failed(
    steps: Flow, folder: Path
) -> None:
    calls = [call("inc", "$input.n", **back()), call("boom", 1)]
    flow = steps({"name": "p", "strategy": "parallel", "on_error": "compensate", "agent_calls": calls})
    assert ran(flow, n=1)["undone"] == ["p.inc"]
    assert undone(folder) == ["2"]


def test_what_takes_back_sees_what_the_call_saw(steps: Flow, folder: Path) -> None:
    params = {"result": "$result", "previous": "$previous", "current": "$current", "n": "$input.n"}
    row = [call("inc"), call("double", "$previous", **back(params))]
    flow = steps(
        A,
        {"name": "b", "agent_calls": row},
        {"name": "c", "on_error": "compensate", "agent_calls": [call("boom")]},
    )
    ran(flow, n=1)
    assert undone(folder) == [str({"result": 6, "previous": 3, "current": 2, "n": 1})]


def test_what_cannot_be_taken_back_is_told_and_the_rest_is_taken_back(steps: Flow, folder: Path) -> None:
    flow = steps(
        {"name": "a", "agent_calls": [call("inc", "$input.n", **back())]},
        {"name": "b", "agent_calls": [call("inc", compensation=call("boom", "$result"))]},
        {"name": "c", "on_error": "compensate", "agent_calls": [call("boom", 1)]},
    )
    result = ran(flow, n=1)
    assert result["outcome"] == "partly undone"
    assert result["undone"] == ["a.inc"]
    assert result["not_undone"] == [{"name": "b.inc", "error": "ValueError", "message": "boom 3"}]


SAGA = {
    "name": "s",
    "strategy": "saga",
    "agent_calls": [
        call("inc", "$input.n", **back()),
        call("boom_over", "$previous", **back()),
        call("boom_over", 99),
    ],
}


def test_a_saga_takes_back_what_it_did_and_ends_the_run(steps: Flow, folder: Path) -> None:
    flow = steps(
        {"name": "a", "agent_calls": [call("inc", "$input.n", **back("first"))]}, SAGA, A | {"name": "z"}
    )
    result = ran(flow, n=1)
    assert undone(folder) == ["2", "2", "first"]
    assert result["results"] == {"a": 2}
    assert (result["outcome"], result["undone"]) == ("undone", ["s.boom_over", "s.inc", "a.inc"])
    assert result["failures"] == [
        {"name": "s.boom_over_2", "error": "ValueError", "message": "99 is too much"}
    ]


def test_a_saga_that_may_be_skipped_takes_back_only_what_it_did(steps: Flow, folder: Path) -> None:
    flow = steps(A, {**SAGA, "on_error": "skip"}, {"name": "z", "agent_calls": [call("inc")]})
    result = ran(flow, n=1)
    assert undone(folder) == ["2", "2"]
    assert result["results"] == {"a": 2, "z": 3}
    assert "outcome" not in result


def test_a_saga_that_is_to_fail_fails_the_run_after_taking_back(steps: Flow, folder: Path) -> None:
    with pytest.raises(StepFailed, match="99 is too much"):
        ran(steps(A, {**SAGA, "on_error": "fail"}), n=1)
    assert undone(folder) == ["2", "2"]


def test_a_saga_in_a_loop_ends_the_loop_and_what_was_done_before_it_is_taken_back(
    steps: Flow, folder: Path
) -> None:
    loop = {"name": "l", "strategy": "loop", "max": 3, "on_error": "compensate", "steps": [SAGA]}
    flow = steps({"name": "a", "agent_calls": [call("inc", "$input.n", **back("first"))]}, loop)
    result = ran(flow, n=1)
    assert undone(folder) == ["2", "2", "first"]
    assert result["undone"] == ["s.boom_over", "s.inc", "a.inc"]


def test_a_step_in_a_loop_that_is_skipped_does_not_end_the_loop(steps: Flow) -> None:
    body = [
        {"name": "b", "agent_calls": [call("inc")]},
        {"name": "c", "on_error": "skip", "agent_calls": [call("boom")]},
    ]
    assert ran(steps(A, {"name": "l", "strategy": "loop", "max": 3, "steps": body}), n=1)["output"] == 5


def test_a_document_that_was_undone_is_a_step_that_failed(steps: Flow, write: Write, folder: Path) -> None:
    write(
        """
        name: inner
        steps:
          - name: s
            strategy: saga
            agent_calls:
              - function: work.py:inc
                params: $input.x
                compensation: {function: "work.py:take_back", params: $result}
              - {function: "work.py:boom", params: 1}
        """,
        "inner.yaml",
    )
    sub = {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": {"x": "$current"}}
    assert ran(steps(A, {**sub, "on_error": "skip"}), n=1)["results"] == {"a": 2}
    assert undone(folder) == ["3"]
    with pytest.raises(StepFailed, match="boom 1"):
        ran(steps(A, sub), n=1)


CHILD = """
    name: inner
    steps:
      - name: a
        strategy: saga
        ON_ERROR
        agent_calls:
          - name: inc
            function: work.py:inc
            params: $input.x
            compensation: {function: "work.py:HOW", params: inner}
          - {function: "work.py:boom", params: 1}
    """


def child(on_error: str = "", how: str = "take_back") -> str:
    return CHILD.replace("ON_ERROR", on_error or "description: none").replace("HOW", how)


@pytest.mark.parametrize("on_error", ["compensate", "skip"])
def test_what_a_document_inside_took_back_is_not_taken_for_what_this_one_did(
    on_error: str, steps: Flow, write: Write, folder: Path
) -> None:
    write(child(), "inner.yaml")
    first = {"name": "a", "agent_calls": [{**call("inc", "$input.n", **back("outer")), "name": "inc"}]}
    sub = {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": {"x": "$current"}}
    last = {"name": "z", "on_error": "compensate", "agent_calls": [call("boom")]}
    result = ran(steps(first, {**sub, "on_error": on_error}, last), n=1)
    assert undone(folder) == ["inner", "outer"]
    assert result["undone"] == ["sub.a.inc", "a.inc"]
    assert result["failures"][0]["name"] == "sub.a.boom"


def test_what_was_done_twice_is_taken_back_twice(steps: Flow, folder: Path) -> None:
    saga = {
        "name": "s",
        "strategy": "saga",
        "agent_calls": [call("inc", "$input.n", **back()), call("inc", "$previous", **back())],
    }
    again = {"name": "again", "on_error": {"goto": "s", "max": 2}, "agent_calls": [call("fail_twice")]}
    last = {"name": "z", "on_error": "compensate", "agent_calls": [call("boom")]}
    flow = steps(saga, again, last)
    result = ran(flow, n=1)
    assert undone(folder) == ["3", "2"] * 3
    assert result["undone"] == ["s.inc_2", "s.inc"] * 3
    assert flow.validate().findings == ()


def test_a_step_of_several_calls_goes_back_as_often_as_it_says_whichever_of_them_fails(
    steps: Flow, folder: Path
) -> None:
    saga = {"name": "s", "strategy": "saga", "agent_calls": [call("inc", "$input.n", **back())]}
    calls = [call("fail_once", "one"), call("fail_once", "two")]

    def flow(most: int) -> Any:
        again = {"name": "again", "on_error": {"goto": "s", "max": most}, "agent_calls": calls}
        return steps(saga, again, {"name": "z", "on_error": "compensate", "agent_calls": [call("boom")]})

    with pytest.raises(StepFailed, match=r"left: `again\.fail_once_2`: ValueError"):
        ran(flow(1), n=1)
    assert undone(folder) == []
    sys.modules.pop("work")
    result = ran(flow(2), n=1)
    assert undone(folder) == ["2"] * 3
    assert (result["undone"], result["not_undone"], result["outcome"]) == (["s.inc"] * 3, [], "undone")
    assert flow(2).validate().findings == ()


def test_a_saga_that_took_itself_back_is_taken_back_again_when_it_was_done_after_all(
    steps: Flow, folder: Path
) -> None:
    saga = {
        "name": "s",
        "strategy": "saga",
        "on_error": {"goto": "s", "max": 2},
        "agent_calls": [call("inc", "$input.n", **back("one")), call("fail_twice")],
    }
    result = ran(steps(saga, {"name": "z", "on_error": "compensate", "agent_calls": [call("boom")]}), n=1)
    assert undone(folder) == ["one"] * 3
    assert (result["undone"], result["outcome"]) == (["s.inc"] * 3, "undone")


def test_what_could_not_be_taken_back_is_told_however_the_run_goes_on(steps: Flow, write: Write) -> None:
    write(child("on_error: skip", "boom"), "inner.yaml")
    sub = {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": {"x": 1}}
    broken = {"function": "work.py:boom", "params": "back"}
    saga = {
        "name": "s",
        "strategy": "saga",
        "agent_calls": [call("inc", "$input.n", compensation=broken), call("boom")],
    }
    loop = {"name": "l", "strategy": "loop", "max": 2}
    wrong = {"error": "ValueError", "message": "boom back"}
    skipped = {**saga, "on_error": "skip"}
    inside = {"error": "ValueError", "message": "boom inner"}
    for step, names, said in (
        (skipped, ["s.inc"], wrong),
        ({**loop, "steps": [skipped]}, ["s.inc"] * 2, wrong),
        (sub, ["sub.a.inc"], inside),
        ({**loop, "steps": [sub]}, ["sub.a.inc"] * 2, inside),
    ):
        result = ran(steps(step, {"name": "z", "agent_calls": [call("same", 1)]}), n=1)
        assert result["not_undone"] == [{"name": name, **said} for name in names]
        assert (result["undone"], len(result["failures"])) == ([], len(names))
    with pytest.raises(StepFailed, match=r"`s\.inc` could not be taken back: ValueError: boom back"):
        ran(steps({**saga, "on_error": "fail"}), n=1)


def test_failures_inside_a_loop_that_goes_on_are_told(steps: Flow) -> None:
    body = [{"name": "c", "on_error": "skip", "agent_calls": [call("boom", 1)]}]
    result = ran(steps({"name": "l", "strategy": "loop", "max": 2, "steps": body}), n=1)
    assert [failed["name"] for failed in result["failures"]] == ["c", "c"]


def test_another_call_or_a_value_answers_for_one_that_fails(steps: Flow) -> None:
    chain = call("boom", fallback=call("boom", fallback={"value": {"n": "$input.n", "price": "5 $$"}}))
    for strategy in ("sequential", "parallel", "saga"):
        flow = steps(A, {"name": "b", "strategy": strategy, "agent_calls": [chain]})
        result = ran(flow, n=1)["results"]["b"]
        assert result in ({"n": 1, "price": "5 $"}, [{"n": 1, "price": "5 $"}])
    flow = steps(A, {"name": "b", "agent_calls": [call("boom", fallback=call("double"))]})
    assert ran(flow, n=1)["output"] == 4
    mapped = {"name": "m", "strategy": "map_reduce", "over": [1, 20], "max": 2}
    assert ran(steps({**mapped, "agent_calls": [call("boom_over", fallback=call("same", "big"))]}))[
        "output"
    ] == [1, "big"]
    routed = call("boom", when="true", fallback={"value": "calm"})
    assert (
        ran(steps(A, {"name": "c", "strategy": "conditional", "agent_calls": [routed]}), n=1)["output"]
        == "calm"
    )


def test_an_answer_that_is_not_as_its_schema_says_is_a_failure(steps: Flow) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    flow = steps({"name": "a", "on_error": "skip", "agent_calls": [call("same", "$input.x", output=schema)]})
    assert ran(flow, x={"n": 1})["output"] == {"n": 1}
    (failed,) = ran(flow, x={"n": "one"})["failures"]
    assert failed["error"] == "AnswerInvalid"
    assert "`n`: 'one' is not of type 'integer'" in failed["message"]


def test_an_answer_of_a_function_is_plain_data(steps: Flow) -> None:
    flow = steps({"name": "a", "on_error": "skip", "agent_calls": [call("thing", "$input.x")]})
    assert sorted(ran(flow, x=1)["output"]) == [1, 2]
    assert ran(flow, x=0)["failures"][0]["error"] == "AnswerInvalid"


def test_a_budget_of_a_step_and_of_a_document_is_kept(steps: Flow, folder: Path) -> None:
    flow = steps(
        A,
        {"name": "b", "budget": {"supersteps": 2}, "agent_calls": [call("inc"), call("double", "$previous")]},
    )
    assert ran(flow, n=1)["output"] == 6
    assert "b" in flow.nodes
    assert steps(A).validate().certificate.model_calls is None
    assert steps({"name": "a", "agent_calls": [call("inc", calls=0)]}).validate().certificate.model_calls == 0
    tight = steps(A, A | {"name": "b"}, budget={"supersteps": 3})
    assert [found.code for found in tight.validate().findings] == ["T105"]
    for strategy in ("parallel", "saga", "loop", "map_reduce"):
        more: dict[str, Any] = {
            "loop": {"max": 2, "until": "$current > 3"},
            "map_reduce": {"max": 2, "over": [1]},
        }.get(strategy, {})
        step = {
            "name": "p",
            "strategy": strategy,
            "budget": {"supersteps": 1},
            "agent_calls": [call("inc")],
            **more,
        }
        assert "T105" in {found.code for found in steps(A, step).validate().findings}
