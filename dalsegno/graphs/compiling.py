"""A workflow becomes a LangGraph graph: every node wrapped in its kernel, every edge checked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Required, TypedDict, get_args, get_origin

from langchain_core.runnables import RunnableConfig
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.managed.base import is_managed_value
from langgraph.runtime import get_runtime

from dalsegno.graphs.beginning import wait_anew
from dalsegno.graphs.building import Builder
from dalsegno.graphs.calling import ERROR, Caller, Config
from dalsegno.graphs.declarations import schema_keys
from dalsegno.graphs.kernel import CONTEXT, NodeKernel, merge_records, record_of, walk_to
from dalsegno.graphs.model import START, EdgeSpec, Loop, WorkflowSpec
from dalsegno.graphs.policing import PolicedCaller, policed
from dalsegno.graphs.reading import SPEC, own_builder
from dalsegno.graphs.routing import Decision, Router
from dalsegno.graphs.subworkflows import SubworkflowCaller
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.views import KERNEL, as_sent, keys_of, view_of
from dalsegno.graphs.wrapping import Written, acall_node, call_node, wrapped
from dalsegno.nodes.execution import CURRENT
from dalsegno.nodes.paths import coded
from dalsegno.nodes.policies import Policies
from dalsegno.nodes.policies.metering import ACCOUNT, ASKED, METER, THE_METER, WATCH, Asked

if TYPE_CHECKING:
    from dalsegno.graphs.definitions import NodeDefinition, RouterDefinition
    from dalsegno.graphs.validation import Certificate
    from dalsegno.graphs.validation.checking import Certificates

Graph = CompiledStateGraph[Any, Any, Any, Any]


def compile_workflow(
    workflow: Builder, spec: WorkflowSpec, certificates: Certificates, **options: Any
) -> Graph:
    """Compile to a plain `CompiledStateGraph`.

    `spec` is the workflow's as it is now; `certificates` has what was proved of it and of the workflows in it.
    `options` are those of `StateGraph.compile`.
    """
    kernel = Annotated[dict[str, Any], merge_records]
    annotations = {key: _with_a_name(hint) for key, hint in workflow.annotations.items()}
    whole = _schema(workflow.state_schema.__name__, {**annotations, KERNEL: kernel})
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(
        whole,
        workflow.context_schema,
        input_schema=_without_managed(workflow.input_schema),
        output_schema=_without_managed(workflow.output_schema),
    )
    assembly = _Assembly(workflow, spec, certificates, graph, whole)
    for name in workflow.nodes:
        assembly.add_node(name)
    assembly.add_edges()
    setattr(graph, SPEC, spec)
    compiled = graph.compile(**{**options, "name": options.get("name") or workflow.name})
    for name in assembly.routed:
        compiled.nodes[name].writers.append(Written())
    wait_anew(compiled)
    return compiled.with_config({"recursion_limit": assembly.bound + 1})


def _proved(workflow: Builder, certificate: Certificate | None) -> tuple[int, frozenset[str]]:
    """The supersteps of this level, and the nodes that run at most once in a run."""
    bound = certificate.level_supersteps if certificate else sys.maxsize - 1
    if workflow.used_before is not None:
        return bound + workflow.used_before, frozenset()
    most = certificate.executions_by_node if certificate else {}
    return bound, frozenset(name for name in workflow.nodes if name in most and most[name] <= 1)


def _with_a_name(hint: Any) -> Any:
    """An annotation whose reducer has a name. LangGraph compares the reducers of two schemas, and fails where one has
    no name, as a `functools.partial`; a lambda it takes for the same as any other one."""
    while get_origin(hint) in (Required, NotRequired):
        hint = get_args(hint)[0]
    *marks, reducer = getattr(hint, "__metadata__", (None,))
    if not callable(reducer) or hasattr(reducer, "__name__"):
        return hint
    return Annotated[(hint.__origin__, *marks, lambda old, new: reducer(old, new))]


def _without_managed(schema: Any) -> Any:
    keys = schema_keys(schema) or {}
    managed = {
        k for k, hint in keys.items() if any(is_managed_value(m) for m in getattr(hint, "__metadata__", ()))
    }
    if not managed:
        return schema
    return _schema(schema.__name__, {k: h for k, h in keys.items() if k not in managed})


def _schema(name: str, annotations: dict[str, Any]) -> Any:
    """A TypedDict of annotations that are only known now."""
    make: Any = TypedDict
    return make(name, annotations)


class _Assembly:
    """One compilation: the workflow on one side, LangGraph's builder on the other."""

    def __init__(
        self,
        workflow: Builder,
        spec: WorkflowSpec,
        certificates: Certificates,
        graph: StateGraph[Any, Any, Any, Any],
        whole: Any,
    ) -> None:
        self.workflow = workflow
        self.spec = spec
        self.certificates = certificates
        self.graph = graph
        certificate = certificates[id(spec)]
        self.bound, self.once = _proved(workflow, certificate)
        self.proved_calls = certificate.model_calls if certificate else None
        self.whole = whole
        self.known = frozenset(workflow.annotations) - frozenset(graph.managed)
        self.reduced = {
            key: channel
            for key, channel in graph.channels.items()
            if key in self.known
            and type(channel).__name__ not in ("LastValue", "EphemeralValue", "UntrackedValue")
        }
        self.leaving: dict[str, list[EdgeSpec]] = {}
        for edge in workflow.edges:
            for source in dict.fromkeys(edge.origins):
                self.leaving.setdefault(source, []).append(edge)
        self.sent_to = Facts(spec).sent_to  # as T103 has it: elsewhere loops are counted
        self.routed = self.sent_to & {router.source for router in workflow.routers}

    def add_node(self, name: str) -> None:
        node = self.workflow.nodes[name]
        caller = policed(
            self._caller(node),
            node,
            node.policies,
            workflow=self.workflow.name,
            writes=self.spec.nodes[name].writes if node.policies.watch is not None else None,
            known=self.known,
        )
        if node.around is not None:
            caller = node.around(caller)
        inside = () if name in self.sent_to else self._routers(name)
        kernel = self._kernel(node, caller, inside)
        is_async = caller.is_async or any(router.is_async for _, router, _ in inside)
        options = dict(node.options)
        if node.handler is not None:
            options["error_handler"] = self._handler(node)
        self.graph.add_node(
            name,
            wrapped(kernel, is_async=is_async),
            input_schema=self.whole,
            destinations=self._drawn(node, inside),
            **options,
        )

    def _caller(self, node: NodeDefinition) -> Caller:
        child = self.spec.nodes[node.name].child
        if child is None:
            return Caller(node.action, name=node.name)
        if isinstance(node.action, Builder):
            graph = compile_workflow(node.action, child, self.certificates)
        else:
            graph = own_builder(node.action).compile() if hasattr(node.action, "compile") else node.action
        return SubworkflowCaller(node, child, graph, self.known)

    def _kernel(self, node: NodeDefinition, caller: Caller, inside: tuple[Any, ...]) -> NodeKernel:
        schema = node.input_schema or self.workflow.state_schema
        edges = self.leaving.get(node.name, ())
        static = tuple(e.target for e in edges if e.kind == "static")
        joined = [e.target for e in edges if e.kind == "join"]
        if not inside:
            joined += [e.target for e in edges if e.kind == "choice"]
        routed = node.name in self.routed
        aliases = self.workflow.aliases
        own = None
        if node.destinations:
            own = Router.of(node.name, None, node.destinations, many=True, aliases=aliases)
        return NodeKernel(
            name=node.name,
            caller=caller,
            view=view_of(schema) if node.child is None else keys_of(self.known),
            coerce=as_sent(node.sent_type),
            known=self.known,
            reduced=self.reduced,
            bound=self.bound,
            own=own,
            routers=inside,
            static=static,
            joined=tuple(joined),
            goes_on=bool(joined) or routed,
            routed=routed,
            handled=node.handler is not None,
            once=node.name in self.once,
        )

    def _routers(self, source: str) -> tuple[tuple[Router, Caller, Any], ...]:
        return tuple(self._router(r) for r in self.workflow.routers if r.source == source)

    def _router(self, router: RouterDefinition) -> tuple[Router, Caller, Any]:
        aliases = self.workflow.aliases
        checked = Router.of(router.source, router.name, router.targets, many=router.many, aliases=aliases)
        return (
            checked,
            Caller(router.action, name=router.name),
            view_of(router.schema or self.workflow.state_schema),
        )

    def _drawn(self, node: NodeDefinition, inside: tuple[Any, ...]) -> tuple[str, ...]:
        targets = [*node.destinations.values()]
        targets += [
            t for r in self.workflow.routers if inside and r.source == node.name for t in r.targets.values()
        ]
        names: list[str] = []
        for target in targets:
            while isinstance(target, Loop) and target.on_exhausted is not None:
                names.append(target.target)
                target = target.on_exhausted
            names.append(target if isinstance(target, str) else target.target)
        return tuple(dict.fromkeys(names))

    def _handler(self, node: NodeDefinition) -> Callable[..., Any]:
        definition = node.handler
        assert definition is not None
        caller = Caller(definition.action, name=definition.name)
        if node.said["calls"] is not None:  # it may call models as often as an attempt of the node
            caller = PolicedCaller(
                caller,
                Policies(),
                owner=(self.workflow.name, node.name),
                writes=None,
                most_calls=node.said["calls"],
                known=self.known,
            )
        own = self._kernel(definition, caller, ())
        kernel = replace(
            own,
            name=node.name,
            static=(),
            joined=(),
            own=own.own and replace(own.own, source=node.name, of_handler=True),
            goes_on=False,
            routed=False,
            once=node.name in self.once,
            handles=True,
        )

        def handler(state: Any, error: NodeError, config: RunnableConfig) -> Any:
            return call_node(kernel, state, config, {**config, ERROR: error})

        async def ahandler(state: Any, error: NodeError, config: RunnableConfig) -> Any:
            return await acall_node(kernel, state, config, {**config, ERROR: error})

        chosen: Callable[..., Any] = ahandler if kernel.caller.is_async else handler
        chosen.__name__ = definition.name
        return chosen

    def add_edges(self) -> None:
        for edge in self.workflow.edges:
            if edge.kind == "static":
                self.graph.add_edge(edge.source, edge.target)
            elif edge.kind == "join":
                self.graph.add_edge(list(edge.sources), edge.target)
        for router in self.workflow.routers:
            if router.source == START or router.source in self.sent_to:
                ways = (
                    e for e in self.workflow.edges if (e.source, e.router) == (router.source, router.name)
                )
                self.graph.add_conditional_edges(
                    router.source, self._outside(router), {e.target: e.target for e in ways}
                )

    def _outside(self, definition: RouterDefinition) -> Callable[..., Any]:
        """A router that LangGraph evaluates itself: of START, which has no wrapper, or of a sent-to
        node, whose wrapper sees only what was sent."""
        router, caller, view = self._router(definition)
        asked = Asked(coded(router.source), self.proved_calls)

        def decided(state: Mapping[str, Any], config: Config, answer: Any) -> list[Any]:
            step = config["metadata"]["langgraph_step"]
            context = config["configurable"].get(CONTEXT)
            at_start = router.source == START  # where nothing is counted yet
            record = record_of(None if at_start else state.get(KERNEL), step, context)
            used = 0 if at_start else record["used"] + (record["step"] < step)
            into = 0 if at_start else walk_to(router.source, record, step)
            place = config["metadata"]["langgraph_path"]
            stamp = {
                "run": None if at_start and context is None else record["run"],
                "by": router.source if at_start else f"{coded(router.source)}#{used}.{place[1]}",
                "used": used,
                "walk": max(record["walk"], into),
                "into": into,
            }
            decision = Decision({})
            router.decide(answer, decision, stamp)
            if context is not None:
                info = get_runtime().execution_info
                tasks = (info.task_id, info.checkpoint_id) if info else ()
                context.routed(router.source, used, decision.taken, tasks)
            return decision.goto

        def route(state: Any, config: RunnableConfig) -> Any:
            with _counted(config, asked):
                answer = caller.call(view(state), config)
            return decided(state, config, answer)

        async def aroute(state: Any, config: RunnableConfig) -> Any:
            with _counted(config, asked):
                answer = await caller.acall(view(state), config)
            return decided(state, config, answer)

        chosen: Callable[..., Any] = aroute if caller.is_async else route
        chosen.__name__ = definition.name
        return chosen


@contextmanager
def _counted(config: Config, router: Asked) -> Iterator[None]:
    """What a router calls in here is told to the run's listeners, and spent out of the run's account."""
    context = config["configurable"].get(CONTEXT)
    variables: list[tuple[ContextVar[Any], Any]] = []
    if context is not None:
        variables.append((WATCH, context.watch))
        if CURRENT.get() is None:  # else it is spent by the subworkflow that it is in
            variables.append((ACCOUNT, context.account))
    if context is not None or router.proved is not None:
        variables += [(METER, THE_METER), (ASKED, router)]
    tokens = [(variable, variable.set(value)) for variable, value in variables]
    try:
        yield
    finally:
        THE_METER.give_up(CURRENT.get())
        for variable, token in reversed(tokens):
            variable.reset(token)
