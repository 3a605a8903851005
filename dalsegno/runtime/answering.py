"""Answers to the questions that wait: to which they belong, and whether they fit what was asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_jsonable_python

from dalsegno.errors import InputInvalid
from dalsegno.graphs.documents.kinds import same
from dalsegno.nodes.matching import matches
from dalsegno.nodes.secrets import Secrets

_LONGEST = 200
"""Characters of a question in an error."""

_ROUNDED = 1.0
"""A deadline is told in whole seconds, so the whole second has to be over."""

_ID = re.compile("[0-9a-f]{32}")
"""What LangGraph's ids of interrupts look like."""


def answers(
    interrupts: Sequence[Mapping[str, Any]], value: Any, secrets: Secrets | None = None
) -> dict[str, Any]:
    """What to resume with: a bare answer for one question, `{interrupt id: answer}` for several.

    A refusal repeats the questions, without the `secrets` in them.

    Raises
    ------
    InputInvalid
        Nothing waits for an answer; several questions wait and the ids are missing or unknown; the id is that of
        a question that waits no more; an answer does not fit the schema that its question asked for.
    """
    secrets = secrets or Secrets()
    asked = {str(i["id"]): i for i in interrupts}
    if not asked:
        raise InputInvalid(
            "An answer was given, and no question waits for one. Resume without a value.",
            key=None,
            expected=None,
        )
    if isinstance(value, Mapping) and value and set(value) <= set(asked):
        given = dict(value)
    elif unknown := _ids_of_no_question(value, asked):
        raise InputInvalid(
            f"No question with the id {', '.join(unknown)} waits for an answer; it may have been answered already. "
            f"What waits is {_questions(interrupts, secrets)}. Nothing was run; an answer that has such keys itself is "
            "given by id: {id: answer}.",
            key=unknown[0],
            expected="the id of a question that waits",
        )
    elif len(asked) == 1:
        given = {next(iter(asked)): value}
    else:
        raise InputInvalid(
            f"{len(asked)} questions wait: {_questions(interrupts, secrets)}. Answer them by id: {{id: answer, ...}}.",
            key=None,
            expected="answers by id",
        )
    for key, answer in given.items():
        _check(asked[key], answer, secrets)
    return given


def _questions(interrupts: Sequence[Mapping[str, Any]], secrets: Secrets) -> str:
    return ", ".join(f"{i['id']} (`{i['node']}`: {_question(i, secrets)})" for i in interrupts)


def _question(asked: Mapping[str, Any], secrets: Secrets) -> str:
    """The beginning of a question, for an error."""
    value = asked["value"]
    words = value["question"] if isinstance(value, Mapping) and "question" in value else value
    shown = secrets.text(repr(words))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _ids_of_no_question(value: Any, asked: Collection[str]) -> list[str]:
    """Keys of a value that answers by id what nobody asks: the answer to a question that was answered meanwhile must
    not become that of the next one."""
    if not isinstance(value, Mapping):
        return []
    others = [str(key) for key in value if key not in asked]
    return others if len(others) < len(value) else [key for key in others if _ID.fullmatch(key)]


def _check(question: Mapping[str, Any], answer: Any, secrets: Secrets) -> None:
    schema = question.get("schema")
    if not isinstance(schema, Mapping):
        return
    to = f"to `{question['node']}` ({_question(question, secrets)})"
    try:
        plain = to_jsonable_python(answer, fallback=repr, bytes_mode="base64")
    except (ValueError, RecursionError) as error:
        raise InputInvalid(
            f"The answer {to} cannot be read: {secrets.text(str(error))}. Nothing was run; answer again.",
            key=None,
            expected="plain data",
        ) from error
    for place, expected in misfits(plain, schema):
        found, expected = f"`{place}` in the answer" if place else "The answer", secrets.text(expected)
        raise InputInvalid(
            f"{found} {to} does not fit: expected {expected}{'' if place else _such_as(schema, expected)}. "
            "Nothing was run; answer again.",
            key=place or None,
            expected=expected,
        )


def _such_as(schema: Mapping[str, Any], expected: str) -> str:
    """The keys of an object, for who did not give one, and what makes a text of what reads like a number; JSON Schema
    calls them no more than that."""
    if schema.get("type") == "string" and expected == "string":
        return ", in JSON with double quotes around it"
    named = schema.get("properties")
    if schema.get("type") != "object" or not named:
        return ""
    needed = schema.get("required", ())
    keys = (
        f'"{key}": {_words(part, schema)}{"" if key in needed else " (may be left out)"}'
        for key, part in named.items()
    )
    return f", in JSON {{{', '.join(keys)}}}"


def schema_json(schema: Any) -> Any:
    """The schema of a question as JSON Schema; LangGraph gives it so, unless a node made the interrupt itself."""
    if schema is None or isinstance(schema, Mapping):
        return schema
    from pydantic import TypeAdapter

    return TypeAdapter(schema).json_schema()


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list, tuple),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def misfits(value: Any, schema: Any, root: Any = None, place: str = "") -> Iterator[tuple[str, str]]:
    """Where a value does not fit a JSON Schema, and what is expected there.

    Of the 2020-12 vocabulary what pydantic writes and people write by hand: types, `enum`, `const`, properties,
    items, combinations, `$ref` within the schema, lengths, ranges, patterns. A keyword beyond these refuses nothing.

    >>> list(misfits({"amount": "5"}, {"type": "object", "properties": {"amount": {"type": "integer"}}}))
    [('amount', 'integer')]
    """
    root = schema if root is None else root
    if schema is True or not isinstance(schema, Mapping):
        if schema is False:
            yield place, "nothing"
        return
    if "$ref" in schema:
        yield from misfits(value, _resolved(schema["$ref"], root), root, place)
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if names and not any(_is_of(value, name) for name in names):
        yield place, " or ".join(names)
        return
    if "enum" in schema and not _is_among(value, schema["enum"]):
        yield place, f"one of {', '.join(map(repr, schema['enum']))}"
    if "const" in schema and not same(value, schema["const"]):
        yield place, repr(schema["const"])
    yield from _combined(value, schema, root, place)
    if isinstance(value, Mapping):
        yield from _object(value, schema, root, place)
    elif isinstance(value, list | tuple):
        yield from _array(value, schema, root, place)
    elif isinstance(value, str):
        yield from _text(value, schema, place)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, place)


