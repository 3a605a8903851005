"""`Workflow`: the builder. Method names and argument order are those of LangGraph's `StateGraph`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.errors import DefinitionError
from dalsegno.graphs import declarations as declared
from dalsegno.graphs.model import END, START, Each, EdgeSpec, Loop, Place, Target, WorkflowSpec
from dalsegno.graphs.specifying import describe, target_edges
from dalsegno.nodes.policies import Budget, Policies
from dalsegno.nodes.policies.checking import check_node

if TYPE_CHECKING:
    from dalsegno.graphs.compiling import Graph
    from dalsegno.graphs.validation import Report

_RESERVED = (":", "|")

Migration = Callable[[dict[str, Any]], Mapping[str, Any]]
"""A state of one version to a state of the next."""


@dataclass(eq=False)
class NodeDefinition:
    """A node as it was added: what runs, and what was said about it."""

    name: str
    action: Any
    where: Place
    input_schema: Any = None
    sent_type: Any = None
    timeout: float | None = None
    policies: Policies = field(default_factory=Policies)
    destinations: dict[Hashable, Target] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    handler: NodeDefinition | None = None
    child: WorkflowSpec | None = None
    inputs: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RouterDefinition:
    """A router as it was added: its answers and where they lead."""

    source: str
    name: str
    action: Any
    targets: Mapping[Hashable, Target]
    many: bool
    schema: Any
    where: Place


class Workflow:
    """A graph of agents and tools whose every run is proved to end.

    Parameters
    ----------
    name
        What the workflow is called in the ledger and in pictures.
    state_schema
        TypedDict, dataclass or pydantic class; keys may have reducers, as in LangGraph.
    context_schema, input_schema, output_schema
        As in `StateGraph`.
    version
        Of the workflow's meaning; kept with each run.
    budget
        What one run may spend at most; the certificate is checked against it.

    Example
    -------
    >>> from typing import TypedDict
    >>> from dalsegno import END, START, Loop, Workflow
    >>> class Article(TypedDict, total=False):
    ...     topic: str
    ...     draft: str
    >>> def write(state: Article) -> Article:
    ...     return {"draft": state.get("draft", "") + state["topic"]}
    >>> def verdict(state: Article):
    ...     return "good" if len(state["draft"]) > 5 else "again"
    >>> flow = Workflow("article", Article, version="1")
    >>> _ = flow.add_node(write).add_edge(START, "write")
    >>> _ = flow.add_conditional_edges("write", verdict, {"good": END, "again": Loop("write", max=3, on_exhausted=END)})
    >>> flow.validate().certificate.supersteps
    4
    >>> flow.compile().invoke({"topic": "rain"})["draft"]
    'rainrain'
    """

    def __init__(
        self,
        name: str,
        state_schema: Any,
        context_schema: Any = None,
        *,
        input_schema: Any = None,
        output_schema: Any = None,
        version: str = "0",
        budget: Budget | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise DefinitionError(
                f'Workflow({name!r}, ...): the first argument is a name, like Workflow("article", State).'
            )
        if declared.schema_keys(state_schema) is None:
            raise DefinitionError(
                f"Workflow {name!r}: the state is a TypedDict, a dataclass or a pydantic class with named keys, "
                f"not {state_schema!r}."
            )
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
        self.where = _caller()
        for schema in (state_schema, self.input_schema, self.output_schema):
            self._add_keys(schema)
        self._defaults: dict[str, Any] = {}
        self.migrations: list[tuple[str, Migration]] = []
        # Of a copy that goes on with a run of a changed graph, see graphs/renaming.py.
        self.aliases: Mapping[str, str] = {}
        self.used_before: int | None = None

    # -- building -----------------------------------------------------------------------------------

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
        effect: bool = False,
        idempotent: bool = False,
        compensate: str | None = None,
        interrupts: int = 0,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
    ) -> Workflow:
        """Add a node: a function, a runnable, a LangGraph graph or another `Workflow`.

        Parameters
        ----------
        node, action
            A name and what runs under it, or only what runs (its own name is taken).
        defer, metadata, input_schema, retry_policy, cache_policy, error_handler, timeout, trace_policy
            As in `StateGraph`; `timeout` in seconds an attempt, or a `Timeout`, also of a sync function.
        destinations
            Where a `Command(goto=...)` of the node may go: names, `{name: label}`, and a `Loop` or an
            `Each` wherever a name stands.
        retry, fallback, breaker, cache, rate_limit, budget, watch
            Policies around the node: see `dalsegno.nodes.policies`. They wrap it in one order, and what
            each does is an event of the run.
        calls
            Model calls an attempt; None is unknown, 0 says that there are none. One more is an error.
        reads, writes
            State keys that the node reads and writes, where its annotations do not say so.
        effect, idempotent, compensate
            Whether it changes the world, may be repeated unharmed, and which node undoes it.
        interrupts
            How often an execution waits for a human at most.
        inputs, outputs
            For a subworkflow: `{its key: our key}` and `{our key: its key}`. Without them the keys of
            the same name.

        Raises
        ------
        DefinitionError
            The name is taken, empty or reserved, there is nothing to run, or a policy cannot be meant.
        """
        where = _caller()
        if not isinstance(node, str):
            if action is not None:
                raise DefinitionError(
                    f"add_node takes a name and what runs, in that order; the first was {node!r}."
                )
            node, action = _name_of(node), node
        self._check_name(node, where)
        if action is None:
            raise DefinitionError(
                f'add_node("{node}") at {where} says nothing that runs: add_node("{node}", function).'
            )
        timeout = timeout if timeout is not None else self._defaults.get("timeout")
        error_handler = error_handler if error_handler is not None else self._defaults.get("error_handler")
        definition = self._defined(node, action, where, input_schema, destinations)
        if isinstance(action, Workflow) and action.contains(self):
            raise DefinitionError(
                f"T108 add_node({node!r}) at {where}: workflow {action.name!r} "
                f"{'is this one' if action is self else f'contains {self.name!r}'}, and would run itself: nothing "
                "bounds the depth. Use a workflow of its own for every level, as many as there may be."
            )
        definition.child = _child_of(action)
        definition.inputs, definition.outputs = inputs, outputs
        if (inputs is not None or outputs is not None) and definition.child is None:
            raise DefinitionError(
                f"`{node}` at {where}: `inputs` and `outputs` map the keys of a subworkflow, and this is none."
            )
        if error_handler is not None:
            definition.handler = self._defined(
                f"{_name_of(error_handler)}", error_handler, where, input_schema, None
            )
        retries = retry if retry is not None else retry_policy
        if retries is None and definition.child is None:  # a subworkflow's nodes have their own
            retries = self._defaults.get("retry_policy")
        caching = cache if cache is not None else cache_policy
        if caching is None:
            caching = self._defaults.get("cache_policy")
        inner = action.budget if isinstance(action, Workflow) else None
        definition.policies = Policies.of(
            cache=caching,
            budget=budget.tighter(inner) if budget is not None else inner and inner.of_a_node(),
            rate_limit=rate_limit,
            fallback=fallback,
            breaker=breaker,
            retry=retries,
            timeout=timeout,
            watch=watch if watch is not None else self._defaults.get("watch"),
        )
        check_node(
            node,
            where,
            definition.policies,
            interrupts=interrupts,
            is_subworkflow=definition.child is not None,
        )
        definition.timeout = definition.policies.timeout.seconds if definition.policies.timeout else None
        definition.options = {
            "defer": defer,
            "metadata": metadata,
            "retry_policy": _native_retry(retries) if interrupts else None,
            "trace_policy": trace_policy,
        }
        definition.said = {
            "calls": calls,
            "reads": reads,
            "writes": writes,
            "effect": effect,
            "idempotent": idempotent,
            "compensate": compensate,
            "interrupts": interrupts,
            "retry": retries,
            "policies": {
                name: value
                for name, value in {
                    "retry": retries,
                    "fallback": fallback,
                    "breaker": breaker,
                    "cache": caching,
                    "rate_limit": rate_limit,
                    "budget": budget,
                    "watch": definition.policies.watch,
                }.items()
                if value is not None
            },
        }
        self.nodes[node] = definition
        self._add_keys(definition.input_schema)
        return self

    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Workflow:
        """Add an edge that is always taken; from a list of nodes, one that waits for all of them."""
        where = _caller()
        sources = (start_key,) if isinstance(start_key, str) else tuple(start_key)
        if not sources or not all(isinstance(n, str) for n in (*sources, end_key)):
            raise DefinitionError(
                f"add_edge({start_key!r}, {end_key!r}) at {where}: edges go between names of nodes."
            )
        if END in sources or end_key == START:
            raise DefinitionError(
                f"add_edge({start_key!r}, {end_key!r}) at {where}: no edge leaves END or leads to START."
            )
        if len(sources) == 1:
            self.edges.append(EdgeSpec(sources[0], end_key, "static", where))
        else:
            self.edges.append(EdgeSpec(sources[0], end_key, "join", where, sources=sources))
        return self

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any] | Any,
        path_map: Mapping[Hashable, Target] | Iterable[Target] | Target | None = None,
        *,
        many: bool | None = None,
    ) -> Workflow:
        """Add a router: after `source`, `path` says which of the declared targets comes next.

        Parameters
        ----------
        path_map
            ``{answer: target}`` or a list of targets. Without it the `Literal` in the return type.
            A target is a node's name, END, a `Loop`, or an `Each` for a fan-out.
        many
            Whether the router may choose several. Default: it may where its return type is
            `list[Literal[...]]`.
        """
        where = _caller()
        name = self._router_name(source, path)
        literal = declared.literal_targets(path)
        targets = (
            _targets(path_map, where)
            if path_map is not None
            else {a: a for a in literal[0]}
            if literal
            else {}
        )
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
                source, target, "choice", where, router=name, label=_label(answer), many=several
            )
        return self

    def add_sequence(self, nodes: Sequence[Any]) -> Workflow:
        """Add nodes one after the other, with an edge from each to the next."""
        if not nodes:
            raise DefinitionError(f"add_sequence at {_caller()}: there is no node in it.")
        previous: str | None = None
        for node in nodes:
            name, action = node if isinstance(node, tuple) and len(node) == 2 else (_name_of(node), node)
            self.add_node(name, action)
            if previous is not None:
                self.add_edge(previous, name)
            previous = name
        return self

    def set_entry_point(self, key: str) -> Workflow:
        """The same as `add_edge(START, key)`."""
        return self.add_edge(START, key)

    def set_conditional_entry_point(
        self, path: Any, path_map: Any = None, *, many: bool | None = None
    ) -> Workflow:
        """The same as `add_conditional_edges(START, ...)`."""
        return self.add_conditional_edges(START, path, path_map, many=many)

    def set_finish_point(self, key: str) -> Workflow:
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
    ) -> Workflow:
        """Policies of every node that is added from now on and does not say otherwise."""
        given = {
            "retry_policy": retry_policy,
            "cache_policy": cache_policy,
            "error_handler": error_handler,
            "timeout": timeout,
            "watch": watch,
        }
        self._defaults |= {key: value for key, value in given.items() if value is not None}
        return self

    def waive(self, code: str, place: str, reason: str) -> Workflow:
        """Waive one finding: one code at one place (``"node"`` or ``"a->b"``), for a reason."""
        if not reason.strip():
            raise DefinitionError(f"waive({code!r}, {place!r}) at {_caller()}: a waiver says why.")
        self.waivers.append((code, place, reason))
        return self

    def add_migration(self, from_version: str, function: Migration) -> Workflow:
        """Add how a state of an older version becomes one of the version that follows it.

        `function` takes the state's keys and values and returns all of them anew. It is applied when a run of
        that version is resumed, or its thread gets a new turn; then those that were added after it, in that order.

        >>> from typing import TypedDict
        >>> flow = Workflow("article", TypedDict("Article", {"text": str}), version="2")
        >>> flow.add_migration("1", lambda state: {"text": state["draft"]})
        <Workflow 'article' version 2: 0 nodes>

        Raises
        ------
        DefinitionError
            There is one from that version already, or it is the workflow's own version.
        """
        version = str(from_version)
        if version == self.version or any(version == known for known, _ in self.migrations):
            why = "the workflow's own version" if version == self.version else "migrated from already"
            raise DefinitionError(f"add_migration({version!r}) at {_caller()}: that is {why}.")
        self.migrations.append((version, function))
        return self

    # -- reading ------------------------------------------------------------------------------------

    @property
    def spec(self) -> WorkflowSpec:
        """The workflow as a frozen value."""
        return describe(self)

    def validate(self, *, exact: bool = False) -> Report:
        """Check it; `exact=True` looks harder for the exact bounds."""
        from dalsegno.graphs.validation import check

        return check(self.spec, exact=exact)

    def contains(self, other: Workflow) -> bool:
        """Whether `other` is this workflow, or a node of it at any depth."""
        ahead, seen = [self], {id(self)}
        while ahead:
            part = ahead.pop()
            if part is other:
                return True
            for node in part.nodes.values():
                if isinstance(node.action, Workflow) and id(node.action) not in seen:
                    seen.add(id(node.action))
                    ahead.append(node.action)
        return False

    def to_networkx(self) -> Any:
        """The graph as a `networkx.MultiDiGraph`; edges carry their `EdgeSpec` under ``"spec"``."""
        import networkx

        graph: Any = networkx.MultiDiGraph(name=self.name)
        spec = self.spec
        graph.add_nodes_from((name, {"spec": node}) for name, node in spec.nodes.items())
        graph.add_edges_from((s, e.target, {"spec": e}) for e in spec.edges if e.target for s in e.origins)
        return graph

    # -- running and drawing ------------------------------------------------------------------------

    def compile(self, checkpointer: Any = None, **options: Any) -> Graph:
        """Compile to a plain LangGraph `CompiledStateGraph`; `options` are LangGraph's own.

        Raises
        ------
        WorkflowInvalid
            The check found errors; or a node waits for a human, here or in a subworkflow, and there is no
            checkpointer (R404).
        """
        graph = self.compile_part(checkpointer, **options)
        self._check_interrupts(checkpointer)
        return graph

    def compile_part(self, checkpointer: Any = None, **options: Any) -> Graph:
        """Compile to a node of a LangGraph graph, or for a platform that brings its own checkpointer.

        The same as `compile`, but for R404: without a checkpointer it takes over that of the graph around it.
        """
        from dalsegno.graphs.compiling import compile_workflow

        report = self.validate()
        report.raise_for_errors()
        certificate = report.certificate
        bound = certificate.level_supersteps if certificate else sys.maxsize - 1
        once: list[str] = []
        if self.used_before is not None:
            bound += self.used_before
        elif certificate:
            once = [name for name, n in certificate.executions_by_node.items() if n <= 1]
        self._allow_types(checkpointer)
        return compile_workflow(self, bound, once, checkpointer=checkpointer, **options)

    def state_types(self) -> list[Any]:
        """Every schema of the workflow and its subworkflows, for the checkpointer's allow-list."""
        schemas = [self.state_schema, self.input_schema, self.output_schema, self.context_schema]
        for node in self.nodes.values():
            schemas += [node.input_schema, node.sent_type]
            if isinstance(node.action, Workflow):
                schemas += node.action.state_types()
        return [schema for schema in schemas if schema is not None]

    def draw(self, path: str | Path, *, run: Any = None) -> Path:
        """Draw the workflow to a file; the suffix says how: .svg .png .pdf .dot .mmd ."""
        from dalsegno import viz

        return viz.draw(self.spec, path, run=run, report=self.validate())

    def to_dot(self, *, run: Any = None) -> str:
        """The drawing in Graphviz' language."""
        from dalsegno import viz

        return viz.to_dot(self.spec, run=run)

    def to_mermaid(self, *, run: Any = None) -> str:
        """The drawing in Mermaid's language."""
        from dalsegno import viz

        return viz.to_mermaid(self.spec, run=run)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from dalsegno import viz
        from dalsegno.errors import MissingExtra, RenderError

        try:
            return {"image/svg+xml": viz.svg(self.spec), "text/plain": repr(self)}
        except (MissingExtra, RenderError):
            return {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} version {self.version}: {len(self.nodes)} nodes>"

    # -- inside -------------------------------------------------------------------------------------

    def _add_keys(self, schema: Any) -> None:
        for key, annotation in (declared.schema_keys(schema) or {}).items():
            if key.startswith("__dalsegno"):
                raise DefinitionError(
                    f"The state key `{key}` is reserved: choose a name that does not start with it."
                )
            self.annotations.setdefault(key, annotation)

    def _check_name(self, name: str, where: Place) -> None:
        if not name or name in (START, END) or any(c in name for c in _RESERVED):
            raise DefinitionError(
                f"add_node({name!r}) at {where}: a name is not empty, not START or END, and has no `:` or `|` in it."
            )
        if name in self.nodes:
            raise DefinitionError(
                f"add_node({name!r}) at {where}: that name was added at {self.nodes[name].where}. "
                "Give one of them another."
            )

    def _defined(
        self, name: str, action: Any, where: Place, input_schema: Any, destinations: Any
    ) -> NodeDefinition:
        hint = declared.first_parameter(action)
        is_schema = declared.schema_keys(hint) is not None
        labels: dict[str, str] = {}
        if destinations is None:
            targets: dict[Hashable, Target] = {name: name for name in declared.command_targets(action)}
        else:
            items = (
                destinations.items()
                if isinstance(destinations, Mapping)
                else [(d, None) for d in destinations]
            )
            targets = {}
            for target, label in items:
                at = target if isinstance(target, str) else target.target
                targets[at] = target
                if label is not None:
                    labels[at] = str(label)
        return NodeDefinition(
            name=name,
            action=action,
            where=where,
            input_schema=input_schema or (hint if is_schema else None),
            sent_type=hint if isinstance(hint, type) else None,
            destinations=targets,
            labels=labels,
        )

    def _router_name(self, source: str, path: Any) -> str:
        name = getattr(path, "name", None) or getattr(declared.function_of(path), "__name__", None)
        name = name if isinstance(name, str) and name not in ("<lambda>", "__call__") else "condition"
        taken = {r.name for r in self.routers if r.source == source}
        number, unique = 2, name
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        return unique

    def _check_interrupts(self, checkpointer: Any) -> None:
        if checkpointer is not None and checkpointer is not False:
            return
        from dalsegno.graphs.validation import Report
        from dalsegno.graphs.validation.resilience import without_checkpointer

        waived = {place for code, place, _ in self.waivers if code == "R404"}
        found = tuple(f for f in without_checkpointer(self.spec) if not any(map(f.is_at, waived)))
        Report(self.name, found).raise_for_errors()

    def _allow_types(self, checkpointer: Any) -> None:
        allow = getattr(checkpointer, "allow_schema", None)
        if allow is not None:
            allow(*self.state_types())


