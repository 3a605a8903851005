"""The published JSON Schema is the one of this version, and tells good documents from bad ones as an editor would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from dalsegno.cli import main
from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.publishing import json_schema

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "workflow.schema.json"
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
CALL = {"function": "work.py:inc"}


@pytest.fixture(scope="module")
def schema() -> jsonschema.protocols.Validator:
    found = json_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_the_published_schema_is_current(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == PUBLISHED.read_text(), "dalsegno schema -o docs/workflow.schema.json"
    assert main(["schema", "-o", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_text() == printed
    assert main(["schema", "-o", str(tmp_path / "no" / "s.json")]) == 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_good(path: Path, schema: jsonschema.protocols.Validator) -> None:
    document = yaml.safe_load(path.read_text())
    if "steps" in document:
        schema.validate(document)


@pytest.mark.parametrize(
    "step",
    [
        {"agent_calls": [CALL]},
        {
            "agent_calls": [{**CALL, "timeout": 3, "fallback": {"value": None}}],
            "on_error": {"goto": "a", "max": 2},
        },
        {"agent_calls": [{**CALL, "timeout": {"attempt": 3}, "fallback": CALL, "compensation": CALL}]},
        {"agent_calls": [{**CALL, "fallback": {**CALL, "retry": None, "fallback": CALL}}]},
        {"strategy": "loop", "max": 2, "steps": [{"name": "b", "agent_calls": [CALL]}]},
        {"strategy": "subworkflow", "workflow": "b.yaml", "params": {"a": [1, None, {}]}},
    ],
)
def test_what_can_be_said_is_good(step: dict[str, Any], schema: jsonschema.protocols.Validator) -> None:
    schema.validate({"name": "a", "version": 1.1, "steps": [{"name": "a", **step}]})


@pytest.mark.parametrize(
    "step",
    [
        {"agent_cals": [CALL]},
        {"agent_calls": [{}]},
        {"agent_calls": [{**CALL, "skill": "s"}]},
        {"agent_calls": [{**CALL, "timeout": "3"}]},
        {"agent_calls": [{**CALL, "retry": {"max_attempts": 0}}]},
        {"agent_calls": [{**CALL, "fallback": {**CALL, "retry": {}}}]},
        {"agent_calls": [CALL], "on_error": "skipp"},
        {"agent_calls": [CALL], "strategy": "sagaa"},
        {"agent_calls": [CALL], "strategy": "loop"},
        {"agent_calls": [CALL], "name": "not a name"},
        {"strategy": "subworkflow"},
    ],
)
def test_what_cannot_be_said_is_bad(step: dict[str, Any], schema: jsonschema.protocols.Validator) -> None:
    document = {"name": "a", "steps": [{"name": "a", **step}]}
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(document)


def test_every_field_says_what_it_is() -> None:
    schema = json_schema()
    silent = [
        f"{name}.{field}"
        for name, part in {"": schema, **schema["$defs"]}.items()
        for field, said in part.get("properties", {}).items()
        if not said.get("description")
    ]
    assert silent == []
    assert '"title"' not in json.dumps(schema["$defs"])


def is_read(document: Any) -> bool:
    """Whether the loader takes it."""
    try:
        WorkflowDefinition.model_validate(document).workflow()
    except (DocumentInvalid, ValidationError):
        return False
    return True


_ABS = {"function": "builtins:abs"}
_CALL: dict[str, Any] = {**_ABS, "name": "c", "params": {"a": 1}, "compensation": _ABS}
_NULLED: dict[str, tuple[dict[str, Any], tuple[str | int, ...]]] = {
    "": ({"name": "a", "steps": [{"name": "a", "agent_calls": [_ABS]}]}, ()),
    "Step": ({"name": "a", "steps": [{"name": "a", "agent_calls": [_ABS]}]}, ("steps", 0)),
    "AgentCall": (
        {"name": "a", "steps": [{"name": "a", "strategy": "saga", "agent_calls": [_CALL]}]},
        ("steps", 0, "agent_calls", 0),
    ),
    "Compensation": (
        {"name": "a", "steps": [{"name": "a", "strategy": "saga", "agent_calls": [_CALL]}]},
        ("steps", 0, "agent_calls", 0, "compensation"),
    ),
    "Defaults": (
        {"name": "a", "defaults": {}, "steps": [{"name": "a", "agent_calls": [_ABS]}]},
        ("defaults",),
    ),
    "InputKey": (
        {"name": "a", "input": {"k": {}}, "steps": [{"name": "a", "agent_calls": [_ABS]}]},
        ("input", "k"),
    ),
}


@pytest.mark.parametrize("part", _NULLED)
def test_null_is_taken_where_a_document_may_say_nothing_and_nowhere_else(
    part: str, schema: jsonschema.protocols.Validator
) -> None:
    said: Any = schema.schema
    fields = (said if part == "" else said["$defs"][part])["properties"]
    document, place = _NULLED[part]
    assert is_read(document)
    for field in fields:
        tried = json.loads(json.dumps(document))
        at = tried
        for key in place:
            at = at[key]
        at[field] = None
        assert schema.is_valid(tried) == is_read(tried), f"{part}.{field}: null"


@pytest.mark.parametrize(
    "step",
    [
        {"strategy": "loop", "max": None, "steps": [{"name": "b", "agent_calls": [_ABS]}]},
        {"strategy": "subworkflow", "workflow": None},
        {"agent_calls": [{"function": None}]},
    ],
)
def test_what_is_needed_is_not_null(step: dict[str, Any], schema: jsonschema.protocols.Validator) -> None:
    document = {"name": "a", "steps": [{"name": "a", **step}]}
    assert not schema.is_valid(document)
    assert not is_read(document)
