"""Conducts a conversation: calls the model and the tools, and recalls what was said before a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig

from dalsegno.errors import DefinitionError
from dalsegno.nodes.beside_nodes import in_thread
from dalsegno.nodes.conversation import Answer, Ask, Offer, Talk, Use
from dalsegno.nodes.execution import current_execution
from dalsegno.nodes.recalling import digest_of, is_in_run, keep, recalled
from dalsegno.nodes.structured import Output, Said
from dalsegno.nodes.toolbox import Toolbox


class Conductor:
    """One execution of an agent.

    A turn that called tools, and the result of each call, are kept when they have come. An execution that is repeated,
    after a crash or by a retry, reads them back as far as the conversation is the same, and goes on from there. The
    last answer is not kept: it is committed with the node, or did not do.

    Parameters
    ----------
    asking
        The model with what it is offered.
    """

    def __init__(
        self,
        asking: Callable[[Offer], Runnable[Any, Any]],
        toolbox: Toolbox,
        output: Output | None,
        state: Any,
        config: RunnableConfig,
        node: str,
    ) -> None:
        self._asking, self._toolbox, self._output, self._node = asking, toolbox, output, node
        self._state, self._config = state, config
        self._counted: Counter[str] = Counter()
        self._turn = ""

    def run(self, talk: Talk) -> Answer:
        """Conduct it to its end."""
        step = next(talk)
        while True:
            done = self._do(step)
            try:
                step = talk.send(done)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the generator returns

    async def arun(self, talk: Talk) -> Answer:
        """`run` in the running event loop."""
        step = next(talk)
        while True:
            done = await self._ado(step)
            try:
                step = talk.send(done)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # as above

    def _do(self, step: Any) -> Any:
        if isinstance(step, Ask):
            before = recalled(self._named(step)) if step.offer == "tools" else None
            if before is not None:
                return self._recalled(before)
            said = self._said(self._asking(step.offer).invoke(list(step.messages), self._config))
            if self._is_kept(step, said):
                keep(self._named(step), said.message)
            return said
        if isinstance(step, Use):
            return self._toolbox.use(step.calls, **self._around())
        return self._tell("corrected", {"correction": step.number})

    async def _ado(self, step: Any) -> Any:
        if isinstance(step, Ask):
            in_run = step.offer == "tools" and is_in_run()
            before = await in_thread(recalled, self._named(step)) if in_run else None
            if before is not None:
                return self._recalled(before)
            said = self._said(await self._asking(step.offer).ainvoke(list(step.messages), self._config))
            if in_run and self._is_kept(step, said):
                await in_thread(keep, self._named(step), said.message)
            return said
        if isinstance(step, Use):
            return await self._toolbox.ause(step.calls, **self._around())
        return self._tell("corrected", {"correction": step.number})

    def _around(self) -> dict[str, Any]:
        return {"config": self._config, "counted": self._counted, "state": self._state, "turn": self._turn}

    def _named(self, step: Ask) -> str:
        """The name under which a turn is kept: its conversation, so that a changed prompt begins anew."""
        self._turn = digest_of(step.messages, list(self._toolbox.tools))
        return f"turn {self._turn}"

    def _is_kept(self, step: Ask, said: Said) -> bool:
        own = self._output.name if self._output is not None else None
        return step.offer == "tools" and any(call["name"] != own for call in said.message.tool_calls)

    def _recalled(self, message: Any) -> Said:
        assert isinstance(message, AIMessage)
        self._tell("recalled", {"tool_calls": len(message.tool_calls)})
        return Said(message)

    def _said(self, result: Any) -> Said:
        is_shaped = self._output is not None and isinstance(result, Mapping)
        message = result.get("raw") if is_shaped else result
        if not isinstance(message, AIMessage):
            raise DefinitionError(
                f"The model of `{self._node}` gave {type(message).__name__}, not a message: an agent needs the chat "
                "model itself, without a parser or another step after it."
            )
        if is_shaped:
            assert self._output is not None
            return self._output.said(result)
        return Said(message)

    def _tell(self, what: str, detail: Mapping[str, Any]) -> None:
        execution = current_execution()
        if execution is not None and execution.context is not None:
            execution.context.acted(execution.whole, "agent", what, detail)
