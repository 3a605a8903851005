"""What is known of a value before the run, as a JSON Schema: of the input, of answers, of the results of steps.

Only what is sure counts. A field that a schema does not name may be there all the same, unless the schema says that
there are no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dalsegno.errors import did_you_mean
from dalsegno.graphs.definition import CallOfAgent, Step, WorkflowDefinition
from dalsegno.graphs.documents.kinds import Kind, in_words, kind_of
from dalsegno.graphs.documents.problems import FieldPath, field_text

Schema = Mapping[str, Any]

UNKNOWN: Schema = {}

_KINDS: dict[str, Kind] = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
    "array": "array",
    "null": "null",
}
_MOST_WAYS = 8


class Wrong(Exception):
    """A path that cannot lead anywhere: it says why."""


def any_of(schemas: list[Schema]) -> Schema:
    """One of several; nothing is known where nothing is known of one of them, or of very many."""
    known = [dict(schema) for schema in schemas]
    unlike = [schema for number, schema in enumerate(known) if schema not in known[:number]]
    if len(unlike) == 1:
        return unlike[0]
    if not unlike or len(unlike) > _MOST_WAYS or UNKNOWN in unlike:
        return UNKNOWN
    return {"anyOf": unlike}


def kinds_of(schema: Any) -> frozenset[Kind] | None:
    """The kinds that a value can be of; None where that is not known."""
    if not isinstance(schema, Mapping):
        return None
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        known = all(isinstance(name, str) and name in _KINDS for name in names)
        return frozenset(_KINDS[name] for name in names) if known else None
    if "const" in schema:
        return frozenset({kind_of(schema["const"])})
    if isinstance(schema.get("enum"), list):
        return frozenset(kind_of(value) for value in schema["enum"])
    if isinstance(schema.get("anyOf"), list):
        each = [kinds_of(one) for one in schema["anyOf"]]
        return None if None in each else frozenset().union(*(kinds for kinds in each if kinds is not None))
    return None


def kind_in(schema: Schema) -> Kind | None:
    """The one kind that a value is of, if it is not null; None where that is not known."""
    kinds = kinds_of(schema)
    kinds = kinds - {"null"} if kinds is not None else None
    return next(iter(kinds)) if kinds is not None and len(kinds) == 1 else None


def followed(schema: Schema, path: FieldPath, way: str) -> Schema:
    """What is known of what a path leads to, from a value at `way`.

    Raises
    ------
    Wrong
        It leads nowhere, whatever the value is.
    """
    here: Any = schema
    for place, part in enumerate(path):
        here = _part(here, part, f"{way}{field_text(('x', *path[:place]))[1:]}")
    return here if isinstance(here, Mapping) else UNKNOWN


def _part(schema: Any, part: str | int, way: str) -> Any:
    if not isinstance(schema, Mapping) or "$ref" in schema:
        return UNKNOWN
    if isinstance(schema.get("anyOf"), list) and "type" not in schema:
        ways, wrong = [], None
        for one in schema["anyOf"]:
            try:
                ways.append(_part(one, part, way))
            except Wrong as error:
                wrong = error
        if not ways and wrong is not None:
            raise wrong
        return any_of([one if isinstance(one, Mapping) else UNKNOWN for one in ways])
    kinds = kinds_of(schema)
    wanted: Kind = "array" if isinstance(part, int) else "object"
    if kinds is not None and wanted not in kinds:
        what = " or ".join(in_words(kind) for kind in sorted(kinds))
        list_hint = (
            " An element of a list is written `[0]`." if isinstance(part, str) and "array" in kinds else ""
        )
        raise Wrong(
            f"`{way}` is {what}, which has no {'elements' if wanted == 'array' else 'fields'}.{list_hint}"
        )
    return _field(schema, part, way) if isinstance(part, str) else _element(schema, part, way)


def _field(schema: Schema, name: str, way: str) -> Any:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    if name in properties:
        return properties[name]
    if schema.get("additionalProperties") is False and "patternProperties" not in schema and kinds_of(schema):
        hint = did_you_mean(name, properties)
        there = ", ".join(f"`{known}`" for known in list(properties)[:10])
        raise Wrong(
            f"`{way}` has no `{name}`{hint or '.'}{f' It has {there}.' if there and not hint else ''}"
        )
    more = schema.get("additionalProperties")
    return more if isinstance(more, Mapping) and "patternProperties" not in schema else UNKNOWN


def _element(schema: Schema, number: int, way: str) -> Any:
    most = schema.get("maxItems")
    if isinstance(most, int) and not -most <= number < most:
        exactly = "" if schema.get("minItems") == most else "at most "
        raise Wrong(f"`{way}` has {exactly}{most} element{'' if most == 1 else 's'}, and no [{number}].")
    first = schema.get("prefixItems")
    if isinstance(first, list):
        at = (
            number
            if number >= 0
            else (len(first) + number if most == len(first) == schema.get("minItems") else None)
        )
        if at is not None and at < len(first):
            return first[at]
    items = schema.get("items")
    return (
        items
        if isinstance(items, Mapping)
        and (number < 0 or not first or number >= len(first))
        and not (first and number < 0)
        else UNKNOWN
    )


# -- of a document -------------------------------------------------------------------------------


def of_input(definition: WorkflowDefinition) -> Schema:
    """What is known of the input: the keys that are declared, and that there are no others."""
    if definition.input is None:
        return {"type": "object"}
    keys = definition.input_keys()
    properties: dict[str, Any] = {}
    for name, key in keys.items():
        word = key.type.removesuffix("?")
        nothing = key.has_default and key.default is None
        properties[name] = UNKNOWN if word == "any" else {"type": [word, "null"] if nothing else word}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def of_call(call: CallOfAgent) -> Schema:
    """What is known of a call's answer: its `output`, where nothing else can answer for it."""
    return cast(Schema, call.output) if call.output is not None and call.fallback is None else UNKNOWN


def of_step(step: Step) -> Schema:
    """What is known of a step's result."""
    calls = [of_call(call) for call in step.agent_calls]
    if step.strategy in ("parallel", "saga"):
        if step.strategy == "parallel" and step.on_failure == "skip":
            calls = [any_of([call, {"type": "null"}]) for call in calls]
        return {"type": "array", "prefixItems": calls, "minItems": len(calls), "maxItems": len(calls)}
    if step.strategy == "conditional":
        return any_of(calls)
    if step.strategy == "map_reduce" and len(calls) == 1:
        each = any_of([calls[0], {"type": "null"}]) if step.on_failure == "skip" else calls[0]
        return {"type": "array", "items": each, **({} if step.max is None else {"maxItems": step.max})}
    if step.strategy == "loop" and step.steps:
        last = step.steps[-1]
        skipped = last.condition is not None or last.on_error is not None or last.strategy == "conditional"
        return UNKNOWN if skipped else of_step(last)
    return calls[-1] if calls else UNKNOWN


def of_items(schema: Schema) -> Schema:
    """What is known of each element of a list."""
    items = schema.get("items")
    first = schema.get("prefixItems")
    if isinstance(first, list) and schema.get("maxItems") == len(first):
        return any_of([one if isinstance(one, Mapping) else UNKNOWN for one in first])
    return items if isinstance(items, Mapping) and not first else UNKNOWN
