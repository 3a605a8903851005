"""A LangGraph graph becomes a `WorkflowSpec`: the one place that reads LangGraph's builder.

What LangGraph does not declare is reported as unknown, never guessed: a router without targets is an
``unknown`` edge (G002), and a declared router may still return several of its targets, so choices are
``many``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.model import EdgeKind, EdgeSpec, NodeSpec, Place, WorkflowSpec
from dalsegno.graphs.specifying import state_keys
from dalsegno.nodes.policies.retry import attempts_of

SPEC = "dalsegno_spec"
"""The attribute under which a builder of ours keeps the specification it was made from."""


def is_langgraph(graph: Any) -> bool:
    """Whether it is a LangGraph builder or compiled graph."""
    return isinstance(graph, StateGraph | Pregel)


def read_graph(graph: Any) -> WorkflowSpec:
    """Read a `StateGraph` or a `CompiledStateGraph`.

    Raises
    ------
    DefinitionError
        A LangGraph graph that was not made with `StateGraph` (the functional API): its body is code.
    """
    builder = graph.builder if isinstance(graph, CompiledStateGraph) else graph
    if not isinstance(builder, StateGraph):
        raise DefinitionError(
            f"{graph!r} is a LangGraph graph whose structure is code (an `@entrypoint`): nothing about it can be "
            "proved. Build it with StateGraph or Workflow."
        )
    if (spec := getattr(builder, SPEC, None)) is not None:
        return spec  # type: ignore[no-any-return]  # set by ourselves
    name = graph.get_name() if isinstance(graph, CompiledStateGraph) else "graph"
    annotations: dict[str, Any] = {}
    for schema in builder.schemas:
        annotations |= {k: h for k, h in (declared.schema_keys(schema) or {}).items() if k not in annotations}
    nodes = {name: _node(name, node) for name, node in builder.nodes.items() if not node.is_error_handler}
    inputs, outputs = (frozenset(builder.schemas[s]) for s in (builder.input_schema, builder.output_schema))
    return WorkflowSpec(
        name=name,
        nodes=nodes,
        edges=tuple(_edges(builder)),
        state=state_keys(annotations, builder.state_schema, builder.input_schema),
        inputs=inputs,
        outputs=outputs,
        declared_inputs=builder.input_schema is not builder.state_schema,
        declared_outputs=builder.output_schema is not builder.state_schema,
        exact_choices=False,
    )


def _node(name: str, node: Any) -> NodeSpec:
    action = node.runnable
    sync, coroutine = getattr(action, "func", None), getattr(action, "afunc", None)
    child = read_graph(action) if isinstance(action, CompiledStateGraph) else None
    timeout = getattr(node.timeout, "run_timeout", None)
    return NodeSpec(
        name=name,
        kind="subworkflow" if child else "function",
        where=_place(action),
        is_async=(sync is None and coroutine is not None)
        or (child is not None and any(n.is_async for n in child.nodes.values())),
        timeout=timeout.total_seconds() if isinstance(timeout, timedelta) else timeout,
        attempts=attempts_of(node.retry_policy),
        error_handler=node.error_handler_node,
        defer=node.defer,
        metadata=node.metadata or {},
        child=child,
        code=declared.code_hash(action),
    )


def _place(action: Any) -> Place | None:
    function = declared.function_of(action)
    try:
        return Place(inspect.getsourcefile(function) or "?", inspect.getsourcelines(function)[1])
    except (TypeError, OSError):
        return None


def _edges(builder: StateGraph[Any, Any, Any, Any]) -> Iterable[EdgeSpec]:
    for source, target in sorted(builder.edges):
        yield EdgeSpec(source, target)
    for sources, target in sorted(builder.waiting_edges):
        yield (
            EdgeSpec(sources[0], target, "join", sources=tuple(sources))
            if len(sources) > 1
            else EdgeSpec(sources[0], target)
        )
    for source, branches in builder.branches.items():
        for router, branch in branches.items():
            where = _place(branch.path)
            sends = declared.returns_send(branch.path)
            if branch.ends is None:
                yield EdgeSpec(source, "", "unknown", where, router=router, many=True, fans_out=sends)
            for answer, target in (branch.ends or {}).items():
                yield EdgeSpec(
                    source,
                    target,
                    "choice",
                    where,
                    router=router,
                    label=str(answer),
                    many=True,
                    fans_out=sends,
                )
    for name, node in builder.nodes.items():
        kind: EdgeKind = "command"
        source = name
        if node.is_error_handler:
            continue
        yield from _command_edges(source, node.ends, kind)
        if node.error_handler_node is not None:
            handler = builder.nodes[node.error_handler_node]
            yield from _command_edges(
                source, handler.ends or declared.command_targets(handler.runnable), "handler"
            )


def _command_edges(source: str, ends: Any, kind: EdgeKind) -> Iterable[EdgeSpec]:
    labels = ends if isinstance(ends, dict) else {}
    for target in ends or ():
        yield EdgeSpec(source, target, kind, label=labels.get(target), many=True)