def _combined(value: Any, schema: Mapping[str, Any], root: Any, place: str) -> Iterator[tuple[str, str]]:
    for part in schema.get("allOf", ()):
        yield from misfits(value, part, root, place)
    for word in ("anyOf", "oneOf"):
        parts = schema.get(word)
        if not parts:
            continue
        results = [list(misfits(value, part, root, place)) for part in parts]
        if all(results):
            # Say what the nearest of them lacks: the one that went wrong deepest.
            nearest = max(results, key=lambda found: len(found[0][0]))
            if nearest[0][0] != place:
                yield nearest[0]
            else:
                yield (
                    place,
                    " or ".join(dict.fromkeys(expected for found in results for _, expected in found[:1])),
                )


def _object(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Any, place: str
) -> Iterator[tuple[str, str]]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield _at(place, name), f"a value ({_words(properties.get(name), root)})"
    others = schema.get("additionalProperties", True)
    for name, part in value.items():
        if name in properties:
            yield from misfits(part, properties[name], root, _at(place, name))
        elif others is False:
            yield _at(place, name), f"no such key; it has {', '.join(f'`{k}`' for k in properties)}"
        else:
            yield from misfits(part, others, root, _at(place, name))


def _array(
    value: Sequence[Any], schema: Mapping[str, Any], root: Any, place: str
) -> Iterator[tuple[str, str]]:
    first = schema.get("prefixItems", ())
    for index, part in enumerate(value):
        wanted = first[index] if index < len(first) else schema.get("items", True)
        yield from misfits(part, wanted, root, f"{place}[{index}]")
    if len(value) < schema.get("minItems", 0):
        yield place, f"at least {schema['minItems']} items"
    if len(value) > schema.get("maxItems", len(value)):
        yield place, f"at most {schema['maxItems']} items"
    if schema.get("uniqueItems") and any(_is_among(part, value[:i]) for i, part in enumerate(value)):
        yield place, "items that differ"


def _is_among(value: Any, others: Iterable[Any]) -> bool:
    return any(same(value, other) for other in others)


def _text(value: str, schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    if len(value) < schema.get("minLength", 0):
        yield place, f"at least {schema['minLength']} characters"
    if len(value) > schema.get("maxLength", len(value)):
        yield place, f"at most {schema['maxLength']} characters"
    if "pattern" in schema and not matches(schema["pattern"], value):
        yield place, f"text that matches {schema['pattern']}"


def _number(value: float, schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    limits = (
        ("minimum", value >= schema.get("minimum", value), "at least"),
        ("maximum", value <= schema.get("maximum", value), "at most"),
        ("exclusiveMinimum", value > schema.get("exclusiveMinimum", value - 1), "more than"),
        ("exclusiveMaximum", value < schema.get("exclusiveMaximum", value + 1), "less than"),
    )
    for word, fits, words in limits:
        if word in schema and not fits:
            yield place, f"{words} {schema[word]}"
    if schema.get("multipleOf") and not _is_multiple(value, schema["multipleOf"]):
        yield place, f"a multiple of {schema['multipleOf']}"


def _is_multiple(value: float, of: float) -> bool:
    """As pydantic has it: a float is one also where it is off by a billionth of itself. To the last bit 19.99 is no
    multiple of 0.01."""
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    try:
        rest = abs(math.fmod(value, of))
        near = abs(value) / 1e9
    except ValueError:  # infinite
        return False
    except OverflowError:  # of a whole number that no float is, pydantic says it
        return True
    return rest <= near or abs(of) - rest <= near


def _is_of(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name in ("number", "integer"):
        return False
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _resolved(reference: str, root: Any) -> Any:
    found = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = (
            found.get(part.replace("~1", "/").replace("~0", "~"), True)
            if isinstance(found, Mapping)
            else True
        )
    return found


def _words(schema: Any, root: Any) -> str:
    if isinstance(schema, Mapping) and "$ref" in schema:
        schema = _resolved(schema["$ref"], root)
    if not isinstance(schema, Mapping):
        return "anything"
    wanted = schema.get("type", schema.get("title", "anything"))
    return wanted if isinstance(wanted, str) else " or ".join(map(str, wanted))


def _at(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)


def deadline(interrupts: Iterable[Mapping[str, Any]], *, asked_again: float = -math.inf) -> float | None:
    """When the first of the questions that wait has a default that stands; None where none has.

    `asked_again` is when nodes were executed without an answer and asked: a question whose time was over by then, and
    that waits all the same, is somebody's own and has no default. Its node would be executed again and again.

    >>> deadline([{"value": {"question": "Go?", "deadline": "1970-01-01T00:01:00+00:00", "default": "no"}}])
    61.0
    """
    found = []
    for question in interrupts:
        value = question.get("value")
        if isinstance(value, Mapping) and {"question", "deadline", "default"} <= set(value):
            try:
                at = datetime.fromisoformat(str(value["deadline"])).timestamp() + _ROUNDED
            except (ValueError, OverflowError):
                continue  # a question of somebody's own, which calls something else a deadline
            if at > asked_again:
                found.append(at)
    return min(found, default=None)
