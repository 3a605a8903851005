"""A field that is wrong is told by its own place, in the words of a document and not of Python."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.reading import understood
from tests.graphs.documents.conftest import call


def told(
    call_says: dict[str, Any] | None = None, step: dict[str, Any] | None = None, **top: Any
) -> list[str]:
    """The problems of a document with one call, without the way to it."""
    made = {"name": "s", "agent_calls": [call("inc", **(call_says or {}))], **(step or {})}
    _, problems, _ = understood({"name": "made", "steps": [made], **top})
    return [str(problem).removeprefix("steps[0].").removeprefix("agent_calls[0].") for problem in problems]


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({"fallback": {"value": 1, "skill": "x"}}, "fallback.skill: There is no field `skill` here. There are"),
        ({"fallback": {"skil": "x"}}, "fallback.skil: There is no field `skil` here; did you mean `skill`?"),
        ({"timeout": {"atempt": 3}}, "timeout.atempt: There is no field `atempt` here; did you mean `attempt`?"),
        ({"timeout": {}}, "timeout: Say `attempt` or `total`, in seconds."),
        ({"timeout": "30s"}, "timeout: A number is needed. This is a text, `30s`."),
        ({"calls": "3"}, "calls: A whole number is needed. This is a text, `3`."),
        ({"rate_limit": {}}, "rate_limit: Say `calls` (with `per` seconds), `concurrency`, or both."),
        (
            {"rate_limit": {"concurrency": 1, "per": 3}},
            "rate_limit: `per`: say `calls` too, of which there are so many `per` seconds.",
        ),
        ({"retry": {"max_elapsed": -1}}, "retry.max_elapsed: It should be greater than or equal to 0. This is `-1`."),
    ],
)  # fmt: skip
def test_a_field_of_a_call(says: dict[str, Any], said: str) -> None:
    (problem,) = told(says)
    assert problem.startswith(said)


def test_what_is_wrong_beside_goto_is_told_at_its_own_place() -> None:
    (said,) = told(step={"on_error": {"goto": "s", "max": 0}})
    assert said == "on_error.max: It should be greater than or equal to 1. This is `0`."


@pytest.mark.parametrize("name", ["(short)", "[key]", "(value)", ""])
def test_a_field_of_any_name_is_told_by_its_name(name: str) -> None:
    (said,) = told(**{name: 1})
    assert f"There is no field `{name}` here" in said


@pytest.mark.parametrize("given", [None, ["string"], 5])
def test_a_key_of_the_input_has_a_type(given: Any) -> None:
    (said,) = told(input={"n": given})
    assert said.startswith("input.n: A type is `string`, `integer`")
    assert "Or a mapping with `type`." in said


def test_one_host_that_is_allowed_stands_in_a_list() -> None:
    assert told(allow_private="10.0.0.1") == [
        "allow_private: `true`, `false`, or a list of hosts and networks is needed. This is `10.0.0.1`."
    ]


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({"agent_url": "nope", "method": "m"}, "`nope` is no address of an agent"),
        ({"agent_url": "$input.url", "method": "m"}, "no reference is read in it"),
        ({"agent_url": "ftp://me:word@x.org", "method": "m"}, "`…` is no address of an agent"),
        ({"function": "builtins:len", "output": {"$ref": "#/$defs/a"}}, "`#/$defs/a` leads to nothing in it"),
        (
            {"function": "builtins:len", "output": {"anyOf": [{"$ref": "#/anyOf/²"}]}},
            "`#/anyOf/²` leads to nothing",
        ),
    ],
)
def test_what_leads_nowhere_is_told_before_the_run(says: dict[str, Any], said: str) -> None:
    made = {"name": "made", "steps": [{"name": "s", "agent_calls": [says]}]}
    with pytest.raises(DocumentInvalid) as error:
        WorkflowDefinition.model_validate(made).workflow()
    assert said in str(error.value)
    assert "word" not in str(error.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"type": "number"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a/b c": {"type": "number"}}, "$ref": "#/$defs/a~1b%20c"},
        {"$defs": {"n": {"$anchor": "a", "type": "number"}}, "$ref": "#a"},
        {"anyOf": [{"type": "number"}, {"type": "array", "items": {"$ref": "#/anyOf/0"}}]},
    ],
)
def test_what_leads_to_a_part_of_the_schema_is_right(schema: dict[str, Any]) -> None:
    calls = [{"function": "builtins:abs", "params": "$input.n", "output": schema}]
    made = {"name": "made", "input": {"n": "number"}, "steps": [{"name": "s", "agent_calls": calls}]}
    flow = WorkflowDefinition.model_validate(made).workflow()
    assert flow.compile().invoke({"n": -1})["output"] == 1


@pytest.mark.parametrize(
    ("headers", "field", "said"),
    [
        (
            {"Authorization": "Bearer abc"},
            "headers.Authorization",
            "A credential does not stand in a document.",
        ),
        ({"X-Tenant": "$input.tenant"}, "headers.X-Tenant", "No reference is read in a header"),
        ({"Content-Type": "text/plain"}, "headers.Content-Type", "This is no header that can be given."),
        ({"X-A": "a\nb"}, "headers.X-A", "Its value is a text of one line"),
        ({"X-A": {"env": "A", "prefx": "b"}}, "headers.X-A.prefx", "did you mean `prefix`?"),
        ({"X-A": {"env": "A-B"}}, "headers.X-A.env", "that of a variable letters, digits and `_`."),
        ({"X A": "b"}, 'headers["X A"]', "The name of a header is letters, digits and dashes"),
    ],
)
@pytest.mark.parametrize("where", ["defaults", "steps[0].agent_calls[0]"])
def test_a_header_that_cannot_be_sent_is_told(
    headers: dict[str, Any], field: str, said: str, where: str
) -> None:
    asks: dict[str, Any] = {"agent_url": "https://x.org/", "method": "m", "params": {}}
    steps = [{"name": "s", "agent_calls": [asks if where == "defaults" else {**asks, "headers": headers}]}]
    data = {
        "name": "a",
        "steps": steps,
        **({"defaults": {"headers": headers}} if where == "defaults" else {}),
    }
    definition, problems, _ = understood(data)
    if definition is not None and not problems:
        with pytest.raises(DocumentInvalid) as error:
            definition.workflow()
        problems = list(error.value.problems)
    (problem,) = problems
    assert (problem.field, said in problem.message) == (f"{where}.{field}", True), problem


def test_headers_are_for_agents() -> None:
    made = {"name": "a", "steps": [{"name": "s", "agent_calls": [call("inc", headers={"X-A": "b"})]}]}
    with pytest.raises(DocumentInvalid, match="`headers` is for agents, and this is a function"):
        WorkflowDefinition.model_validate(made).workflow()
