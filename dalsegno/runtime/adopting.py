"""A graph of LangGraph's as a `Runner` runs it: compiled with the Runner's checkpointer, its nodes watched."""

from __future__ import annotations

from typing import Any

from dalsegno.checkpoints import Checkpointer
from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.reading import own_builder
from dalsegno.graphs.validation import Report
from dalsegno.runtime.plain import watched


def adopted(graph: Any, checkpointer: Checkpointer, store: Any, report: Report) -> Any:
    """A `StateGraph`, or a copy of a compiled graph; `store` replaces its own, where there is one.

    Raises
    ------
    DefinitionError
        It is the specification of a graph, and none.
    WorkflowInvalid
        LangGraph does not compile it; `report` has every reason.
    """
    if isinstance(graph, WorkflowSpec):
        raise DefinitionError(f"{graph.name!r} is a description, and runs nothing: give the Workflow itself.")
    checkpointer.allow_schema(*getattr(graph, "builder", graph).schemas)
    if hasattr(graph, "compile"):
        try:
            return watched(own_builder(graph).compile(checkpointer=checkpointer, store=store))
        except ValueError:  # its message names the first fault only
            report.raise_for_errors()
            raise
    update = {"checkpointer": checkpointer, "store": store if store is not None else graph.store}
    return watched(graph.copy(update))
