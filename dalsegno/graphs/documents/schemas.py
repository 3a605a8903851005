"""JSON Schema: what an answer is held to, and whether a schema is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from dalsegno.errors import DefinitionError


def held_to(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    """A function that gives a value back where it fits that schema: the same one for the same schema.

    The dialect is that of `$schema`, else 2020-12. Nothing is fetched: a reference leads into the schema itself.

    Raises
    ------
    DefinitionError
        It is no JSON Schema, or refers to what is elsewhere.
    """
    return _held_to(json.dumps(schema))


@lru_cache(maxsize=1024)
def _held_to(text: str) -> Callable[[Any], Any]:
    from jsonschema import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        at = "/".join(map(str, error.absolute_path))
        raise DefinitionError(f"{f'`{at}`: ' if at else ''}{error.message}") from None
    validator = kind(schema, registry=Registry())
    for elsewhere in _elsewhere(schema):
        raise DefinitionError(
            f"`{elsewhere}` refers to another document, and nothing is fetched: put it under `$defs`."
        )
    for nowhere in _nowhere(schema):
        raise DefinitionError(f"`{nowhere}` leads to nothing in it.")

    def fits(value: Any) -> Any:
        """The value.

        Raises
        ------
        ValueError
            It does not fit.
        """
        try:
            found = next(iter(validator.iter_errors(value)), None)
        except Unresolvable as error:
            raise ValueError(f"the schema refers to `{error.ref}`, which it has not") from None
        except RecursionError:
            raise ValueError("the schema refers to itself, or the value is nested, without end") from None
        if found is not None:
            at = ".".join(map(str, found.absolute_path))
            said = found.message if len(found.message) <= 200 else found.message[:200] + "…"
            raise ValueError(f"{f'`{at}`: ' if at else ''}{said}")
        return value

    return fits


def _elsewhere(schema: Any) -> list[str]:
    """The references in a schema that lead out of it."""
    return [each for each in _said_of("$ref", schema) if not each.startswith("#")]


def _nowhere(schema: Any) -> list[str]:
    """The references in a schema that lead to a place that it has not; those by names (`#name`) are passed over."""
    if any(True for _ in _said_of("$id", schema)):  # they begin in a part of it
        return []
    pointers = [each for each in _said_of("$ref", schema) if each.startswith("#/")]
    return [each for each in pointers if not _leads(unquote(each)[2:].split("/"), schema)]


def _leads(way: list[str], found: Any) -> bool:
    for part in way:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping) and key in found:
            found = found[key]
        else:
            return False
    return True


def _said_of(keyword: str, schema: Any) -> Iterator[str]:
    """The texts that stand under a keyword anywhere in a schema."""
    if isinstance(schema, Mapping):
        own = schema.get(keyword)
        if isinstance(own, str):
            yield own
    inner = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for each in inner:
        yield from _said_of(keyword, each)
