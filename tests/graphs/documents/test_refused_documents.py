"""Everything that is wrong with a document is told at once, each with its line, its column and its field."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from dalsegno.errors import DocumentInvalid, TargetNotLoaded
from dalsegno.graphs.definition import WorkflowDefinition, read_definition
from tests.graphs.documents.conftest import Refused, Write, call

Problem = tuple[int, int, str, str]


def only(problems: list[Problem]) -> Problem:
    (problem,) = problems
    return problem


def test_all_problems_are_told_at_once_in_the_order_of_their_places(refused: Refused) -> None:
    found = refused(
        """
        name: loan
        versio: "1"
        input: {amount: numbr, results: string}
        steps:
          - name: check
            agent_calls:
              - functin: work.py:inc
                timeout: soon
                params: $inpt.amount
          - name: check
            strategy: loop
            agent_calls:
              - function: work.py:inc
                retry: {max_attempts: 0}
          - name: pay
            strategy: sagaa
            condition: "$input.x >"
            agent_calls: [{function: "work.py:inc"}]
            on_error: {goto: chek}
        """
    )
    assert [(line, column, field) for line, column, field, _ in found] == [
        (2, 1, "versio"),
        (3, 17, "input.amount"),
        (3, 24, "input.results"),
        (7, 9, "steps[0].agent_calls[0].functin"),
        (8, 18, "steps[0].agent_calls[0].timeout"),
        (9, 17, "steps[0].agent_calls[0].params"),
        (10, 5, "steps[1]"),
        (10, 11, "steps[1].name"),
        (14, 31, "steps[1].agent_calls[0].retry.max_attempts"),
        (16, 15, "steps[2].strategy"),
        (17, 27, "steps[2].condition"),
        (19, 22, "steps[2].on_error.goto"),
    ]
    said = " ".join(message for *_, message in found)
    for hint in ("`version`?", "`function`?", "`$input`?", "`saga`?", "`check`?"):
        assert f"did you mean {hint}" in said


@pytest.mark.parametrize("strategy", ["lop", "parallel", "{x: 1}", "null"])
def test_steps_in_a_step_of_a_wrong_strategy_are_looked_at_too(refused: Refused, strategy: str) -> None:
    found = refused(
        f"""
        name: rounds
        steps:
          - name: outer
            strategy: {strategy}
            max: 3
            until: $current > 3
            steps:
              - {{name: inner, agent_calls: [{{function: "builtins:abs", params: $inputt}}]}}
        """
    )
    fields = [field for _, _, field, _ in found]
    assert "steps[0].steps" in fields
    assert "steps[0].steps[0].agent_calls[0].params" in fields


def test_an_error_is_picklable_and_has_its_first_place(write: Write) -> None:
    write("name: a\nsteps: []\n")
    with pytest.raises(DocumentInvalid) as error:
        read_definition("flow.yaml")
    again = pickle.loads(pickle.dumps(error.value))
    assert (again.file, again.line, again.column, again.field) == ("flow.yaml", 2, 8, "steps")
    assert str(again) == str(error.value) == "flow.yaml:2:8: steps: It is empty, and at least one is needed."


STEP = """
name: one
input: {n: number}
registry: agents.yaml
steps:
  - STEP
