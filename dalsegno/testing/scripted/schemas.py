"""Whether a value fits a JSON schema, and where it does not.

Covers what LangChain makes of Python signatures and pydantic models: types, enum, const, properties, required,
additionalProperties, items, lengths, limits, pattern, anyOf, oneOf, allOf, and references within the schema. Other
keywords, as `format`, are not checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.errors import did_you_mean
from dalsegno.graphs.documents.kinds import same
from dalsegno.nodes.matching import matches
from dalsegno.nodes.tooling import is_composed

_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
}
_LIMITS: dict[str, tuple[str, Callable[[Any], bool], Callable[[Any, Any], bool]]] = {
    "minimum": ("at least {}", lambda v: _is_number(v), lambda v, limit: v >= limit),
    "maximum": ("at most {}", lambda v: _is_number(v), lambda v, limit: v <= limit),
    "exclusiveMinimum": ("more than {}", lambda v: _is_number(v), lambda v, limit: v > limit),
    "exclusiveMaximum": ("less than {}", lambda v: _is_number(v), lambda v, limit: v < limit),
    "minLength": ("at least {} characters", lambda v: isinstance(v, str), lambda v, limit: len(v) >= limit),
    "maxLength": ("at most {} characters", lambda v: isinstance(v, str), lambda v, limit: len(v) <= limit),
    "pattern": ("a text that matches {}", lambda v: isinstance(v, str), lambda v, p: matches(p, v)),
    "minItems": ("at least {} items", lambda v: isinstance(v, list), lambda v, limit: len(v) >= limit),
    "maxItems": ("at most {} items", lambda v: isinstance(v, list), lambda v, limit: len(v) <= limit),
}


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Misfit:
    """Where a value does not fit: `path` as ``items[2].name`` ("" for the value itself)."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        at = f"argument `{self.path}`" if self.path else "the whole"
        return f"{at} is {self.found}, expected {self.expected}"


def misfit(value: Any, schema: Mapping[str, Any]) -> Misfit | None:
    """The first place where `value` does not fit `schema`, or None.

    A property that an object's schema does not name is a misfit unless `additionalProperties` allows it: JSON schema
    would let it pass, and the tool would never see it.
    """
    return next(_misfits(value, schema, "", schema), None)


def _misfits(value: Any, schema: Any, path: str, root: Mapping[str, Any]) -> Iterator[Misfit]:
    if schema is False:
        yield Misfit(path, "nothing", _json(value))
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield from _misfits(value, _referred(schema["$ref"], root), path, root)
    for part in schema.get("allOf", ()):
        part = {"additionalProperties": True, **part} if isinstance(part, Mapping) else part
        yield from _misfits(value, part, path, root)
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if options and all(next(_misfits(value, option, path, root), None) for option in options):
            yield _nearest(value, options, path, root)
    types = schema.get("type")
    types = [types] if isinstance(types, str) else types or []
    wrong = types and not any(_TYPES[name](value) for name in types if name in _TYPES)
    if wrong or ("enum" in schema and not any(same(value, one) for one in schema["enum"])):
        yield Misfit(path, _described(schema, root), _json(value))
    elif "const" in schema and not same(value, schema["const"]):
        yield Misfit(path, _json(schema["const"]), _json(value))
    else:
        for key, (text, applies, fits) in _LIMITS.items():
            if key in schema and applies(value) and not fits(value, schema[key]):
                yield Misfit(path, text.format(schema[key]), _json(value))
        if isinstance(value, Mapping):
            yield from _in_object(value, schema, path, root)
        elif isinstance(value, list | tuple):
            yield from _in_array(value, schema, path, root)


def _in_object(
    value: Mapping[str, Any], schema: Mapping[str, Any], path: str, root: Mapping[str, Any]
) -> Iterator[Misfit]:
    prefix = f"{path}." if path else ""
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Misfit(f"{prefix}{name}", _described(properties.get(name, {}), root), "missing")
    more = schema.get("additionalProperties", "properties" not in schema or is_composed(schema))
    for name, inner in value.items():
        if name in properties:
            yield from _misfits(inner, properties[name], f"{prefix}{name}", root)
        elif more is False:
            known = ", ".join(properties) or "no arguments"
            yield Misfit(f"{prefix}{name}", f"one of: {known}{did_you_mean(name, properties)}", "unknown")
        else:
            yield from _misfits(inner, more, f"{prefix}{name}", root)


def _in_array(value: Any, schema: Mapping[str, Any], path: str, root: Mapping[str, Any]) -> Iterator[Misfit]:
    first = schema.get("prefixItems", ())
    for index, inner in enumerate(value):
        item = first[index] if index < len(first) else schema.get("items", {})
        yield from _misfits(inner, item, f"{path}[{index}]", root)


def _nearest(value: Any, options: Any, path: str, root: Mapping[str, Any]) -> Misfit:
    """Of an anyOf: the misfit inside the one option that is an object or array too, else what they all expect."""
    for option in options:
        first = next(_misfits(value, option, path, root))
        if isinstance(value, Mapping | list | tuple) and first.path != path:
            return first
    return Misfit(path, " or ".join(_described(option, root) for option in options), _json(value))


def _described(schema: Any, root: Mapping[str, Any]) -> str:
    """What a schema expects, in a few words."""
    if not isinstance(schema, Mapping):
        return "something else"
    if "$ref" in schema:
        return _described(_referred(schema["$ref"], root), root)
    if "const" in schema:
        return _json(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(_json, schema['enum']))}"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(_described(option, root) for option in options)
    types = schema.get("type")
    return " or ".join([types] if isinstance(types, str) else types) if types else "a value"


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    """What ``#/$defs/Name`` leads to; anything fits where it leads nowhere."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = (
                found.get(step.replace("~1", "/").replace("~0", "~"), {})
                if isinstance(found, Mapping)
                else {}
            )
    return found


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=lambda other: f"<{type(other).__name__}>")
    return text if len(text) <= 60 else f"{text[:59]}…"
