"""From a builder to the frozen model: what is known of each node and each edge."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args, get_origin

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.calling import Caller
from dalsegno.graphs.code import Code, code_of
from dalsegno.graphs.model import (
    START,
    Each,
    EdgeKind,
    EdgeSpec,
    KeySpec,
    Loop,
    NodeKind,
    NodeSpec,
    Place,
    Target,
    WorkflowSpec,
)
from dalsegno.graphs.reaching import runs_a_graph
from dalsegno.nodes.aliases import unqualified
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies.fallback import is_called
from dalsegno.nodes.policies.retry import attempts_of
from dalsegno.nodes.secrets import Secret, holds_secret

if TYPE_CHECKING:
    from dalsegno.graphs.building import Builder
    from dalsegno.graphs.definitions import NodeDefinition


DEEPEST = 150
"""Levels of subworkflows that can be described. A check takes a hundred of them."""


def describe(workflow: Builder, known: dict[int, WorkflowSpec] | None = None, level: int = 0) -> WorkflowSpec:
    """The workflow's specification, and its subworkflows' as they are now; `known` are those described before.

    Raises
    ------
    DefinitionError
        It is nested too deep.
    """
    from dalsegno.graphs.building import Builder

    if level > DEEPEST:
        raise DefinitionError(
            f"workflow {workflow.name!r} lies more than {DEEPEST} levels deep in others. Run the parts one after the "
            "other, or as nodes of one workflow."
        )
    known = {} if known is None else known
    edges = list(workflow.edges)
    for node in workflow.nodes.values():
        if isinstance(node.action, Builder) or _is_growing(node.action):  # since it was added
            if id(node.action) not in known:
                known[id(node.action)] = _described(node.action, known, level + 1)
            node.child = known[id(node.action)]
        edges += _destination_edges(node, "command")
        if node.handler is not None:
            edges += _destination_edges(node.handler, "handler", source=node.name)
    keys = declared.schema_keys
    return WorkflowSpec(
        name=workflow.name,
        version=workflow.version,
        nodes={name: _node(workflow, node) for name, node in workflow.nodes.items()},
        edges=tuple(edges),
        state=state_keys(workflow.annotations, workflow.state_schema, workflow.input_schema),
        inputs=frozenset(keys(workflow.input_schema) or ()),
        outputs=frozenset(keys(workflow.output_schema) or ()),
        declared_inputs=workflow.input_schema is not workflow.state_schema,
        may_lack=declared.optional_keys(workflow.input_schema),
        declared_outputs=workflow.output_schema is not workflow.state_schema,
        budget=workflow.budget,
        waivers=tuple(
            w for w in workflow.waivers if not any(_is_inside(w, n) for n in workflow.nodes.values())
        ),
        where=workflow.where,
        starts_async=any(
            Caller(r.action, name=r.name).is_async for r in workflow.routers if r.source == START
        ),
    )


def _is_growing(action: Any) -> bool:
    """Whether it is a `StateGraph` that is not compiled yet."""
    return hasattr(action, "waiting_edges")


def _described(graph: Any, known: dict[int, WorkflowSpec], level: int) -> WorkflowSpec:
    from dalsegno.graphs.building import Builder
    from dalsegno.graphs.reading import read_graph

    return describe(graph, known, level) if isinstance(graph, Builder) else read_graph(graph)


def _is_inside(waiver: tuple[str, str, str], node: NodeDefinition) -> bool:
    """Whether a waiver is of something in a node's LangGraph graph, which cannot carry one itself."""
    from dalsegno.graphs.building import Builder

    is_plain = node.child is not None and not isinstance(node.action, Builder)
    return is_plain and waiver[1].startswith(f"{node.name}/")


