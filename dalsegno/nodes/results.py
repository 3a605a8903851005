"""What came of a tool: as a model reads it, and as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic_core import to_json, to_jsonable_python

Result = Callable[[Any], Any]
"""From what was called to what a tool gives."""


def text_of(value: Any) -> str:
    """A result as a model reads it: text as it is, the one key of an update without the key, data as JSON."""
    value = _bare(value)
    return value if isinstance(value, str) else to_json(value, fallback=str).decode()


def data_of(value: Any) -> Any:
    """A result as data, whose parts can be referred to.

    >>> data_of({"found": {"low": 3}})
    {'low': 3}
    """
    return to_jsonable_python(_bare(value), fallback=str)


def _bare(value: Any) -> Any:
    """The one key of an update without the key, the last of several messages, a message's text."""
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, list) and value and isinstance(value[-1], BaseMessage):
        value = value[-1]
    return str(value.text) if isinstance(value, BaseMessage) else value
