"""What each strategy does with its calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dalsegno import Runner
from dalsegno.errors import DocumentInvalid, StepFailed, WrongAnswer
from tests.graphs.documents.conftest import Flow, Write, call, ran

A = {"name": "a", "agent_calls": [call("inc", "$input.n")]}
"""A step that gives one more than `n`."""


def test_a_step_of_one_call_is_one_node(steps: Flow) -> None:
    flow = steps(A, {"name": "b", "agent_calls": [call("double")]})
    assert list(flow.nodes) == ["take input", "a", "b", "give output"]
    assert ran(flow, n=3) == {"output": 8, "results": {"a": 4, "b": 8}}


def test_calls_of_a_step_stand_in_a_row_and_see_the_answer_before(steps: Flow) -> None:
    row = [call("inc"), call("double", "$previous"), call("total", ["$current", "$previous"])]
    flow = steps(A, {"name": "b", "agent_calls": row})
    assert {"b.inc", "b.double", "b.total"} <= set(flow.nodes)
    assert ran(flow, n=3)["results"] == {"a": 4, "b": 4 + 10}


def test_the_first_call_sees_as_previous_what_the_step_works_on(steps: Flow) -> None:
    assert ran(steps(A, {"name": "b", "agent_calls": [call("same", "$previous")]}), n=1)["output"] == 2


def test_parallel_calls_work_on_the_same_and_answer_in_their_order(steps: Flow) -> None:
    calls = [call("double"), call("inc"), call("same", "$context.results.a")]
    flow = steps(A, {"name": "p", "strategy": "parallel", "agent_calls": calls, "max_concurrency": 2})
    assert ran(flow, n=1)["output"] == [4, 3, 2]


@pytest.mark.parametrize(("n", "expected"), [(1, 3), (8, 18)])
def test_the_first_call_whose_condition_holds_is_made(steps: Flow, n: int, expected: int) -> None:
    calls = [call("double", when="$current > 5"), call("double", when="$current > 4"), call("inc")]
    flow = steps(A, {"name": "c", "strategy": "conditional", "agent_calls": calls})
    assert ran(flow, n=n)["output"] == expected


def test_a_conditional_step_for_which_no_condition_holds_is_skipped(steps: Flow) -> None:
    flow = steps(
        A, {"name": "c", "strategy": "conditional", "agent_calls": [call("double", when="$current > 5")]}
    )
    assert ran(flow, n=1) == {"output": 2, "results": {"a": 2}}


def test_a_step_whose_condition_does_not_hold_is_skipped_and_hands_on_what_it_was_given(steps: Flow) -> None:
    flow = steps(
        A,
        {"name": "b", "condition": "$input.n > 5", "agent_calls": [call("double")]},
        {"name": "c", "condition": "$input.n > 0", "agent_calls": [call("inc")]},
    )
    assert ran(flow, n=1) == {"output": 3, "results": {"a": 2, "c": 3}}
    assert ran(flow, n=6)["results"] == {"a": 7, "b": 14, "c": 15}


def test_items_are_mapped_and_their_answers_reduced(steps: Flow) -> None:
    calls = [call("total", ["$current", "$input.plus", "$context.results.a"]), call("total")]
    mapped = {"name": "m", "strategy": "map_reduce", "over": "$input.items", "max": 5, "agent_calls": calls}
    assert ran(steps(A, mapped), items=[1, 2, 3], plus=10, n=0)["results"]["m"] == 6 + 3 * 11


def test_without_a_reduce_the_result_is_the_list_in_the_order_of_the_items(steps: Flow) -> None:
    flow = steps(
        {
            "name": "m",
            "strategy": "map_reduce",
            "over": "$input.items",
            "max": 5,
            "agent_calls": [call("inc")],
        }
    )
    assert ran(flow, items=[3, 1, 2])["output"] == [4, 2, 3]
    assert ran(flow, items=[])["output"] == []


def test_more_items_than_the_bound_are_refused(steps: Flow) -> None:
    flow = steps(
        {
            "name": "m",
            "strategy": "map_reduce",
            "over": "$input.items",
            "max": 2,
            "agent_calls": [call("inc")],
        }
    )
    with pytest.raises(WrongAnswer, match="has 3 elements, and `max` is 2"):
        ran(flow, items=[1, 2, 3])


def test_a_loop_goes_on_until_its_condition_holds(steps: Flow) -> None:
    loop = {
        "name": "l",
        "strategy": "loop",
        "max": 9,
        "until": "$current >= 6",
        "agent_calls": [call("inc"), call("inc", "$previous")],
    }
    assert ran(steps(A, loop), n=1)["output"] == 6


def test_a_loop_whose_rounds_are_over_goes_on_with_the_last_answer(steps: Flow) -> None:
    loop = {
        "name": "l",
        "strategy": "loop",
        "max": 3,
        "until": "$current > 100",
        "agent_calls": [call("inc")],
    }
    assert ran(steps(A, loop), n=1)["output"] == 5
    assert ran(steps(A, {**loop, "max": 1}), n=1)["output"] == 3


def test_or_fails_where_it_says_so(steps: Flow) -> None:
    loop = {
        "name": "l",
        "strategy": "loop",
        "max": 2,
        "until": "$current > 100",
        "on_exhausted": "error",
        "agent_calls": [call("inc")],
    }
    with pytest.raises(StepFailed, match="it went round 2 times") as error:
        ran(steps(A, loop), n=1)
    assert error.value.step == "l"
    assert ran(steps(A, {**loop, "on_error": "skip"}), n=1)["results"] == {"a": 2}


def test_loops_in_loops_begin_anew_and_their_steps_have_results(steps: Flow) -> None:
    inner = {
        "name": "m",
        "strategy": "loop",
        "max": 2,
        "steps": [{"name": "c", "agent_calls": [call("inc")]}],
    }
    outer = {
        "name": "l",
        "strategy": "loop",
        "max": 3,
        "steps": [{"name": "b", "agent_calls": [call("double")]}, inner],
    }
    result = ran(steps(A, outer), n=0)
    # ((1·2+2)·2+2)·2+2
    assert result["results"] == {"a": 1, "b": 20, "c": 22, "m": 22, "l": 22}


def test_a_step_in_a_loop_that_is_skipped_has_no_result_of_the_round_before(steps: Flow) -> None:
    body = [
        {"name": "b", "condition": "$current < 2", "agent_calls": [call("double")]},
        {"name": "c", "agent_calls": [call("inc", "$current")]},
    ]
    flow = steps(A, {"name": "l", "strategy": "loop", "max": 2, "steps": body})
    assert ran(flow, n=0)["results"] == {"a": 1, "c": 4, "l": 4}


def test_another_document_is_a_step_whose_input_is_its_params(steps: Flow, write: Write) -> None:
    write(
        """
        name: "inner: a document"
        input: {x: number, y: {type: number, default: 100}}
        steps:
          - {name: s, agent_calls: [{function: "work.py:total", params: ["$input.x", "$input.y"]}]}
        output: {sum: $current, given: $input}
        """,
        "inner.yaml",
    )
    flow = steps(
        A, {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": {"x": "$current"}}
    )
    assert ran(flow, n=1)["output"] == {"sum": 102, "given": {"x": 2, "y": 100}}


def test_a_workflow_in_python_is_a_step_and_its_result_is_all_that_it_gives(
    steps: Flow, folder: Path
) -> None:
    (folder / "app.py").write_text(
        "from typing import TypedDict\n"
        "from dalsegno import END, START, Workflow\n"
        "class S(TypedDict, total=False):\n    results: str\n    words: list[str]\n"
        "def split(state: S): return {'words': state['results'].split()}\n"
        "flow = Workflow('words', S).add_node(split).add_edge(START, 'split').add_edge('split', END)\n"
    )
    flow = steps(
        {
            "name": "sub",
            "strategy": "subworkflow",
            "workflow": "app.py:flow",
            "params": {"results": "$input.text"},
        }
    )
    assert ran(flow, text="a b")["output"] == {"results": "a b", "words": ["a", "b"]}


def test_a_subworkflow_in_a_loop_runs_anew_in_every_round(steps: Flow, write: Write) -> None:
    write(
        "name: inner\nsteps: [{name: s, agent_calls: [{function: 'work.py:inc', params: $input.x}]}]",
        "inner.yaml",
    )
    sub = {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": {"x": "$current"}}
    assert ran(steps(A, {"name": "l", "strategy": "loop", "max": 4, "steps": [sub]}), n=0)["output"] == 5


def test_an_async_function_is_called_in_either_colour(steps: Flow) -> None:
    flow = steps({"name": "a", "agent_calls": [call("slowly", "$input.n", timeout=30)]})
    assert ran(flow, n=1)["output"] == 2
    with Runner(flow, db=":memory:") as runner:
        assert runner.run({"n": 1}).output["output"] == 2


def test_a_function_may_change_what_it_is_given_and_nobody_else_sees_it(steps: Flow) -> None:
    again = {"retry": {"max_attempts": 2, "initial_interval": 0, "jitter": False}}
    taken = {"name": "a", "agent_calls": [call("empty_once", "$input.items", **again)]}
    beside = {
        "strategy": "parallel",
        "agent_calls": [call("empty_slowly", "$input.items"), call("same", "$input")],
    }
    items = [1, [2]]
    assert ran(steps(taken, {"name": "b", **beside}), items=items)["results"] == {
        "a": [[2], 1],
        "b": [[[2], 1], {"items": [1, [2]]}],
    }
    assert items == [1, [2]]


def test_the_context_tells_the_workflow_and_the_run(steps: Flow, folder: Path) -> None:
    flow = steps(
        A, output={"flow": "$context.workflow", "run": "$context.execution_id", "in": "$context.input"}
    )
    with Runner(flow, db=folder / "runs.db") as runner:
        result = runner.run({"n": 1})
    assert result.output["output"] == {"flow": "made", "run": result.run_id, "in": {"n": 1}}


def test_a_second_turn_of_a_thread_begins_with_nothing_of_the_first(steps: Flow, folder: Path) -> None:
    flow = steps(A, {"name": "b", "condition": "$input.n > 5", "agent_calls": [call("double")]})
    with Runner(flow, db=folder / "runs.db") as runner:
        assert runner.run({"n": 6}, thread="t").output["results"] == {"a": 7, "b": 14}
        assert runner.run({"n": 1}, thread="t").output == {"output": 2, "results": {"a": 2}}


def test_a_second_turn_has_only_its_own_input(steps: Flow, folder: Path) -> None:
    keys = {"n": "integer", "note": "string?", "unit": {"type": "string", "default": "m"}}
    flow = steps({"name": "a", "agent_calls": [call("same", "$input")]}, input=keys)
    with Runner(flow, db=folder / "runs.db") as runner:
        first = runner.run({"n": 6, "note": "of the first", "unit": "km"}, thread="t").output
        assert first["output"] == {"n": 6, "note": "of the first", "unit": "km"}
        assert runner.run({"n": 1}, thread="t").output["output"] == {"n": 1, "unit": "m"}


def test_a_second_turn_has_none_of_the_answers_of_the_first(steps: Flow, folder: Path) -> None:
    row = {"name": "a", "agent_calls": [call("same", 7), call("same", ["$previous", "${input.previous?}"])]}
    flow = steps(row, input={"previous": "string?"})
    with Runner(flow, db=folder / "runs.db") as runner:
        assert runner.run({"previous": "draft"}, thread="t").output["output"] == [7, "draft"]
        assert runner.run({}, thread="t").output["output"] == [7, None]


def test_null_is_a_value_of_a_key_of_any_type(steps: Flow, write: Write, folder: Path) -> None:
    taken = {"name": "a", "agent_calls": [call("same", "$input")]}
    flow = steps(taken, input={"x": "any", "note": "string?", "unit": {"type": "any", "default": "m"}})
    with Runner(flow, db=folder / "runs.db") as runner:
        assert runner.run({"x": None, "note": None}, thread="t").output["output"] == {"x": None, "unit": "m"}
        assert runner.run({"x": 1}, thread="t").output["output"] == {"x": 1, "unit": "m"}
        assert runner.run({"x": None}, thread="t").output["output"] == {"x": None, "unit": "m"}
    inner = {"name": "inner", "steps": [{"name": "a", "agent_calls": [call("same", "$input.x")]}]}
    write(yaml.safe_dump(inner), "inner.yaml")
    outer = {"name": "b", "strategy": "subworkflow", "workflow": "inner.yaml", "params": {"x": None}}
    assert ran(steps(outer))["results"] == {"b": None}


def test_an_answer_that_looks_like_a_reference_stays_what_it_is(steps: Flow) -> None:
    flow = steps(
        {"name": "a", "agent_calls": [call("same", "$input.text")]},
        {"name": "b", "agent_calls": [call("same", {"said": "$current", "in": "<$current>"})]},
    )
    evil: dict[str, Any] = {"said": "$input.secret ${context}", "in": "<$input.secret ${context}>"}
    assert ran(flow, text=evil["said"])["output"] == evil


def test_keys_of_an_answer_are_no_keys_of_the_state(steps: Flow) -> None:
    trap = {"results": 1, "current": 2, "failed": 3, "value": 4, "input": {}}
    parallel = {
        "name": "p",
        "strategy": "parallel",
        "agent_calls": [call("same", "$input.x"), call("same", "$current")],
    }
    routed = {"name": "c", "strategy": "conditional", "agent_calls": [call("same", "$input.x", when="true")]}
    mapped = {
        "name": "m",
        "strategy": "map_reduce",
        "over": ["$input.x"],
        "max": 1,
        "agent_calls": [call("same"), call("same")],
    }
    saga = {
        "name": "s",
        "strategy": "saga",
        "agent_calls": [call("same", "$input.x", effect=False), call("same", "$previous")],
    }
    flow = steps({"name": "a", "agent_calls": [call("same", "$input.x")]}, parallel, routed, mapped, saga)
    results = ran(flow, x=trap)["results"]
    assert results == {"a": trap, "p": [trap, trap], "c": trap, "m": [trap], "s": [trap, trap]}


def test_an_answer_may_be_null(steps: Flow) -> None:
    parallel = {"name": "p", "strategy": "parallel", "agent_calls": [call("same", None), call("same", None)]}
    saga = {"name": "s", "strategy": "saga", "agent_calls": [call("same", None)]}
    routed = {"name": "c", "strategy": "conditional", "agent_calls": [call("same", None, when="true")]}
    mapped = {
        "name": "m",
        "strategy": "map_reduce",
        "over": [None],
        "max": 1,
        "agent_calls": [call("same"), call("same", None)],
    }
    flow = steps({"name": "a", "agent_calls": [call("same", None)]}, parallel, saga, routed, mapped)
    assert ran(flow)["results"] == {"a": None, "p": [None, None], "s": [None], "c": None, "m": None}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"x": "text"}, "has a string as `x`, which is integer"),
        ({"x": None}, "lacks `x` .integer."),
        ({"x": 1, "y": True}, "has a boolean as `y`, which is string"),
        ("$input", "has `n`, which that does not take; it takes `x`, `y`"),
        ("$input.n", "is a number, and an object is needed"),
    ],
)
def test_another_document_is_held_to_its_own_input(params: Any, said: str, steps: Flow, write: Write) -> None:
    write(
        """
        name: inner
        input: {x: integer, y: string?}
        steps: [{name: in, agent_calls: [{function: "work.py:same", params: "${input.x?}"}]}]
        """,
        "inner.yaml",
    )
    sub = {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": params}
    with pytest.raises(WrongAnswer, match=f"What step `sub` gives to `inner.yaml` .`params`. {said}"):
        ran(steps(sub, {"name": "z", "agent_calls": [call("inc", "$input.n")]}), n=1)


@pytest.mark.parametrize(("params", "field"), [(None, "steps[0]"), ({"y": "a"}, "steps[0].params")])
def test_what_another_document_needs_is_told_before_the_run(
    params: Any, field: str, steps: Flow, write: Write
) -> None:
    write(
        """
        name: inner
        input: {x: integer, y: string?}
        steps: [{name: in, agent_calls: [{function: "work.py:same", params: $input.x}]}]
        """,
        "inner.yaml",
    )
    sub = {"name": "sub", "strategy": "subworkflow", "workflow": "inner.yaml", "params": params}
    with pytest.raises(DocumentInvalid, match=r"`inner\.yaml` needs `x` \(integer\)") as error:
        steps(sub)
    assert error.value.field == field
