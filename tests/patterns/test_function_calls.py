"""Pattern 20: calls that need each other's results, in their order, and side by side where they do not."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from dalsegno import RetryPolicy
from dalsegno.errors import WrongAnswer
from dalsegno.graphs.patterns import Node, function_calls
from dalsegno.graphs.patterns.toolset import filled
from dalsegno.testing import ScriptedChatModel


def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


def fail(n: int) -> int:
    """Nothing."""
    raise ValueError("not today")


def call(id: str, function: str, n: Any, *after: str) -> dict[str, Any]:
    return {"id": id, "function": function, "arguments": {"n": n}, "depends_on": list(after)}


def run(*calls: Mapping[str, Any], functions: Any = (double, fail), **options: Any) -> dict[str, Any]:
    flow = function_calls(lambda state: {"calls": list(calls)}, functions, lambda state: "done", **options)
    output: dict[str, Any] = flow.compile().invoke({"request": "?"})
    return output


def test_a_result_is_an_argument_of_the_next_call() -> None:
    assert run(call("b", "double", "$a"), call("a", "double", 1))["results"] == {"a": 2, "b": 4}


def test_parts_of_results_and_texts_with_a_dollar() -> None:
    results = {"a": {"rows": [{"n": 3}]}}
    assert filled({"x": "$a.rows.0.n", "y": "$$a", "z": "$5.00"}, results) == {
        "x": 3,
        "y": "$a",
        "z": "$5.00",
    }


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(LookupError, match=r"`\$a\.rows` refers to `rows`, which 2 does not have"):
        run(call("a", "double", 1), call("b", "double", "$a.rows"))


def test_calls_that_are_ready_are_made_at_once() -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(n: int) -> int:
        """Waits for the two others."""
        together.wait()
        return n

    calls = [call(name, "meet", n) for n, name in enumerate("abc")]
    assert run(*calls, functions=[meet])["results"] == {"a": 0, "b": 1, "c": 2}


def test_what_needs_a_failed_call_is_skipped_and_the_rest_is_made() -> None:
    calls = [
        call("a", "fail", 1),
        call("b", "double", "$a"),
        call("c", "double", 3),
        call("d", "double", 4, "b"),
    ]
    output = run(*calls, on_error="collect")
    assert output["results"] == {"c": 6}
    assert output["skipped"] == ["b", "d"]
    assert output["failures"] == [{"name": "a", "error": "ValueError", "message": "not today"}]


@pytest.mark.parametrize("id", ["1", "step.1", "the sum", "-a"])
def test_an_id_that_cannot_be_referred_to_is_refused_where_it_is(id: str) -> None:
    assert run(call(id, "double", 1))["results"] == {id: 2}
    for reference in (f"${id}", f"${id}.part"):
        with pytest.raises(WrongAnswer, match=re.escape(f"`{reference}` does not refer to the call `{id}`")):
            run(call(id, "double", 1), call("last", "double", [reference]))


def test_an_id_may_begin_with_any_letter() -> None:
    assert run(call("über", "double", 1), call("last", "double", "$über"))["results"] == {
        "über": 2,
        "last": 4,
    }


def test_no_call_at_all_is_an_answer() -> None:
    assert run()["response"] == "done"


def test_a_function_may_be_retried() -> None:
    tries: list[int] = []

    def flaky(n: int) -> int:
        """Fails once."""
        tries.append(n)
        if len(tries) < 2:
            raise ConnectionError("try again")
        return n

    node = Node(flaky, retry=RetryPolicy(max_attempts=2))
    assert run(call("a", "flaky", 1), functions={"flaky": node})["results"] == {"a": 1}


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([call("a", "double", 1, "b")], "`a` depends on `b`, and there is no such call"),
        ([call("a", "double", "$b.x")], "`a` depends on `b`, and there is no such call"),
        ([call("a", "double", 1, "a")], "the calls a → a wait for each other in a cycle"),
        ([call("a", "doubel", 1)], "there is no `doubel`; did you mean `double`?"),
        ([{"id": "a", "function": "double", "arguments": {}}], "`double` needs `n`"),
        ([{"id": "a", "function": "double", "arguments": {"n": 1, "m": 2}}], "`double` takes no `m`"),
        ([call("a", "double", 1), call("a", "double", 2)], "two calls have the id `a`"),
        ([call(n, "double", 1) for n in "abcd"], "these are 4 calls, and at most 3 are allowed"),
        ([call("a", "double", 1), call("b", "double", "$a"), call("c", "double", "$b")], "3 calls wait for"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(calls: list[Any], said: str) -> None:
    with pytest.raises(WrongAnswer, match=re.escape(said)):
        run(*calls, max_calls=3, max_depth=2)


def test_a_model_is_told_what_is_wrong_with_its_plan_and_plans_again() -> None:
    def planned(*calls: Mapping[str, Any]) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "CallGraph", "args": {"calls": list(calls)}, "id": "1"}])

    model = ScriptedChatModel([planned(call("a", "double", "$b")), planned(call("a", "double", 4))])
    flow = function_calls(model, [double], lambda state: state["results"]["a"])
    assert flow.compile().invoke({"request": "twice 4"})["response"] == 8
