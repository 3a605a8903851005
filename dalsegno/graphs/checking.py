"""`validate`: the check of anything that is a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalsegno.errors import DefinitionError
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.validation import check

if TYPE_CHECKING:
    from dalsegno.graphs.validation import Report


def spec_of(graph: Any) -> WorkflowSpec:
    """The specification of a `Workflow`, a `StateGraph` or a `CompiledStateGraph`.

    Raises
    ------
    DefinitionError
        It is none of these.
    """
    from dalsegno.graphs.reading import is_langgraph, read_graph
    from dalsegno.graphs.workflow import Workflow

    if isinstance(graph, WorkflowSpec):
        return graph
    if isinstance(graph, Workflow):
        return graph.spec
    if is_langgraph(graph):
        return read_graph(graph)
    raise DefinitionError(f"{graph!r} is no graph: give a Workflow, a StateGraph or a compiled StateGraph.")


def validate(graph: Any, *, exact: bool = False) -> Report:
    """Check a workflow, and prove how long its runs can get.

    Parameters
    ----------
    graph
        A `Workflow`, a LangGraph `StateGraph` or `CompiledStateGraph`.
    exact
        Compute the least bounds. Slower, and needs the extra `exact`.

    Returns
    -------
    Report
        `.ok`, `.findings`, `.certificate` (None where there is none), `.raise_for_errors()`.
    """
    return check(spec_of(graph), exact=exact)
