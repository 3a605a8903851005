"""Whether a text matches the pattern of a JSON schema."""

from __future__ import annotations

import functools
import re

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema


def matches(pattern: str, text: str) -> bool:
    r"""Whether a text matches a pattern: as pydantic reads it, whose notation it mostly is (``\p{L}``), else as Python
    does (look-around). One that neither can read refuses nothing.

    >>> matches(r"^\p{Lu}", "Äpfel"), matches("^[a-z]+$", "7"), matches("(?=7)", "7"), matches("(", "7")
    (True, False, True, True)
    """
    known = _pydantic(pattern)
    if known is not None:
        try:
            known.validate_python(text)
        except ValidationError:
            return False
        return True
    try:
        return re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return True


@functools.lru_cache(maxsize=256)
def _pydantic(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:
        return None