def _handed(child: WorkflowSpec, name: str, waivers: Iterable[tuple[str, str, str]]) -> WorkflowSpec:
    """A node's graph with the waivers of what is in it: ``"node/a->b"`` is ``"a->b"`` there."""
    own = [(c, p.removeprefix(f"{name}/"), why) for c, p, why in waivers if p.startswith(f"{name}/")]
    if not own:
        return child
    inner = {
        each.name: replace(each, child=_handed(each.child, each.name, own))
        for each in child.nodes.values()
        if each.child is not None
    }
    here = [w for w in own if not any(w[1].startswith(f"{each}/") for each in inner)]
    return replace(child, nodes={**child.nodes, **inner}, waivers=(*child.waivers, *here))


def target_edges(
    source: str,
    target: Target,
    kind: EdgeKind,
    where: Place | None,
    *,
    router: str | None = None,
    label: str | None = None,
    many: bool = False,
) -> Iterable[EdgeSpec]:
    """The edges that one declared target means: a `Loop` brings the one taken when it is spent."""
    common: dict[str, Any] = {"where": where, "router": router, "label": label, "many": many}
    spent: str | None = None
    while isinstance(target, Loop):
        edge = EdgeSpec(source, target.target, kind, **common, loop=target.max, exhausted_of=spent)
        yield edge
        if target.on_exhausted is None:
            return
        spent, target = edge.counter, target.on_exhausted
    if isinstance(target, Each):
        yield EdgeSpec(source, target.target, kind, **common, each=target.max, fans_out=True)
    else:
        yield EdgeSpec(source, target, kind, **common, exhausted_of=spent)


def _destination_edges(node: NodeDefinition, kind: EdgeKind, source: str | None = None) -> Iterable[EdgeSpec]:
    for name, target in node.destinations.items():
        label = node.labels.get(str(name))
        yield from target_edges(source or node.name, target, kind, node.where, label=label, many=True)


def _node(workflow: Builder, node: NodeDefinition) -> NodeSpec:
    said = node.said
    schemas = (workflow.state_schema, workflow.input_schema, workflow.output_schema)
    keys = workflow.annotations
    reads = frozenset(said["reads"]) if said["reads"] is not None else None
    if reads is not None and isinstance(node.action, Player):
        reads -= node.action.spares - set(keys)
    writes = frozenset(said["writes"]) if said["writes"] is not None else None
    may_lack = frozenset[str]()
    if node.child is not None:
        if reads is None and node.inputs is not None:  # a key of the same name is passed on if it is there
            reads = frozenset(node.inputs.values())
        if writes is None:
            keep = node.outputs if node.outputs is not None else node.child.outputs & set(keys)
            writes = frozenset(keep)
    else:
        if reads is None:
            reads = declared.narrower_keys(node.input_schema, keys, *schemas)
            if reads:
                may_lack = declared.optional_keys(node.input_schema) & reads
        if writes is None:
            writes = declared.narrower_keys(declared.hints_of(node.action).get("return"), keys, *schemas)
    retry, fallback = said["retry"], node.policies.fallback
    return NodeSpec(
        name=node.name,
        kind=_kind(node),
        where=node.where,
        is_async=_is_async(workflow, node),
        goes_on=_goes_on(node),
        calls=said["calls"],
        timeout=node.timeout,
        attempts=attempts_of(retry) + (fallback.calls if fallback is not None else 0),
        interrupts=said["interrupts"],
        reads=reads,
        writes=None if writes is None else frozenset(writes & set(keys)),
        unknown_writes=tuple(sorted(writes - set(keys))) if writes is not None else (),
        effect=said["effect"],
        idempotent=said["idempotent"],
        compensate=said["compensate"],
        error_handler=node.handler.name if node.handler else None,
        defer=node.options["defer"],
        metadata=node.options["metadata"] or {},
        policies=said["policies"],
        child=_child(workflow, node),
        inputs=node.inputs,
        outputs=node.outputs,
        code=_code(node.action),
        may_lack=may_lack,
    )


