"""Options of patterns that count something."""

from __future__ import annotations

from typing import Any

from dalsegno.errors import DefinitionError


def whole(pattern: str, least: int, **options: Any) -> None:
    """Refuse options that are no whole numbers, or too small.

    Raises
    ------
    DefinitionError
        One is.
    """
    for option, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DefinitionError(f"{pattern}({option}={value!r}): a whole number, {least} or more.")