def _caller() -> Place:
    """The first place on the stack that is not in this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "dalsegno":
        if frame.f_globals["__name__"].startswith(("dalsegno.demo", "dalsegno.graphs.patterns")):
            break
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _name_of(action: Any) -> str:
    name = getattr(action, "name", None) if not hasattr(action, "__name__") else None
    if not isinstance(name, str):
        get_name = getattr(action, "get_name", None)
        name = get_name() if callable(get_name) else getattr(action, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise DefinitionError(f'{action!r} has no name of its own: add_node("name", ...).')
    return name


def _targets(given: Any, where: Place) -> dict[Hashable, Target]:
    if isinstance(given, str | Loop | Each):
        given = [given]
    if isinstance(given, Mapping):
        targets = dict(given)
    else:
        targets = {t if isinstance(t, str) else f"{t.target}" if isinstance(t, Loop) else t: t for t in given}
    for target in targets.values():
        if not isinstance(target, str | Loop | Each):
            raise DefinitionError(
                f"{where}: {target!r} is no target. A target is a node's name, END, a Loop or an Each."
            )
    return targets


def _label(answer: Hashable) -> str:
    """A router's answer in words; sends without an answer of their own go by the name of their node."""
    return answer.target if isinstance(answer, Each) else str(answer)


def _native_retry(policy: Any) -> Any:
    """LangGraph's own retry policy for one of ours; retries run outside of the node's wrapper."""
    from langgraph.types import RetryPolicy as Native

    if policy is None or isinstance(policy, Native):  # which is a tuple itself
        return policy
    if isinstance(policy, tuple | list):
        return tuple(map(_native_retry, policy))
    options = {
        f: getattr(policy, f)
        for f in ("max_attempts", "initial_interval", "backoff_factor", "max_interval", "jitter")
    }
    return Native(**options, retry_on=policy.retry_on or Exception)


def _child_of(action: Any) -> WorkflowSpec | None:
    if isinstance(action, Workflow):
        return action.spec
    if hasattr(action, "builder") or hasattr(action, "waiting_edges"):
        from dalsegno.graphs.reading import read_graph

        return read_graph(action)
    return None