"""


@pytest.mark.parametrize(
    ("step", "field", "said"),
    [
        ("agent_calls: []", "steps[0]", "needs `agent_calls`"),
        (
            "agent_calls: [{skill: s, agent_url: 'http://x.org/'}]",
            "steps[0].agent_calls[0]",
            "Who is called?",
        ),
        (
            "agent_calls: [{agent_url: 'http://x.org/'}]",
            "steps[0].agent_calls[0].agent_url",
            "Which method",
        ),
        (
            "agent_calls: [{function: work.py:inc, method: m}]",
            "steps[0].agent_calls[0].method",
            "is for agents",
        ),
        ("agent_calls: [{skill: s, calls: 0}]", "steps[0].agent_calls[0].calls", "is for functions"),
        (
            "agent_calls: [{agent_url: 'http://x.org/', method: m, prompt: p}]",
            "steps[0].agent_calls[0].prompt",
            "a prompt is for",
        ),
        (
            "agent_calls: [{function: work.py:inck}]",
            "steps[0].agent_calls[0].function",
            "did you mean `inc`?",
        ),
        (
            "agent_calls: [{function: wrok.py:inc}]",
            "steps[0].agent_calls[0].function",
            "did you mean `work.py`?",
        ),
        (
            "agent_calls: [{function: work.py:number}]",
            "steps[0].agent_calls[0].function",
            "not a function",
        ),
        ("agent_calls: [{function: os.nothing:x}]", "steps[0].agent_calls[0].function", "no module"),
        (
            "agent_calls: [{skill: s, protocol: a2a, method: m, prompt: p}]",
            "steps[0].agent_calls[0].method",
            "no methods",
        ),
        (
            "agent_calls: [{skill: s, protocol: a2a}]",
            "steps[0].agent_calls[0]",
            "What is the agent asked?",
        ),
        ("agent_calls: [{skill: s, params: 7}]", "steps[0].agent_calls[0].params", "a mapping or a list"),
        (
            "agent_calls: [{skill: s, output: {type: objekt}}]",
            "steps[0].agent_calls[0].output",
            "no JSON Schema",
        ),
        (
            "agent_calls: [{skill: s, output: {$ref: 'http://x.org/s.json'}}]",
            "steps[0].agent_calls[0].output",
            "nothing is fetched",
        ),
        (
            "agent_calls: [{skill: s, timeout: {attempt: 9, total: 3}}]",
            "steps[0].agent_calls[0].timeout",
            "below",
        ),
        (
            "agent_calls: [{skill: s, fallback: {skill: t, retry: {max_attempts: 3}}}]",
            "steps[0].agent_calls[0].fallback.retry",
            "A fallback is asked once, in the time of the call that it answers for",
        ),
        (
            "agent_calls: [{skill: s, fallback: {skill: t, fallback: {skill: u, timeout: 3}}}]",
            "steps[0].agent_calls[0].fallback.fallback.timeout",
            "`timeout` stands beside that one",
        ),
        ("agent_calls: [{skill: s, rate_limit: {}}]", "steps[0].agent_calls[0].rate_limit", "concurrency"),
        (
            "agent_calls: [{skill: s, when: 'true'}]",
            "steps[0].agent_calls[0].when",
            "strategy: conditional",
        ),
        (
            "agent_calls: [{skill: s, name: begin}], strategy: saga",
            "steps[0].agent_calls[0].name",
            "choose another",
        ),
        (
            "agent_calls: [{skill: s, compensation: {skill: t}}]",
            "steps[0].agent_calls[0].compensation",
            "never be called",
        ),
        (
            "{strategy: map_reduce, max: 3, agent_calls: [{skill: s, compensation: {skill: t}}]}",
            "steps[0].agent_calls[0].compensation",
            "several times",
        ),
        ("{strategy: map_reduce, agent_calls: [{skill: s}]}", "steps[0]", "needs a bound"),
        ("{strategy: loop, agent_calls: [{skill: s}]}", "steps[0]", "needs a bound"),
        ("{strategy: loop, max: 2}", "steps[0]", "one of them"),
        (
            "{strategy: loop, max: 0, agent_calls: [{skill: s}]}",
            "steps[0].max",
            "greater than or equal to 1",
        ),
        (
            "{strategy: conditional, agent_calls: [{skill: s}]}",
            "steps[0].agent_calls",
            "needs a call with `when`",
        ),
        (
            "{strategy: conditional, agent_calls: [{skill: s}, {skill: t, when: 'true'}]}",
            "steps[0].agent_calls[0]",
            "stands last",
        ),
        ("{strategy: subworkflow}", "steps[0]", "Which workflow?"),
        ("{strategy: subworkflow, workflow: no.yaml}", "steps[0].workflow", "does not exist"),
        ("{agent_calls: [{skill: s}], until: 'true'}", "steps[0].until", "is a field of `loop`"),
        ("{agent_calls: [{skill: s}], on_error: skipp}", "steps[0].on_error", "did you mean `skip`?"),
        ("{agent_calls: [{skill: s}], on_error: {goto: a}}", "steps[0].on_error.goto", "needs a bound"),
        ("{agent_calls: [{skill: s}], on_error: {goto: b}}", "steps[0].on_error.goto", "no step `b`"),
        ("{agent_calls: [{skill: s}], name: 1x}", "steps[0].name", "is made of the letters a to z"),
        ("{agent_calls: {skill: s}}", "steps[0].agent_calls", "A list is needed"),
    ],
)
def test_what_a_step_cannot_mean_is_told_at_its_line(
    refused: Refused, step: str, field: str, said: str
) -> None:
    inner = step if step.startswith("{") else "{" + step + "}"
    named = inner if "name: 1x" in inner else "{name: a, " + inner[1:]
    problems = [each for each in refused(STEP.replace("STEP", named)) if each[2] == field]
    assert problems, f"nothing is told of {field}"
    assert any(said in message for *_, message in problems), problems
    assert {each[0] for each in problems} == {5}


def test_what_stands_behind_something_wrong_is_pointed_at_all_the_same(refused: Refused) -> None:
    found = refused(
        """
        steps:
          - strategy: loop
          - just a text
          - name: c
            agent_calls:
              - work.py:inc
              - {function: "work.py:inc", when: "true"}
            on_error: {max: 3}
        """
    )
    assert [(line, field) for line, _, field, _ in found] == [
        (1, ""),
        (2, "steps[0]"),
        (2, "steps[0]"),
        (2, "steps[0]"),
        (3, "steps[1]"),
        (6, "steps[2].agent_calls[0]"),
        (7, "steps[2].agent_calls[1].when"),
        (8, "steps[2].on_error"),
    ]


def test_a_number_where_a_text_is_needed_is_to_be_quoted(refused: Refused) -> None:
    _, _, field, said = only(
        refused("name: a\ndescription: 1.0\nsteps: [{name: s, agent_calls: [{function: work.py:inc}]}]")
    )
    assert field == "description"
    assert 'write it in quotes, "1.0"' in said


def test_a_skill_that_nobody_in_the_registry_has_is_told(refused: Refused, write: Write) -> None:
    write("agents: [{name: x, url: 'https://x.org/', skills: [check_credit]}]", "agents.yaml")
    calls = "[{skill: check_credits}, {skill: check_credit}]"
    problems = refused(f"name: a\nregistry: agents.yaml\nsteps: [{{name: s, agent_calls: {calls}}}]")
    line, _, field, said = only(problems)
    assert (line, field) == (3, "steps[0].agent_calls[0].skill")
    assert "did you mean `check_credit`?" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "There is no file `agents.yaml`; did you mean `agent.yaml`?"),
        ("agents: []\nsteps: [", "`agents.yaml` is no registry of agents: it is neither YAML nor JSON"),
        ("- {name: x, skills: [a]}", "`agents.yaml` is no registry of agents: agent 1 has no `url`."),
        ("name: x", "`agents.yaml` is no registry of agents: it has no list `agents`."),
    ],
)
def test_a_registry_that_is_not_there_or_is_none_is_told(
    refused: Refused, write: Write, text: str | None, says: str
) -> None:
    write("agents: []", "agent.yaml")
    if text is not None:
        write(text, "agents.yaml")
    problems = refused("name: a\nregistry: agents.yaml\nsteps: [{name: s, agent_calls: [{skill: s}]}]")
    line, column, field, said = only(problems)
    assert (line, column, field) == (2, 11, "registry")
    assert says in said


def test_a_document_that_contains_itself_is_refused(refused: Refused, write: Write) -> None:
    write("name: b\nsteps: [{name: s, strategy: subworkflow, workflow: flow.yaml}]", "b.yaml")
    text = "name: a\nsteps:\n  - {name: s, strategy: subworkflow, workflow: b.yaml}\n"
    write(text)
    with pytest.raises(DocumentInvalid, match="contains it: nothing bounds the depth") as error:
        read_definition("flow.yaml").workflow()
    assert error.value.field == "steps[0].workflow"


def test_params_that_a_subworkflow_does_not_take_are_told(write: Write) -> None:
    write(
        "name: b\nsteps: [{name: s, agent_calls: [{function: 'work.py:inc', params: $input.amount}]}]",
        "b.yaml",
    )
    write(
        "name: a\nsteps:\n  - name: s\n    strategy: subworkflow\n    workflow: b.yaml\n    params: {amuont: 1}\n"
    )
    with pytest.raises(DocumentInvalid, match="did you mean `amount`") as error:
        read_definition("flow.yaml").workflow()
    assert (error.value.line, error.value.field) == (6, "steps[0].params.amuont")


def test_going_back_over_what_can_be_taken_back_is_refused(refused: Refused) -> None:
    found = refused(
        """
        name: a
        input: {n: number}
        steps:
          - name: x
            agent_calls: [{function: "work.py:inc", params: 1, compensation: {function: "work.py:inc"}}]
          - name: y
            agent_calls: [{function: "work.py:inc"}]
            on_error: {goto: x, max: 3}
          - name: z
            agent_calls: [{function: "work.py:inc"}]
            on_error: compensate
        """
    )
    assert only(found)[:3] == (8, 22, "steps[1].on_error.goto")


def test_a_key_in_json_is_pointed_at_as_in_yaml(refused: Refused) -> None:
    text = json.dumps({"name": "a", "steps": [{"name": "s", "agent_cals": []}]}, indent=1)
    line, column, field, _ = refused(text, "flow.json")[0]
    assert (line, column, field) == (6, 4, "steps[0].agent_cals")


def test_a_definition_that_was_made_in_python_is_looked_at_as_well(folder: Path) -> None:
    made: dict[str, Any] = {
        "name": "a",
        "steps": [{"name": "s", "strategy": "loop", "agent_calls": [call("inc")]}],
    }
    with pytest.raises(DocumentInvalid, match=r"steps\[0\]: A loop needs a bound") as error:
        WorkflowDefinition.model_validate(made).workflow()
    assert error.value.line is None


def test_a_file_that_is_not_there_is_told_with_one_that_is(write: Write) -> None:
    write("name: a")
    from dalsegno.graphs.loading import load_target

    with pytest.raises(TargetNotLoaded, match=r"did you mean `flow\.yaml`"):
        load_target("flw.yaml")


def nested(write: Write, *, deep: int, uses: int) -> None:
    """Documents in each other, each used so often in the one around it."""
    for level in range(deep):
        into = {"strategy": "subworkflow", "workflow": f"d{level + 1}.yaml", "params": {"n": "$input.n"}}
        steps = [{"name": f"s{use}", **into} for use in range(uses)]
        write(json.dumps({"name": f"d{level}", "input": {"n": "number"}, "steps": steps}), f"d{level}.yaml")
    last = {"name": "s", "agent_calls": [call("inc", "$input.n")]}
    write(json.dumps({"name": "last", "input": {"n": "number"}, "steps": [last]}), f"d{deep}.yaml")


def test_documents_that_lie_very_deep_in_each_other_are_refused(write: Write) -> None:
    nested(write, deep=400, uses=1)
    with pytest.raises(
        DocumentInvalid, match=r"`d41\.yaml` lies more than 40 documents deep in others"
    ) as error:
        read_definition("d0.yaml").workflow()
    assert (error.value.file, error.value.field) == ("d40.yaml", "steps[0].workflow")


def test_a_document_that_is_a_part_of_many_is_built_once(write: Write) -> None:
    nested(write, deep=16, uses=2)  # the last one is there 65,536 times
    flow = read_definition("d0.yaml").workflow()
    one, other = (flow.nodes[name].action.nodes["d1"].action for name in ("s0", "s1"))
    assert one is other


def test_what_is_wrong_in_a_document_that_is_used_twice_is_told_once(write: Write) -> None:
    write("name: b\nsteps: [{name: s}]", "b.yaml")
    step = "{{name: {}, strategy: subworkflow, workflow: b.yaml}}"
    write(f"name: a\nsteps: [{step.format('one')}, {step.format('other')}]")
    with pytest.raises(DocumentInvalid) as error:
        read_definition("flow.yaml").workflow()
    assert [str(problem) for problem in error.value.problems] == [
        "b.yaml:2:9: steps[0]: A step needs `agent_calls`."
    ]
