"""Every reference of a document is checked before the run, and nothing that is right is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from dalsegno.graphs.definition import WorkflowDefinition, read_definition
from dalsegno.graphs.documents.flow import flow_problems
from tests.graphs.documents.conftest import Refused

ROOT = Path(__file__).parents[3]
SCORED = {"type": "object", "properties": {"score": {"type": "number"}}, "additionalProperties": False}


def call(params: Any = "$current", **more: Any) -> dict[str, Any]:
    return {"function": "work.py:same", "params": params, **more}


def step(name: str, *params: Any, **more: Any) -> dict[str, Any]:
    """A step that makes a call with each of these params."""
    return {"name": name, "agent_calls": [call(each) for each in params or ("$current",)], **more}


def problems(*steps: dict[str, Any], **more: Any) -> list[str]:
    definition = WorkflowDefinition.model_validate({"name": "made", "steps": list(steps), **more})
    return [problem.message for problem in flow_problems(definition)]


def told(says: str, *steps: dict[str, Any], **more: Any) -> None:
    found = problems(*steps, **more)
    assert len(found) == 1, found
    assert says in found[0]


FAILS = {"on_error": "skip"}
GATED = {"condition": "$input.n > 5"}
MAYBE = {"strategy": "conditional", "agent_calls": [call(when="$current.n > 1")]}
BOTH = [call("$current", when="$current.n > 1"), call("$current")]


# -- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("$context.results.chek", "There is no step `chek`; did you mean `check`?"),
        ("$context.results.zzz.x[0]", "There is no step `zzz`. There are `check`, `pay`, `tell`."),
        ("$context.results.pay", "`pay` is this step itself"),
        ("${context.results.pay?}", "`pay` is this step itself"),
        ("$context.results.tell.x", "`tell` comes later"),
        ("${context.results.tell?}", "`tell` comes later"),
        ("$result.id", "`$result` is the answer that a compensation takes back, and this is none"),
    ],
)
@pytest.mark.parametrize("where", ["params", "text", "condition", "when"])
def test_a_reference_to_what_is_never_there_is_told(reference: str, says: str, where: str) -> None:
    pay: dict[str, Any] = {
        "params": step("pay", {"a": [reference]}),
        "text": step("pay", f"a {reference}"),
    }.get(where) or {}
    written = reference.replace("{", "").replace("}", "")
    if where == "condition":
        pay = step("pay", condition=f"not {written} == 1")
    if where == "when":
        pay = {
            "name": "pay",
            "strategy": "conditional",
            "agent_calls": [call(when=f"{written} == 1"), call()],
        }
    told(says, step("check"), pay, step("tell"))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (GATED, "it is skipped where `$input.n > 5` does not hold"),
        (FAILS, "it is skipped where it fails"),
        ({"on_error": {"goto": "end"}}, "it goes on to `end` where it fails"),
        (MAYBE, "skipped where the condition of no call holds"),
    ],
)
def test_a_result_that_may_be_missing_is_asked_for_or_marked(more: dict[str, Any], why: str) -> None:
    may = {**step("may"), **more}
    told(why, may, step("end", "$context.results.may.x"))
    told(
        "Write `${context.results.may[0]?}`, which is null then",
        may,
        step("end", "a ${context.results.may[0]}"),
    )
    told("condition: $context.results.may != null", may, step("end", "$context.results.may"))
    assert not problems(may, step("end", "$context.results.may.x?", "${context.results.may?} and"))
    for asks in (
        "$context.results.may != null",
        "null != $context.results.may.x",
        "$context.results.may.score > 0.5 and $input.n == 1",
        "$context.results.may.kind in ['a', 'b']",
        "'a' in $context.results.may",
        "$context.results.may",
        "not ($context.results.may == null or $input.n == 1)",
        "length($context.results.may) > 0",
        "length($context.results.may) != 0",
        "$context.results.may == 5",
    ):
        assert not problems(may, step("end", "$context.results.may", condition=asks)), asks
        asked = {
            "name": "end",
            "strategy": "conditional",
            "agent_calls": [call("$context.results.may", when=asks), call()],
        }
        assert not problems(may, asked), asks
    for asks in (
        "$context.results.may == null",
        "not $context.results.may != null",
        "$context.results.may != 5",
        "$context.results.may == $input.n",
        "$context.results.may != null or $input.n == 1",
        "length($context.results.may) >= 0",
        "length($context.results.may) != false",
        "not $context.results.may",
        "$input.n == 1",
    ):
        assert len(problems(may, step("end", "$context.results.may", condition=asks))) == 1, asks


def test_in_a_condition_what_is_missing_is_null_and_nothing_is_told() -> None:
    may = step("may", **GATED)
    assert not problems(may, step("end", condition="not $context.results.may.x and $context.results.may > 5"))


def test_steps_of_the_same_condition_know_each_other() -> None:
    first, second = (
        step("a", **GATED),
        step("b", "$context.results.a", condition="$input.m == 1 and $input.n > 5"),
    )
    assert not problems(first, second)
    assert not problems(
        first, step("c"), second, step("d", "$context.results.b", "$context.results.a", **second_of(second))
    )
    told("`a` may have no result", first, step("b", "$context.results.a", condition="$input.n > 4"))
    told("`a` may have no result", {**first, **FAILS}, second)


def test_a_condition_with_another_constant_is_another_one() -> None:
    first = step("a", condition="$input.m == 1")
    assert not problems(first, step("b", "$context.results.a", condition="$input.m == 1.0"))
    told("`a` may have no result", first, step("b", "$context.results.a", condition="$input.m == true"))
    told("`a` may have no result", first, step("b", "$context.results.a", condition="$input.m == '1'"))


def second_of(made: dict[str, Any]) -> dict[str, Any]:
    return {"condition": made["condition"]}


@pytest.mark.parametrize("condition", ["$current > 5", "$context.results.b == null", "$context.results == 1"])
def test_the_same_condition_of_what_changes_says_nothing(condition: str) -> None:
    found = problems(
        step("a", condition=condition), step("b"), step("c", "$context.results.a", condition=condition)
    )
    assert any("`a` may have no result" in each for each in found)


def test_the_same_condition_says_nothing_where_something_goes_back() -> None:
    a, b = step("a", **GATED), step("b", "$context.results.a", **GATED)
    assert problems(a, b, step("c", on_error={"goto": "a", "max": 2}))
    assert not problems(a, b, step("c", on_error={"goto": "d"}), step("d"))


def test_what_is_jumped_over_may_be_missing_and_what_goes_back_may_be_there() -> None:
    jumps = step("a", on_error={"goto": "c"})
    found = problems(jumps, step("b"), step("c", "$context.results.b"), output="$context.results.a")
    assert "`a` goes on to `c` where it fails, and leaves it out" in found[0]
    assert "it goes on to `c` where it fails" in found[1]
    back = step("b", on_error={"goto": "a", "max": 3})
    told(
        "`b` may have no result here",
        step("a", "$context.results.b"),
        back,
        step("c", on_error={"goto": "a", "max": 1}),
    )
    assert not problems(
        step("a", "${context.results.c?}"), back, step("c"), step("d", on_error={"goto": "a", "max": 2})
    )
    told("`b` comes later", step("a", "${context.results.b?}"), back)


@pytest.mark.parametrize(
    "careful",
    [
        {"on_error": "fail"},
        {"on_error": "compensate"},
        {"strategy": "parallel", "on_error": "skip"},
        {"strategy": "saga"},
        {"strategy": "conditional", "agent_calls": BOTH},
        {"strategy": "map_reduce", "max": 3},
        {"strategy": "loop", "max": 3},
        {"strategy": "loop", "max": 3, "agent_calls": [], "steps": [step("inner")]},
        {"strategy": "subworkflow", "agent_calls": [], "workflow": "other.yaml", "params": {"a": "$input.n"}},
    ],
)
def test_what_is_there_on_every_way_is_referred_to_as_it_is(careful: dict[str, Any]) -> None:
    assert not problems(
        {**step("a"), **careful}, step("b", "$context.results.a"), output={"x": "$context.results.a"}
    )


def test_what_gets_the_answers_of_a_map_may_fail_and_be_skipped() -> None:
    mapped = {"strategy": "map_reduce", "max": 3, **FAILS}
    assert not problems({**step("m"), **mapped}, step("b", "$context.results.m"))
    told(
        "`m` may have no result here: it is skipped where it fails",
        {**step("m", "$current", "$current"), **mapped},
        step("b", "$context.results.m"),
    )


# -- loops ---------------------------------------------------------------------------------------


def loop(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "loop", "strategy": "loop", "max": 3, "steps": list(steps), **more}


def test_steps_of_a_round_see_those_before_and_outside() -> None:
    inner = loop(
        step("b", "$context.results.a"), step("c", "$context.results.b"), until="$context.results.c == 1"
    )
    assert not problems(step("a"), inner, step("d", "$context.results.c", "$context.results.loop"))


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("$context.results.loop", "`loop` is the loop that this is in"),
        ("$context.results.c", "each round begins without the results of the one before"),
        ("${context.results.c?}", "`c` comes later in a round of `loop`"),
        ("$context.results.end", "`end` comes later"),
    ],
)
def test_steps_of_a_round_do_not_see_what_is_not_there_yet(reference: str, says: str) -> None:
    told(says, loop(step("b", reference), step("c")), step("end"))


def test_what_may_be_missing_in_a_round_may_be_missing_behind_the_loop() -> None:
    told("`b` may have no result", loop(step("b", **GATED), step("c")), step("end", "$context.results.b"))
    told(
        "`loop`, which it is in, is skipped where",
        loop(step("b"), **GATED),
        step("end", "$context.results.b"),
    )
    told(
        "`loop`, which it is in, is skipped where it fails",
        loop(step("b"), **FAILS),
        step("c", "$context.results.b"),
    )
    assert not problems(loop(step("b", **GATED), step("c", "$context.results.b", **GATED)))


# -- the input -----------------------------------------------------------------------------------

INPUT = {
    "amount": "number",
    "note": "string?",
    "kind": {"type": "string", "default": "car"},
    "own": {"type": "object?", "description": "anything"},
    "list": "array",
}


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("$input.amuont", "`$input` has no `amuont`; did you mean `amount`?"),
        ("$context.input.amuont", "`$input` has no `amuont`; did you mean `amount`?"),
        ("$current.amuont", "`$current` has no `amuont`; did you mean `amount`?"),
        ("${input.zzzz?}", "It has `amount`, `note`, `kind`, `own`, `list`."),
        ("$input.amount.x", "`$input.amount` is a number, which has no fields"),
        ("$input.kind[0]", "`$input.kind` is a string, which has no elements"),
        (
            "$input.list.first",
            "`$input.list` is an array, which has no fields. An element of a list is written `[0]`.",
        ),
        ("$input[0]", "`$input` is an object, which has no elements"),
        ("$input.note", "`note` may be missing in the input. Write `${input.note?}`"),
        ("a $context.input.own.x", "`own` may be missing in the input. Write `${context.input.own.x?}`"),
        ("$context.workflow.name", "`$context.workflow` is a string, which has no fields"),
    ],
)
def test_references_are_held_to_the_input_that_is_declared(reference: str, says: str) -> None:
    told(says, step("a", [reference]), input=INPUT)


def test_what_is_declared_is_referred_to() -> None:
    fine = [
        "$input",
        "$input.amount",
        "$input.kind",
        "$input.list[3].x",
        "${input.note?}",
        "${input.own.x?}",
        "$current.kind",
    ]
    assert not problems(step("a", fine), input=INPUT)
    assert not problems(step("a", "$input.note", condition="$input.note != null"), input=INPUT)
    assert not problems(step("a", "$input.own.x", condition="length($input.own) > 0"), input=INPUT)
    assert not problems(step("a", "$input.anything.at[0].all"))


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("$input.amount > 'five'", "compares a number with a string"),
        ("$input.amount", "is a number, and only true, false and null decide by themselves"),
        ("length($input.amount) > 1", "is a number, which has no length"),
        ("$input.list < 5", "compares an array with a number"),
        ("5 in $input.kind", "asks for a number in a string"),
        ("$input.note > 5", "compares a string with a number"),
        ("$input.note.x == 1", "is a string, which has no fields"),
        ("$input.amuont > 5", "did you mean `amount`?"),
    ],
)
def test_conditions_are_held_to_the_kinds_that_are_declared(condition: str, says: str) -> None:
    told(says, step("a", condition=condition), input=INPUT)


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reference", "says"),
    [
        ({}, "$context.results.a.scor", "`$context.results.a` has no `scor`; did you mean `score`?"),
        ({}, "$context.results.a.score.x", "`$context.results.a.score` is a number, which has no fields"),
        ({}, "$context.results.a[0]", "`$context.results.a` is an object, which has no elements"),
        ({}, "$current.scor", "`$current` has no `scor`; did you mean `score`?"),
        ({}, "$previous.scor", "`$previous` has no `scor`; did you mean `score`?"),
        ({"strategy": "parallel"}, "$context.results.a.score", "is an array, which has no fields"),
        ({"strategy": "parallel"}, "$context.results.a[1]", "has 1 element, and no [1]"),
        ({"strategy": "saga"}, "$context.results.a[-2]", "has 1 element, and no [-2]"),
        ({"strategy": "saga"}, "$context.results.a[0].scor", "`$context.results.a[0]` has no `scor`"),
        ({"strategy": "map_reduce", "max": 3}, "$context.results.a[3]", "has at most 3 elements, and no [3]"),
        ({"strategy": "map_reduce", "max": 3}, "$context.results.a[2].scor", "has no `scor`"),
        ({"strategy": "loop", "max": 3}, "$context.results.a.scor", "has no `scor`"),
    ],
)
def test_references_are_held_to_what_calls_say_that_they_answer(
    made: dict[str, Any], reference: str, says: str
) -> None:
    first = {"name": "a", "agent_calls": [call(output=SCORED)], **made}
    told(says, first, step("b", reference))


def test_only_what_a_schema_rules_out_is_told() -> None:
    for schema in (
        {"type": "object", "properties": {"score": {}}},
        {"properties": {"score": {}}, "additionalProperties": False},
        {"type": ["object", "string"], "properties": {"score": {}}},
        {"anyOf": [{"type": "string"}, {"type": "object"}]},
        {"$ref": "#/$defs/x"},
        {"type": "object", "patternProperties": {"^s": {}}, "additionalProperties": False},
        {"enum": [{"scor": 1}, 5]},
        True,
    ):
        output = schema if isinstance(schema, dict) else {"allOf": [schema]}
        assert not problems(
            {"name": "a", "agent_calls": [call(output=output)]}, step("b", "$current.scor")
        ), schema


def test_the_answer_of_a_call_that_another_may_answer_for_is_not_known() -> None:
    first = {"name": "a", "agent_calls": [call(output=SCORED, fallback={"value": "$current"})]}
    assert not problems(first, step("b", "$current.scor"))


def test_current_is_what_any_way_brings() -> None:
    first = {"name": "a", "agent_calls": [call(output=SCORED)], **GATED}
    assert not problems(first, step("b", "$current.amount"), input={"n": "number", "amount": "number"})
    told(
        "`$current` has no `amuont`",
        first,
        step("b", "$current.amuont"),
        input={"n": "number", "amount": "number"},
    )


def test_previous_is_the_answer_of_the_call_before() -> None:
    calls = [call(output=SCORED), call("$previous.scor")]
    told("`$previous` has no `scor`", {"name": "a", "agent_calls": calls})
    assert not problems({"name": "a", "strategy": "parallel", "agent_calls": calls})


def test_result_is_the_answer_that_is_taken_back() -> None:
    undone = call(output=SCORED, compensation=call({"id": "$result.scor"}))
    told(
        "`$result` has no `scor`; did you mean `score`?",
        {"name": "a", "strategy": "saga", "agent_calls": [undone]},
    )
    fine = call(
        output=SCORED, compensation=call({"id": "$result.score", "text": "undo ${result.score} of $current"})
    )
    assert not problems({"name": "a", "strategy": "saga", "agent_calls": [fine]})


def test_a_map_goes_over_lists_and_sees_their_elements() -> None:
    given = {"list": "array", "amount": "number"}
    mapped = {"name": "m", "strategy": "map_reduce", "max": 3}
    told(
        "`over` is a list, and this is a number",
        {**step("m"), **mapped, "over": "$input.amount"},
        input=given,
    )
    assert not problems({**step("m", "$current.any"), **mapped, "over": "$input.list"}, input=given)
    scored = {"name": "a", "strategy": "parallel", "agent_calls": [call(output=SCORED), call(output=SCORED)]}
    told("`$current` has no `scor`", scored, {**step("m", "$current.scor"), **mapped})
    told(
        "`$current` is an array, which has no fields",
        {**step("m", "$current", "$current.x"), **mapped},
        input={"list": "array"},
    )


def test_a_wrong_list_of_a_map_is_told_once() -> None:
    mapped = {
        **step("m", "$current.any", "$current"),
        "strategy": "map_reduce",
        "max": 3,
        "over": "$input.lst",
    }
    told("`$input` has no `lst`; did you mean `list`?", mapped, input={"list": "array"})
    told(
        "`$current` has no `lst`; did you mean `list`?",
        {**mapped, "over": "$current.lst"},
        input={"list": "array"},
    )


def test_until_sees_the_answer_of_the_round() -> None:
    body = {"name": "l", "strategy": "loop", "max": 3, "agent_calls": [call(output=SCORED)]}
    told("`$current` has no `scor`", {**body, "until": "$current.scor > 0.5"})
    told("compares a number with a string", {**body, "until": "$current.score > 'high'"})
    assert not problems({**body, "until": "$current.score > 0.5"})


# -- documents -----------------------------------------------------------------------------------


def test_problems_have_the_line_and_column_of_the_reference(refused: Refused) -> None:
    found = refused(
        """
        name: loan
        input: {amount: number}
        steps:
          - name: check
            condition: $input.amount > 5 and $input.amuont == 1
            agent_calls:
              - function: work.py:same
                params:
                  text: "Dear ${input.nam}"
                  list: [1, $context.results.chek]
          - name: pay
            agent_calls:
              - function: work.py:same
                params: $context.results.check
        """
    )
    assert [(line, column, field) for line, column, field, _ in found] == [
        (5, 38, "steps[0].condition"),
        (9, 23, "steps[0].agent_calls[0].params.text"),
        (10, 21, "steps[0].agent_calls[0].params.list[1]"),
        (14, 17, "steps[1].agent_calls[0].params"),
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_nothing_is_told_of_the_examples(path: Path) -> None:
    if "steps" in yaml.safe_load(path.read_text()):
        assert not list(flow_problems(read_definition(path)))


def test_a_thousand_steps_are_checked_at_once() -> None:
    steps = [step("s0", **GATED)]
    for number in range(1, 1000):
        params = {"a": f"$context.results.s{number - 1}.x", "b": "Dear ${current.name}, $input.n"}
        steps.append(step(f"s{number}", params, **GATED))
    begin = time.process_time()
    assert not problems(*steps)
    assert time.process_time() - begin < 5, "0.3 s on a quiet machine"
