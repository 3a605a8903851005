"""A workflow as a node of another: keys mapped in and out, its own bound, its counters fresh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.errors import GraphInterrupt, ParentCommand
from langgraph.types import Command

from dalsegno.graphs.calling import LIMIT, Caller, Config
from dalsegno.graphs.kernel import CONTEXT
from dalsegno.graphs.reaching import memory_of
from dalsegno.graphs.views import KERNEL
from dalsegno.graphs.wrapping import Inner
from dalsegno.nodes.entering import aentered, entered
from dalsegno.nodes.execution import current_execution
from dalsegno.nodes.subworkflow import keeping_nothing, mapped, unanswerable

if TYPE_CHECKING:
    from dalsegno.graphs.definitions import NodeDefinition
    from dalsegno.graphs.model import WorkflowSpec


class Handed(dict[str, Any]):
    """The input of a subworkflow as it is: what is put around its node hands it over, and no key is mapped."""


class SubworkflowCaller(Caller):
    """Calls a node's workflow (or LangGraph graph) as LangGraph calls a subgraph.

    `graph` is compiled, without a checkpointer of its own: it takes over that of the graph around it.
    """

    native = True

    def __init__(
        self, node: NodeDefinition, spec: WorkflowSpec, graph: Any, parent_keys: frozenset[str]
    ) -> None:
        self.action = node.action
        self.name = node.name
        self.graph = graph
        self.is_async = spec.is_async
        self._inputs = (
            dict(node.inputs) if node.inputs is not None else {k: k for k in spec.inputs & parent_keys}
        )
        self._outputs = (
            dict(node.outputs) if node.outputs is not None else {k: k for k in spec.outputs & parent_keys}
        )
        own_kernel = KERNEL in self.graph.channels
        self._reads = sorted(spec.outputs) + ([KERNEL] if own_kernel else [])
        # One that says nothing has as many supersteps as by itself, not those that are left to the graph around it.
        self._limit = (self.graph.config or {}).get("recursion_limit", LIMIT)
        self._keeps = self.graph.checkpointer is not False
        # The nodes of a workflow look after what is in them.
        self._lasts = self.graph.checkpointer is True or (not own_kernel and memory_of(self.graph).lasts)
        self.call = self._call
        self.acall = self._acall

    def _call(self, argument: Any, config: Config) -> Any:
        if self._lasts:
            config = entered(config)
        try:
            return self._out(
                self.graph.invoke(self._into(argument), self._own(config), output_keys=self._reads)
            )
        except ParentCommand as command:
            return self._gone(command)
        except GraphInterrupt as question:
            if self._keeps or CONTEXT not in config["configurable"]:
                raise
            raise unanswerable(question, self.name) from None

    async def _acall(self, argument: Any, config: Config) -> Any:
        if self._lasts:
            config = await aentered(config)
        try:
            return self._out(
                await self.graph.ainvoke(self._into(argument), self._own(config), output_keys=self._reads)
            )
        except ParentCommand as command:
            return self._gone(command)
        except GraphInterrupt as question:
            if self._keeps or CONTEXT not in config["configurable"]:
                raise
            raise unanswerable(question, self.name) from None

    def _into(self, argument: Any) -> Any:
        if type(argument) is Handed:
            return dict(argument)
        execution = current_execution()
        if execution is not None and execution.index is not None:
            return argument  # what was sent is the child's input
        return mapped(argument, self._inputs)

    def _own(self, config: Config) -> Any:
        own = {**config, "recursion_limit": self._limit}
        return own if self._keeps else keeping_nothing(own)

    def _out(self, result: Any) -> Inner:
        values: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
        record = values.get(KERNEL) or {}
        return Inner(mapped(values, self._outputs), record.get("walk", 0))

    def _gone(self, command: ParentCommand) -> Inner:
        """A `Command` to the parent: checked and counted by this node's own kernel, like any other."""
        asked, execution = command.args[0], current_execution()
        walk = execution.walked if execution is not None else 0
        return Inner(Command(update=asked.update, goto=asked.goto), walk)
