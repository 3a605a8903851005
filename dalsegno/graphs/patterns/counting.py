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


def share(pattern: str, **options: Any) -> None:
    """Refuse options that are no numbers from 0 to 1.

    Raises
    ------
    DefinitionError
        One is.
    """
    for option, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DefinitionError(f"{pattern}({option}={value!r}): a number from 0 to 1.")
