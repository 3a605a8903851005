"""`Workflow`: build it, check it, compile it, draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.graphs.building import Builder
from dalsegno.nodes.player import Player

if TYPE_CHECKING:
    from dalsegno.graphs.compiling import Graph
    from dalsegno.graphs.definition import WorkflowDefinition
    from dalsegno.graphs.validation import Report

_RUNS = frozenset({
    "invoke", "ainvoke", "stream", "astream", "batch", "abatch", "get_state", "aget_state", "update_state",
    "aupdate_state", "get_graph", "run", "arun", "resume", "aresume",
})  # fmt: skip
"""What is asked of a workflow before it is compiled."""


class Workflow(Builder):
    """A graph of agents and tools whose every run is proved to end.

    Parameters
    ----------
    name
        The workflow's name, in the ledger and in pictures.
    state_schema
        A TypedDict, dataclass or pydantic class. Keys may have reducers, as in LangGraph.
    context_schema, input_schema, output_schema
        As in `StateGraph`.
    version
        The version of the workflow. It is kept with each run; see `add_migration`.
    budget
        What one run may spend. The check compares the certificate with it.

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

    definition: WorkflowDefinition | None = None
    """The document that it was made of; None where it was made in Python."""

    def validate(self, *, exact: bool = False) -> Report:
        """Check the workflow. `exact=True` computes the least bounds; see `dalsegno.validate`."""
        from dalsegno.graphs.validation import check

        return check(self.spec, exact=exact)

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
            The check found errors, or there is no checkpointer and a node waits for a human, here or in a
            subworkflow (R404).
        """
        graph = self.compile_part(checkpointer, **options)
        self._check_interrupts(checkpointer)
        return graph

    def compile_part(self, checkpointer: Any = None, **options: Any) -> Graph:
        """Compile to a node of a LangGraph graph, or for a platform that brings its own checkpointer.

        It does what `compile` does, without the rule R404: if no checkpointer is given, the graph uses that of the
        graph around it.
        """
        from dalsegno.graphs.compiling import compile_workflow
        from dalsegno.graphs.validation.checking import check_parts

        spec = self.spec
        report, certificates = check_parts(spec)
        report.raise_for_errors()
        self._allow_types(checkpointer)
        return compile_workflow(self, spec, certificates, checkpointer=checkpointer, **options)

    def state_types(self) -> list[Any]:
        """Every schema of the workflow and its subworkflows, and of answers, for the checkpointer's allow-list."""
        schemas = [self.state_schema, self.input_schema, self.output_schema, self.context_schema]
        for node in self.nodes.values():
            schemas += [node.input_schema, node.sent_type]
            if isinstance(node.action, Player):
                schemas += node.action.answers()
            if isinstance(node.action, Workflow):
                schemas += node.action.state_types()
        return [schema for schema in schemas if schema is not None]

    def draw(self, path: str | Path, *, run: Any = None) -> Path:
        """Draw the workflow to a file. Its suffix says how: .svg .png .pdf .html .dot .mmd .txt"""
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
            return {"text/plain": viz.to_text(self.spec)}

    if not TYPE_CHECKING:  # to a type checker every name would be one that there is

        def __getattr__(self, name: str) -> Any:
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in _RUNS:
                told += (
                    ". A workflow runs when it is compiled, `flow.compile().invoke(...)`, or in a Runner, which keeps "
                    "every superstep: `Runner(flow).run(...)`."
                )
            raise AttributeError(told, name=name, obj=self)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} version {self.version}: {len(self.nodes)} nodes>"

    # -- inside -------------------------------------------------------------------------------------

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
