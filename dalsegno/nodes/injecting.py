"""Arguments that a tool takes from the graph and not from a model: LangGraph's injected state, store and runtime."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, get_origin, get_type_hints

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import get_runtime

from dalsegno.nodes.fields import needed

What = tuple[Literal["state", "store", "runtime"], str | None]


def injected_by(tool: BaseTool) -> dict[str, What]:
    """The parameters of a tool that are injected, and with what; of the state also which field, None: all of it."""
    prebuilt = sys.modules.get("langgraph.prebuilt.tool_node")
    if prebuilt is None:  # what was not imported, nothing is annotated with
        return {}
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None)
    hints = _hints(function) if function is not None else _hints(tool._run)
    if isinstance(tool.args_schema, type):
        hints |= _hints(tool.args_schema)
    found: dict[str, What] = {}
    for name, hint in hints.items():
        marks = getattr(hint, "__metadata__", ())
        for mark in marks:
            if mark is prebuilt.InjectedState or isinstance(mark, prebuilt.InjectedState):
                found[name] = "state", getattr(mark, "field", None)
            if mark is prebuilt.InjectedStore or isinstance(mark, prebuilt.InjectedStore):
                found[name] = "store", None
        base = getattr(hint, "__origin__", hint) if marks else hint
        if (get_origin(base) or base) is prebuilt.ToolRuntime:
            found[name] = "runtime", None
    return found


def injected(
    wanted: Mapping[str, What], state: Any, config: RunnableConfig, *, call: str, node: str
) -> dict[str, Any]:
    """The values of injected parameters; `call` is the id of the call.

    Raises
    ------
    FieldMissing
        The state lacks a field.
    """
    return {name: _value(what, state, config, call, node) for name, what in wanted.items()}


def _value(what: What, state: Any, config: RunnableConfig, call: str, node: str) -> Any:
    kind, field = what
    if kind == "state":
        return state if field is None else needed(state, field, node=node, what="a tool", none=True)
    try:
        runtime: Any = get_runtime()
    except (RuntimeError, KeyError):  # outside of a graph
        runtime = None
    store = getattr(runtime, "store", None)
    if kind == "store":
        return store
    from langgraph.prebuilt import ToolRuntime

    return ToolRuntime(
        state=state,
        context=getattr(runtime, "context", None),
        config=config,
        stream_writer=getattr(runtime, "stream_writer", None) or (lambda chunk: None),
        tool_call_id=call,
        store=store,
    )


def _hints(of: Any) -> dict[str, Any]:
    try:
        return get_type_hints(of, include_extras=True)
    except (NameError, TypeError):
        return {}
