"""A LangGraph graph becomes a `WorkflowSpec`: the one place that reads LangGraph's builder.

What LangGraph does not declare is reported as unknown, never guessed: a router without targets, and a
node that returns a `Command` without destinations, is an ``unknown`` edge (G002); a `Send` is a fan-out
without a maximum (T104), for a LangGraph graph has no place to say one; a graph that runs inside a function
is a subworkflow of which nothing is known. A declared router may still return several of its targets, so
choices are ``many``.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.model import (
    END,
    START,
    EdgeKind,
    EdgeSpec,
    NodeKind,
    NodeSpec,
    Place,
    WorkflowSpec,
    text_of,
)
from dalsegno.graphs.references import Jumps, Said, names_unresolved, plain_function, runs_tools, said_by
from dalsegno.graphs.specifying import state_keys
from dalsegno.nodes.policies.retry import attempts_of

SPEC = "dalsegno_spec"
"""The attribute under which a builder of ours keeps the specification it was made from."""

ON_ERROR = "on error"
"""The label of an ``unknown`` edge that an error handler takes."""

_DEFAULT_HANDLER = "__default_error_handler__"  # the name that `compile` gives it
ROOT = "__root__"
"""The channel of a state that has no keys: `StateGraph(dict)`."""


def is_langgraph(graph: Any) -> bool:
    """Whether it is a LangGraph builder or compiled graph."""
    return isinstance(graph, StateGraph | Pregel)


def read_graph(graph: Any) -> WorkflowSpec:
    """Read a `StateGraph` or a `CompiledStateGraph`.

    Nodes that were added to a builder after it was compiled are no part of the compiled graph.

    Raises
    ------
    DefinitionError
        A LangGraph graph that was not made with `StateGraph` (the functional API): its body is code.
    """
    # A graph in a graph gets the limit of the outer one.
    spec, limit = _Reader().spec(graph), recursion_limit_of(graph)
    return spec if limit is None else replace(spec, recursion_limit=limit)


def own_builder(builder: Any) -> Any:
    """A copy of a `StateGraph` to compile: LangGraph writes what is the default for its nodes into a builder, and
    refuses it then."""
    own = copy.copy(builder)
    own.nodes = {name: copy.copy(node) for name, node in builder.nodes.items()}
    return own


def recursion_limit_of(graph: Any) -> int | None:
    """The `recursion_limit` that a compiled graph carries in its configuration; None where it has none.

    N supersteps need a limit of N + 1 (T109).
    """
    limit = (getattr(graph, "config", None) or {}).get("recursion_limit")
    return limit if isinstance(limit, int) else None


class _Reader:
    """Reads one graph and the graphs in it, each once, so that they are checked once."""

    def __init__(self) -> None:
        self._specs: dict[int, WorkflowSpec] = {}
        self._outside: dict[int, Jumps] = {}
        self._said: dict[int, Said] = {}

    def spec(self, graph: Any) -> WorkflowSpec:
        if id(graph) not in self._specs:
            self._specs[id(graph)] = self._read(graph)
        return self._specs[id(graph)]

    def _read(self, graph: Any) -> WorkflowSpec:
        builder = graph.builder if isinstance(graph, CompiledStateGraph) else graph
        if not isinstance(builder, StateGraph):
            raise DefinitionError(
                f"{_described(graph)} is a LangGraph graph whose structure is code (an `@entrypoint`): nothing "
                "about it can be proved. Build it with StateGraph or Workflow."
            )
        if (spec := getattr(builder, SPEC, None)) is not None:
            return spec  # type: ignore[no-any-return]  # set by ourselves
        return _Graph(graph, builder, self).spec()

    def said(self, action: Any) -> Said:
        function = plain_function(action)
        if function is None:
            return said_by(action)
        if id(function) not in self._said:
            self._said[id(function)] = said_by(function)
        return self._said[id(function)]

    def leaves(self, graph: CompiledStateGraph[Any, Any, Any, Any]) -> Jumps:
        """What a graph does outside of itself: the node that runs it does so in its own graph."""
        if id(graph) not in self._outside:
            nodes = graph.builder.nodes.values()
            inner = [self.said(n.runnable).jumps for n in nodes if not isinstance(n.runnable, Pregel)]
            leaving = [jumps for jumps in inner if jumps.outside]
            self._outside[id(graph)] = Jumps(bool(leaving), False, any(jumps.sends for jumps in leaving))
        return self._outside[id(graph)]


class _Defaults(NamedTuple):
    """What `set_node_defaults` said; `compile` writes it into the nodes."""

    retry_policy: Any = None
    cache_policy: Any = None
    error_handler: Any = None
    timeout: Any = None

    @staticmethod
    def of(builder: Any) -> _Defaults:
        given = getattr(builder, "_node_defaults", None)
        return _Defaults(*(getattr(given, name, None) for name in _Defaults._fields))


class _Graph:
    """One graph as it is read."""

    def __init__(self, graph: Any, builder: Any, reader: _Reader) -> None:
        self.graph, self.builder, self.reader = graph, builder, reader
        self.compiled = isinstance(graph, CompiledStateGraph)
        self.defaults = _Defaults.of(builder)
        held = graph.nodes if self.compiled else builder.nodes
        self.nodes = {name: node for name, node in builder.nodes.items() if name in held}
        self.regular = {name: node for name, node in self.nodes.items() if not node.is_error_handler}
        self.keys = self._keys()
        self.outgoing: dict[str, list[str]] = {}
        for source, target in sorted(builder.edges, key=str):
            self.outgoing.setdefault(str(source), []).append(str(target))

    def spec(self) -> WorkflowSpec:
        builder = self.builder
        return WorkflowSpec(
            name=self.graph.get_name() if self.compiled else "graph",
            nodes={name: self._node(name, node) for name, node in self.regular.items()},
            edges=tuple(self._edges()),
            state=state_keys(self.keys, builder.state_schema, builder.input_schema),
            inputs=frozenset(builder.schemas[builder.input_schema]) & self.keys.keys(),
            outputs=frozenset(builder.schemas[builder.output_schema]) & self.keys.keys(),
            declared_inputs=builder.input_schema is not builder.state_schema,
            may_lack=declared.optional_keys(builder.input_schema),
            declared_outputs=builder.output_schema is not builder.state_schema,
            exact_choices=False,
            starts_async=any(_only_async(b.path) for b in builder.branches.get(START, {}).values()),
        )

    def _keys(self) -> dict[str, Any]:
        """The annotation of every key; managed values and a state without keys are none."""
        found: dict[str, Any] = {}
        for schema in self.builder.schemas:
            for key, hint in (declared.schema_keys(schema) or {}).items():
                if key in self.builder.channels and key != ROOT:
                    found.setdefault(key, hint)
        return found

    # -- nodes --------------------------------------------------------------------------------------

    def _node(self, name: str, node: Any) -> NodeSpec:
        action = node.runnable
        child = self.reader.spec(action) if isinstance(action, CompiledStateGraph) else None
        said = self.reader.said(action) if not isinstance(action, Pregel) else None
        retry, timeout = node.retry_policy or self.defaults.retry_policy, self._timeout(node)
        policies = {"retry": retry, "cache": node.cache_policy or self.defaults.cache_policy}
        reads, writes = self._keys_of(node, said)
        known = self.keys.keys()
        return NodeSpec(
            name=name,
            kind=_kind(action, said),
            where=said.place if said else None,
            is_async=_only_async(action, child) or any(map(_only_async, self._beside(name, node))),
            timeout=timeout,
            attempts=attempts_of(retry),
            interrupts=self._interrupts(name),
            reads=None if reads is None else reads & known,
            writes=None if writes is None else writes & known,
            unknown_writes=() if writes is None else tuple(sorted(writes - known)),
            error_handler=self._handler_name(node),
            defer=node.defer,
            metadata=node.metadata or {},
            policies={name: policy for name, policy in policies.items() if policy is not None},
            child=child,
            code=said.code if said else None,
            may_lack=declared.optional_keys(node.input_schema) & reads if reads else frozenset(),
        )

    def _timeout(self, node: Any) -> float | None:
        policy = node.timeout or self.defaults.timeout
        timeout = getattr(policy, "run_timeout", policy)
        timeout = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return timeout if isinstance(timeout, int | float) else None

    def _interrupts(self, name: str) -> int:
        """How often `compile` was told to wait around the node."""
        if not self.compiled:
            return 0
        lists = (self.graph.interrupt_before_nodes, self.graph.interrupt_after_nodes)
        return sum(1 for names in lists if names == "*" or name in names)

    def _keys_of(self, node: Any, said: Said | None) -> tuple[frozenset[str] | None, frozenset[str] | None]:
        """The keys that annotations narrower than the state say are read and written."""
        if said is None:
            return None, None
        return self._narrower(node.input_schema), self._narrower(said.returns)

    def _narrower(self, hint: Any) -> frozenset[str] | None:
        builder = self.builder
        schemas = (builder.state_schema, builder.input_schema, builder.output_schema)
        if hint is None or any(hint is schema for schema in schemas):
            return None
        return declared.narrower_keys(hint, self.keys, *schemas)

    def _handler_name(self, node: Any) -> str | None:
        if node.error_handler_node is not None or self.defaults.error_handler is None:
            return node.error_handler_node  # type: ignore[no-any-return]  # a name or None
        return _DEFAULT_HANDLER

    def _handler(self, node: Any) -> Any:
        """What runs when the node fails; the default is a node only once it was compiled."""
        name = self._handler_name(node)
        held = self.nodes.get(name) if name is not None else None
        return held.runnable if held is not None else self.defaults.error_handler if name else None

    def _beside(self, name: str, node: Any) -> Iterator[Any]:
        """What runs with a node: its routers and its error handler."""
        yield from (branch.path for branch in self.builder.branches.get(name, {}).values())
        if (handler := self._handler(node)) is not None:
            yield handler

    # -- edges --------------------------------------------------------------------------------------

    def _edges(self) -> Iterator[EdgeSpec]:
        handlers = self.nodes.keys() - self.regular.keys()
        late = self.builder.nodes.keys() - self.nodes.keys()
        for source, targets in self.outgoing.items():
            if source not in handlers and source not in late:
                yield from (EdgeSpec(source, target) for target in targets if target not in late)
        for sources, target in sorted(self.builder.waiting_edges, key=str):
            if late.isdisjoint((*sources, target)):
                names = tuple(sources)
                yield EdgeSpec(
                    names[0],
                    target,
                    "join" if len(names) > 1 else "static",
                    sources=names if len(names) > 1 else (),
                )
        for source, branches in self.builder.branches.items():
            if source not in handlers and source not in late:
                for router, branch in branches.items():
                    yield from _branch_edges(source, router, branch, self.reader.said(branch.path), "choice")
        for name, node in self.regular.items():
            yield from self._own_edges(name, node)
            if self._handler_name(node) is not None:
                yield from self._handler_edges(name, node)

    def _own_edges(self, name: str, node: Any) -> Iterator[EdgeSpec]:
        """Where a node may go by itself."""
        action = node.runnable
        if isinstance(action, CompiledStateGraph):
            jumps = self.reader.leaves(action)
            ends, undeclared, where = node.ends, jumps.here, None
        elif isinstance(action, Pregel):
            jumps, ends, undeclared, where = Jumps(), node.ends, False, None
        else:
            said = self.reader.said(action)
            jumps, ends, undeclared, where = (
                said.jumps,
                node.ends or said.targets,
                said.undeclared,
                said.place,
            )
        yield from _goto_edges(name, ends, undeclared, jumps.sends, where)
        if ends and END not in ends and self._is_left_alone(name, node):
            yield EdgeSpec(name, END, "command", many=True)

    def _is_left_alone(self, name: str, node: Any) -> bool:
        """Whether it runs a graph, after which nothing comes unless that graph says so."""
        if not isinstance(node.runnable, Pregel) or name in self.outgoing or self.builder.branches.get(name):
            return False
        return not any(name in sources for sources, _ in self.builder.waiting_edges)

    def _handler_edges(self, name: str, node: Any) -> Iterator[EdgeSpec]:
        """Where the error handler of a node goes: by itself, and by edges of its own."""
        own, action = self._handler_name(node), self._handler(node)
        said = self.reader.said(action)
        where = said.place
        yield from _goto_edges(name, said.targets, said.undeclared, said.jumps.sends, where, kind="handler")
        yield from (EdgeSpec(name, target, "handler", where) for target in self.outgoing.get(str(own), ()))
        for router, branch in self.builder.branches.get(own, {}).items():
            yield from _branch_edges(name, router, branch, self.reader.said(branch.path), "handler")


def _goto_edges(
    source: str, ends: Any, undeclared: bool, sends: bool, where: Place | None, kind: EdgeKind = "command"
) -> Iterator[EdgeSpec]:
    if not ends:
        if undeclared:
            label = ON_ERROR if kind == "handler" else None
            yield EdgeSpec(source, "", "unknown", where, label=label, many=True, fans_out=sends)
        return
    labels = ends if isinstance(ends, Mapping) else {}
    for target in sorted(ends, key=str):  # some builders make them from a set
        label = labels.get(target)
        fans_out = sends and target != END
        yield EdgeSpec(source, target, kind, where, label=label, many=True, fans_out=fans_out)


def _branch_edges(source: str, router: str, branch: Any, said: Said, kind: EdgeKind) -> Iterator[EdgeSpec]:
    """The edges of one router: its targets, and what it may send to.

    LangGraph takes the targets from the path map or a return type that is a `Literal`; a list or a union of
    them declares as much.
    """
    where, path = said.place, said.function
    literal = declared.literal_targets(path) if path is not None else None
    answers: Mapping[Hashable, str] | None = branch.ends
    if answers is None and literal is not None:
        answers = {answer: str(answer) for answer in literal[0]}
    sends = (
        said.jumps.sends
        or names_unresolved(path, "Send")
        or (path is not None and declared.returns_send(path))
    )
    plain = set(literal[0]) if sends and literal is not None else set()
    if answers is None or (sends and branch.ends is None):
        label = ON_ERROR if kind == "handler" else None
        yield EdgeSpec(source, "", "unknown", where, router=router, label=label, many=True, fans_out=sends)
    sent_to = {a for a, t in (answers or {}).items() if t != END and a not in plain}
    if sends and branch.ends is not None and not sent_to:
        sent_to = {a for a, t in branch.ends.items() if t != END}
    for answer, target in (answers or {}).items():
        yield EdgeSpec(
            source,
            target,
            kind,
            where,
            router=router,
            label=answer if isinstance(answer, str) else declared.without_addresses(text_of(answer)),
            many=True,
            fans_out=sends and answer in sent_to,
        )


def _kind(action: Any, said: Said | None) -> NodeKind:
    if _is_remote(action):
        return "remote"
    if said is None or said.runs_graphs:
        return "subworkflow"
    return "tool" if runs_tools(action) else "function"


def _is_remote(value: Any) -> bool:
    module = sys.modules.get("langgraph.pregel.remote")
    return module is not None and isinstance(value, module.RemoteGraph)


def _only_async(action: Any, child: WorkflowSpec | None = None) -> bool:
    """Whether it can only be run in an event loop."""
    if child is not None:
        return child.is_async
    if steps := getattr(action, "steps", None):
        return any(_only_async(step) for step in steps)
    if (bound := getattr(action, "bound", None)) is not None:
        return _only_async(bound)
    if inspect.iscoroutinefunction(action):
        return True
    return getattr(action, "func", None) is None and getattr(action, "afunc", None) is not None


def _described(graph: Any) -> str:
    name = getattr(graph, "name", None)
    return f"`{name}`" if isinstance(name, str) else f"a {type(graph).__name__}"
