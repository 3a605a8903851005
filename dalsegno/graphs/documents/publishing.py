"""The JSON Schema of workflow documents, by which editors complete and check them."""

from __future__ import annotations

from typing import Any

from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.policies import CallPolicies

_NEEDS = {"loop": ["max"], "map_reduce": ["max", "agent_calls"], "subworkflow": ["workflow"]}


def _given(*keys: str) -> dict[str, Any]:
    """Of an object that says these keys; null says nothing."""
    return {"required": list(keys), "properties": {key: {"not": {"type": "null"}} for key in keys}}


_WHO = [_given(way) for way in ("skill", "agent_url", "function")]


def json_schema() -> dict[str, Any]:
    """The schema of a document, in the dialect 2020-12."""
    schema = WorkflowDefinition.model_json_schema()
    _plainer(schema)
    defs = schema["$defs"]
    defs["Step"]["allOf"] = [
        {
            "if": {"properties": {"strategy": {"const": name}}, "required": ["strategy"]},
            "then": _given(*keys),
        }
        for name, keys in _NEEDS.items()
    ]
    for name in ("AgentCall", "CallOfAgent", "Compensation"):
        defs[name]["oneOf"] = _WHO
    for name in CallPolicies.model_fields:
        defs["CallOfAgent"]["properties"][name] = {"type": "null", "description": "A fallback has none."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A workflow of Dalsegno",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _plainer(schema: Any) -> None:
    """Without the titles that repeat the names of fields, and the defaults that say nothing."""
    if isinstance(schema, list):
        for each in schema:
            _plainer(each)
        return
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if schema.get("default", 0) is None:
        del schema["default"]
    for key, value in schema.items():
        if key == "properties" or key == "$defs":
            for each in value.values():
                _plainer(each)
        else:
            _plainer(value)
