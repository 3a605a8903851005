"""The building half of a `Workflow`: the methods of LangGraph's `StateGraph`, in its argument order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Self, overload

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.definitions import (
    Migration,
    NodeDefinition,
    RouterDefinition,
    caller,
    check_answers,
    check_source,
    label_of,
    name_of,
    node_definition,
    targets_of,
)
from dalsegno.graphs.model import END, START, Each, EdgeSpec, Loop, Target, WorkflowSpec
from dalsegno.graphs.names import check_name
from dalsegno.graphs.options import check_workflow, read_options
from dalsegno.graphs.specifying import describe, target_edges
from dalsegno.nodes.kinds import FLAG, FUNCTION, check_kinds
from dalsegno.nodes.policies import Budget


class Builder:
    """Holds the nodes, edges and routers of a workflow as they were added."""

    def __init__(
        self,
        name: str,
        state_schema: Any = None,
        context_schema: Any = None,
        *,
        input_schema: Any = None,
        output_schema: Any = None,
        version: str = "0",
        budget: Budget | None = None,
    ) -> None:
        given = {
            "context_schema": context_schema,
            "input_schema": input_schema,
            "output_schema": output_schema,
        }
        check_workflow(name, state_schema, {**given, "version": version, "budget": budget})
        self.name = name
        self.version = str(version)
        self.budget = budget
        self.state_schema = state_schema
        self.context_schema = context_schema
        self.input_schema = input_schema or state_schema
        self.output_schema = output_schema or state_schema
        self.nodes: dict[str, NodeDefinition] = {}
        self.edges: list[EdgeSpec] = []
        self.routers: list[RouterDefinition] = []
        self.waivers: list[tuple[str, str, str]] = []
        self.annotations: dict[str, Any] = {}
        self.where = caller()
        for schema in (state_schema, self.input_schema, self.output_schema):
            self._add_keys(schema)
        self._defaults: dict[str, Any] = {}
        self.migrations: list[tuple[str, Migration]] = []
        # Of a copy that goes on with a run of a changed graph, see graphs/renaming.py.
        self.aliases: Mapping[str, str] = {}
        self.used_before: int | None = None

    @property
    def spec(self) -> WorkflowSpec:
        """The workflow as a frozen value."""
        return describe(self)

    def contains(self, other: Builder) -> bool:
        """Whether `other` is this workflow, or a node of it at any depth."""
        ahead: list[Builder] = [self]
        seen = {id(self)}
        while ahead:
            part = ahead.pop()
            if part is other:
                return True
            for node in part.nodes.values():
                if isinstance(node.action, Builder) and id(node.action) not in seen:
                    seen.add(id(node.action))
                    ahead.append(node.action)
        return False

    def add_node(
        self,
        node: str | Callable[..., Any] | Any,
        action: Any = None,
        *,
        defer: bool = False,
        metadata: dict[str, Any] | None = None,
        input_schema: Any = None,
        retry_policy: Any = None,
        cache_policy: Any = None,
        error_handler: Any = None,
        destinations: Mapping[Target, str] | Iterable[Target] | None = None,
        timeout: Any = None,
        trace_policy: Any = None,
        retry: Any = None,
        fallback: Any = None,
        breaker: Any = None,
        cache: Any = None,
        rate_limit: Any = None,
        budget: Budget | None = None,
        watch: Any = None,
        calls: int | None = None,
        reads: Iterable[str] | None = None,
        writes: Iterable[str] | None = None,
        effect: bool | None = None,
        idempotent: bool | None = None,
        compensate: str | None = None,
        interrupts: int | None = None,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
    ) -> Self:
        """Add a node: a function, a runnable, a player, a LangGraph graph or another `Workflow`.

        A player (an `agent`, a `tool`, a `remote`, a `human`) brings most of these options itself. What is given
        here wins.

        Parameters
        ----------
        node, action
            A name and what runs under it, or only what runs: the node then has its name.
        defer, metadata, input_schema, retry_policy, cache_policy, error_handler, timeout, trace_policy
            As in `StateGraph`. `timeout` is in seconds an attempt, or a `Timeout`; sync functions may have one too.
        destinations
            Where a `Command(goto=...)` of the node may go: names, `{name: label}`, and a `Loop` or an
            `Each` wherever a name stands.
        retry, fallback, breaker, cache, rate_limit, budget, watch
            Policies around the node: see `dalsegno.nodes.policies`. Their order is fixed. What each does is an
            event of the run.
        calls
            Most model calls of one attempt; None is unknown. A call beyond it is an error.
        reads, writes
            State keys that the node reads and writes, if its annotations do not say so.
        effect, idempotent, compensate
            Whether the node changes the world, whether it may be repeated without harm, and which node undoes it.
        interrupts
            How often one execution waits for a human, at most.
        inputs, outputs
            For a subworkflow: `{its key: our key}` and `{our key: its key}`. Default: the keys of the same name.

        Raises
        ------
        DefinitionError
            The name is taken, empty or reserved; there is nothing to run; or a policy is not valid.
        """
        where = caller()
        if not isinstance(node, str):
            if action is not None:
                raise DefinitionError(
                    f"add_node takes a name and what runs, in that order; the first was {node!r}."
                )
            node, action = name_of(node), node
        check_name(node, self.nodes, where)
        if action is None:
            raise DefinitionError(
                f'add_node("{node}") at {where} says nothing that runs: add_node("{node}", function).'
            )
        given = {
            "defer": defer,
            "metadata": metadata,
            "retry_policy": retry_policy,
            "cache_policy": cache_policy,
            "error_handler": error_handler,
            "input_schema": input_schema,
            "timeout": timeout,
            "trace_policy": trace_policy,
            "retry": retry,
            "fallback": fallback,
            "breaker": breaker,
            "cache": cache,
            "rate_limit": rate_limit,
            "budget": budget,
            "watch": watch,
            "calls": calls,
            "reads": reads,
            "writes": writes,
            "effect": effect,
            "idempotent": idempotent,
            "compensate": compensate,
            "interrupts": interrupts,
        }
        definition = node_definition(node, action, where, input_schema, destinations)
        if isinstance(action, Builder) and action.contains(self):
            raise DefinitionError(
                f"T108 add_node({node!r}) at {where}: workflow {action.name!r} "
                f"{'is this one' if action is self else f'contains {self.name!r}'}, and would run itself: nothing "
                "bounds the depth. Use a workflow of its own for every level, as many as there may be."
            )
        definition.child = self._child_of(action)
        definition.inputs, definition.outputs = inputs, outputs
        inner = action.budget if isinstance(action, Builder) else None
        read_options(definition, given, self._defaults, inner=inner)
        self.nodes[node] = definition
        self._add_keys(definition.input_schema)
        return self

    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Self:
        """Add an edge that is always taken. An edge from a list of nodes is a join: it waits for all of them."""
        where = caller()
        alone = isinstance(start_key, str) or not isinstance(start_key, Iterable)
        if isinstance(start_key, Set):  # its order changes from process to process, and the join goes by it
            start_key = sorted(start_key, key=str)
        sources: tuple[Any, ...] = (start_key,) if alone else tuple(start_key)
        if not sources or not all(isinstance(n, str) for n in (*sources, end_key)):
            message = f"add_edge({start_key!r}, {end_key!r}) at {where}: edges go between names of nodes."
            if isinstance(end_key, (Loop, Each)):
                message += " A Loop or an Each is a target of add_conditional_edges."
            raise DefinitionError(message)
        if END in sources or end_key == START:
            raise DefinitionError(
                f"add_edge({start_key!r}, {end_key!r}) at {where}: no edge leaves END or leads to START."
            )
        if START in sources and len(sources) > 1:
            raise DefinitionError(
                f"add_edge({start_key!r}, {end_key!r}) at {where}: a join waits for nodes, and START is none. Leave it "
                "out: what waits for the others runs after START in any case."
            )
        if len(sources) == 1:
            self.edges.append(EdgeSpec(sources[0], end_key, "static", where))
        else:
            self.edges.append(EdgeSpec(sources[0], end_key, "join", where, sources=sources))
        return self

    # Apart, so that type checkers take a mapping for one, whatever the router's answers are.
    @overload
    def add_conditional_edges(
        self, source: str, path: Any, path_map: Mapping[Any, Target], *, many: bool | None = None
    ) -> Self: ...
    @overload
    def add_conditional_edges(
        self,
        source: str,
        path: Any,
        path_map: Iterable[Target] | Target | None = None,
        *,
        many: bool | None = None,
    ) -> Self: ...
    def add_conditional_edges(
        self, source: str, path: Any, path_map: Any = None, *, many: bool | None = None
    ) -> Self:
        """Add a router: after `source`, `path` says which of the declared targets comes next.

        Parameters
        ----------
        path_map
            ``{answer: target}`` or a list of targets. Default: the `Literal` in the router's return type.
            A target is a node's name, END, a `Loop`, or an `Each` for a fan-out.
        many
            Whether the router may choose several targets. Default: it may if its return type is
            `list[Literal[...]]`.
        """
        where = caller()
        check_source(source, where)
        check_kinds(f"add_conditional_edges({source!r}, ...) at {where}", {"many": many}, {"many": FLAG})
        name = declared.router_name(path, {r.name for r in self.routers if r.source == source})
        literal = declared.literal_targets(path)
        targets = (
            targets_of(path_map, where)
            if path_map is not None
            else {a: a for a in literal[0]}
            if literal
            else {}
        )
        check_answers(targets, name, where)
        several = many if many is not None else bool(literal and literal[1])
        if source == START and any(isinstance(t, Loop) for t in targets.values()):
            raise DefinitionError(
                f"{where}: a Loop at START bounds nothing, for nothing leads back to START."
            )
        schema = declared.first_parameter(path)
        schema = schema if declared.schema_keys(schema) is not None else None
        self._add_keys(schema)
        self.routers.append(RouterDefinition(source, name, path, targets, several, schema, where))
        if not targets:
            fans_out = declared.returns_send(path)
            self.edges.append(
                EdgeSpec(source, "", "unknown", where, router=name, many=several, fans_out=fans_out)
            )
        for answer, target in targets.items():
            self.edges += target_edges(
                source, target, "choice", where, router=name, label=label_of(answer), many=several
            )
        return self

    def add_sequence(self, nodes: Sequence[Any]) -> Self:
        """Add nodes one after the other, with an edge from each to the next."""
        if not isinstance(nodes, Iterable) or isinstance(nodes, str):
            raise DefinitionError(f"add_sequence({nodes!r}) at {caller()}: a list of nodes is needed.")
        nodes = list(nodes)
        if not nodes:
            raise DefinitionError(f"add_sequence at {caller()}: there is no node in it.")
        previous: str | None = None
        for node in nodes:
            name, action = node if isinstance(node, tuple) and len(node) == 2 else (name_of(node), node)
            self.add_node(name, action)
            if previous is not None:
                self.add_edge(previous, name)
            previous = name
        return self

    def set_entry_point(self, key: str) -> Self:
        """The same as `add_edge(START, key)`."""
        return self.add_edge(START, key)

    def set_conditional_entry_point(
        self, path: Any, path_map: Any = None, *, many: bool | None = None
    ) -> Self:
        """The same as `add_conditional_edges(START, ...)`."""
        return self.add_conditional_edges(START, path, path_map, many=many)

    def set_finish_point(self, key: str) -> Self:
        """The same as `add_edge(key, END)`."""
        return self.add_edge(key, END)

    def set_node_defaults(
        self,
        *,
        retry_policy: Any = None,
        cache_policy: Any = None,
        error_handler: Any = None,
        timeout: Any = None,
        watch: Any = None,
    ) -> Self:
        """Set policies for every node that has none of its own: those that are there, and those that will be added.

        Error handlers have no policies. In LangGraph, the default `retry_policy` and `timeout` are theirs too.
        """
        given = {
            "retry_policy": retry_policy,
            "cache_policy": cache_policy,
            "error_handler": error_handler,
            "timeout": timeout,
            "watch": watch,
        }
        self._defaults |= {key: value for key, value in given.items() if value is not None}
        for definition in self.nodes.values():
            if definition.given is not None:
                said, inner = definition.given
                read_options(definition, said, self._defaults, inner=inner)
        return self

    def waive(self, code: str, place: str, reason: str) -> Self:
        """Excuse one finding of the check: one code at one place (``"node"`` or ``"a->b"``), with a reason."""
        if not all(isinstance(said, str) and said.strip() for said in (code, place, reason)):
            raise DefinitionError(
                f"waive({code!r}, {place!r}, {reason!r}) at {caller()}: a waiver needs three texts: a code, a "
                "place and a reason."
            )
        self.waivers.append((code, place, reason))
        return self

    def add_migration(self, from_version: str, function: Migration) -> Self:
        """Say how the state of an older version becomes that of the next version.

        `function` takes the keys and values of the state, and returns all of them for the next version. It is applied
        when a run of `from_version` is resumed or its thread gets a new turn. The migrations that were added after it
        follow, in their order.

        >>> from typing import TypedDict
        >>> from dalsegno import Workflow
        >>> flow = Workflow("article", TypedDict("Article", {"text": str}), version="2")
        >>> flow.add_migration("1", lambda state: {"text": state["draft"]})
        <Workflow 'article' version 2: 0 nodes>

        Raises
        ------
        DefinitionError
            A migration from that version exists, or it is the workflow's own version.
        """
        version = str(from_version)
        if version == self.version or any(version == known for known, _ in self.migrations):
            why = "the workflow's own version" if version == self.version else "migrated from already"
            raise DefinitionError(f"add_migration({version!r}) at {caller()}: that is {why}.")
        check_kinds(
            f"add_migration({version!r}, ...) at {caller()}", {"function": function}, {"function": FUNCTION}
        )
        self.migrations.append((version, function))
        return self

    # -- inside -------------------------------------------------------------------------------------

    def _add_keys(self, schema: Any) -> None:
        for key, annotation in (declared.schema_keys(schema) or {}).items():
            declared.check_key(key, annotation, schema)
            self.annotations.setdefault(key, annotation)

    def _child_of(self, action: Any) -> WorkflowSpec | None:
        if isinstance(action, Builder):
            return action.spec
        if hasattr(action, "builder") or hasattr(action, "waiting_edges"):
            from dalsegno.graphs.reading import read_graph

            return read_graph(action)
        return None
