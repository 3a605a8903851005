"""Optional packages: imported when something is made that needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dalsegno.errors import MissingExtra


def wanted(module: str, *, by: str, extra: str) -> Any:
    """The module.

    Raises
    ------
    MissingExtra
        It is not installed; the message names the extra that brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{by} needs `{module.partition('.')[0]}`, which is not installed: pip install 'dalsegno[{extra}]'.",
            extra=extra,
        ) from error
