"""JSON Schema: what an answer is held to, and whether a schema is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

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
        if found is not None:
            at = ".".join(map(str, found.absolute_path))
            said = found.message if len(found.message) <= 200 else found.message[:200] + "…"
            raise ValueError(f"{f'`{at}`: ' if at else ''}{said}")
        return value

    return fits


def _elsewhere(schema: Any) -> list[str]:
    """The references in a schema that lead out of it."""
    if isinstance(schema, Mapping):
        own = schema.get("$ref")
        found = [own] if isinstance(own, str) and not own.startswith("#") else []
        return [*found, *(each for value in schema.values() for each in _elsewhere(value))]
    if isinstance(schema, list):
        return [each for value in schema for each in _elsewhere(value)]
    return []
