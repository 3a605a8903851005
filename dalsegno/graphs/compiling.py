"""A workflow becomes a LangGraph graph: every node wrapped in its kernel, every edge checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.managed.base import is_managed_value
from langgraph.runtime import get_runtime

from dalsegno.graphs.calling import ERROR, Caller, Config
from dalsegno.graphs.declarations import schema_keys
from dalsegno.graphs.kernel import CONTEXT, NodeKernel, merge_records, record_of, walk_to
from dalsegno.graphs.model import START, Loop
from dalsegno.graphs.policing import policed
from dalsegno.graphs.reading import SPEC
from dalsegno.graphs.routing import Decision, Router
from dalsegno.graphs.subworkflows import SubworkflowCaller
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.views import KERNEL, as_sent, keys_of, view_of
from dalsegno.graphs.wrapping import acall_node, call_node, wrapped
from dalsegno.nodes.paths import coded
from dalsegno.nodes.policies.metering import WATCH

if TYPE_CHECKING:
    from dalsegno.graphs.definitions import NodeDefinition, RouterDefinition
    from dalsegno.graphs.workflow import Workflow

Graph = CompiledStateGraph[Any, Any, Any, Any]


def compile_workflow(workflow: Workflow, bound: int, once: Collection[str] = (), **options: Any) -> Graph:
    """Compile to a plain `CompiledStateGraph`.

    `bound` are the supersteps proved for this level, `once` the nodes proved to run at most once in a
    run; `options` are those of `StateGraph.compile`.
    """
    kernel = Annotated[dict[str, Any], merge_records]
    whole = _schema(workflow.state_schema.__name__, {**workflow.annotations, KERNEL: kernel})
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(
        whole,
        workflow.context_schema,
        input_schema=_without_managed(workflow.input_schema),
        output_schema=_without_managed(workflow.output_schema),
    )
    assembly = _Assembly(workflow, graph, bound, whole, frozenset(once))
    for name in workflow.nodes:
        assembly.add_node(name)
    assembly.add_edges()
    setattr(graph, SPEC, workflow.spec)
    compiled = graph.compile(name=workflow.name, **options)
    return compiled.with_config({"recursion_limit": bound + 1})


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
        workflow: Workflow,
        graph: StateGraph[Any, Any, Any, Any],
        bound: int,
        whole: Any,
        once: frozenset[str],
    ) -> None:
        self.workflow = workflow
        self.graph = graph
        self.bound = bound
        self.once = once
        self.whole = whole
        self.known = frozenset(workflow.annotations) - frozenset(graph.managed)
        self.reduced = {
            key: channel
            for key, channel in graph.channels.items()
            if key in self.known
            and type(channel).__name__ not in ("LastValue", "EphemeralValue", "UntrackedValue")
        }
        self.sent_to = Facts(workflow.spec).sent_to  # as T103 has it: elsewhere loops are counted

    def add_node(self, name: str) -> None:
        node = self.workflow.nodes[name]
        caller = Caller(node.action, name=name) if node.child is None else SubworkflowCaller(node, self.known)
        caller = policed(
            caller,
            node,
            node.policies,
            workflow=self.workflow.name,
            writes=self.workflow.spec.nodes[name].writes if node.policies.watch is not None else None,
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

    def _kernel(self, node: NodeDefinition, caller: Caller, inside: tuple[Any, ...]) -> NodeKernel:
        schema = node.input_schema or self.workflow.state_schema
        static = tuple(e.target for e in self.workflow.edges if e.kind == "static" and e.source == node.name)
        joined = [e.target for e in self.workflow.edges if e.kind == "join" and node.name in e.sources]
        if not inside:
            joined += [e.target for e in self.workflow.edges if e.kind == "choice" and e.source == node.name]
        outside = any(r.source == node.name for r in self.workflow.routers) and not inside
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
            goes_on=bool(joined) or outside,
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
        own = self._kernel(definition, Caller(definition.action, name=definition.name), ())
        kernel = replace(own, name=node.name, static=(), joined=(), goes_on=False)

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

        def decided(state: Mapping[str, Any], config: Config, answer: Any) -> list[Any]:
            step = config["metadata"]["langgraph_step"]
            context = config["configurable"].get(CONTEXT)
            at_start = router.source == START
            record = record_of(state.get(KERNEL), step, context)
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
            with _heard(config):
                answer = caller.call(view(state), config)
            return decided(state, config, answer)

        async def aroute(state: Any, config: RunnableConfig) -> Any:
            with _heard(config):
                answer = await caller.acall(view(state), config)
            return decided(state, config, answer)

        chosen: Callable[..., Any] = aroute if caller.is_async else route
        chosen.__name__ = definition.name
        return chosen


@contextmanager
def _heard(config: Config) -> Iterator[None]:
    """The run's listeners hear of the models that a router calls in here."""
    context = config["configurable"].get(CONTEXT)
    token = WATCH.set(context.watch if context is not None else WATCH.get())
    try:
        yield
    finally:
        WATCH.reset(token)