def _child(workflow: Builder, node: NodeDefinition) -> WorkflowSpec | None:
    if node.child is None:
        return None
    return _handed(node.child, node.name, [w for w in workflow.waivers if _is_inside(w, node)])


def _code(action: Any) -> Code | None:
    """What runs: of a player its words and the functions that it calls."""
    if not isinstance(action, Player):
        return code_of([declared.function_of(action)])
    return code_of(map(declared.function_of, action.functions()), action.words())


def _kind(node: NodeDefinition) -> NodeKind:
    pregel = sys.modules.get("langgraph.pregel")
    unseen = pregel is not None and isinstance(node.action, pregel.Pregel)  # its structure is code
    functions = node.action.functions() if isinstance(node.action, Player) else (node.action,)
    if node.child is not None or unseen or any(map(runs_a_graph, functions)):
        return "subworkflow"
    return node.action.kind if isinstance(node.action, Player) else "function"


def _is_async(workflow: Builder, node: NodeDefinition) -> bool:
    """Whether the node can only be run in an event loop, itself or because of one of its routers."""
    if node.child is not None:
        # A running graph is cancelled in an event loop, and nowhere else.
        own = node.timeout is not None or node.child.is_async
    else:
        own = Caller(node.action, name=node.name).is_async
    handler = node.handler is not None and Caller(node.handler.action, name=node.handler.name).is_async
    routers = (r for r in workflow.routers if r.source == node.name)
    others = node.policies.fallback.answers if node.policies.fallback is not None else ()
    own = own or any(Caller(a, name=node.name).is_async for a in others if is_called(a))
    return own or handler or any(Caller(r.action, name=r.name).is_async for r in routers)


def _goes_on(node: NodeDefinition) -> bool | None:
    """Whether a thread of the node's may go on when its time is over."""
    if node.child is not None:
        return None  # its own nodes say so
    others = node.policies.fallback.answers if node.policies.fallback is not None else ()
    actions = [node.action, *filter(is_called, others)]
    if node.handler is not None:
        actions.append(node.handler.action)
    return any(Caller(action, name=node.name).goes_on for action in actions)


_COMMUTATIVE = (operator.or_, operator.and_, operator.mul, operator.xor, max, min)


def state_keys(annotations: Mapping[str, Any], *schemas: Any) -> dict[str, KeySpec]:
    """What is known of each key: its type, its reducer, whether it has a default."""
    defaults = frozenset().union(*(declared.defaults_of(schema) for schema in schemas))
    return {name: _key(name, hint, name in defaults) for name, hint in annotations.items()}


def _key(name: str, hint: Any, has_default: bool) -> KeySpec:
    while getattr(get_origin(hint), "_name", None) in ("Required", "NotRequired"):
        hint = get_args(hint)[0]
    reducer = None
    marks: tuple[Any, ...] = getattr(hint, "__metadata__", ())
    if len(marks) > 1 and marks[-1] is Secret:
        raise DefinitionError(
            f"`{name}` is `Annotated[..., {getattr(marks[-2], '__name__', marks[-2])}, Secret]`, and LangGraph takes "
            "its reducer from the last place only. Write `Secret` before the reducer."
        )
    channel = next((mark for mark in marks if hasattr(mark, "checkpoint")), None)
    if channel is not None:
        reducer = getattr(channel, "operator", None) or channel
    elif marks and callable(marks[-1]):  # LangGraph looks at the last place only
        reducer = marks[-1]
    base = unqualified(hint)
    base = unqualified(base.__origin__) if hasattr(base, "__metadata__") else base
    return KeySpec(
        name=name,
        type=declared.type_name(base),
        reducer=None if reducer is None else getattr(reducer, "__name__", type(reducer).__name__),
        has_default=has_default,
        ordered=None
        if reducer is None
        else False
        if reducer in _COMMUTATIVE
        else None
        if reducer is not operator.add
        else base in (list, str) or get_origin(base) is list,
        secret=holds_secret(hint),
    )
