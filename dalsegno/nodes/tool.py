"""Tools."""

from __future__ import annotations

import inspect
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from dalsegno.errors import DefinitionError


def as_tool(given: Any) -> BaseTool:
    """A LangChain tool for a tool or a plain typed function."""
    if isinstance(given, BaseTool):
        return given
    if callable(given):
        name = getattr(given, "__name__", type(given).__name__)
        options: dict[str, Any] = {
            "name": name,
            "description": inspect.getdoc(given) or name.replace("_", " "),
            "parse_docstring": bool(inspect.getdoc(given)),
            "error_on_invalid_docstring": False,
        }
        if inspect.iscoroutinefunction(given):
            return StructuredTool.from_function(coroutine=given, **options)
        return StructuredTool.from_function(given, **options)
    raise DefinitionError(
        f"{given!r} is no tool. A tool is a LangChain tool, or a function with typed arguments."
    )
