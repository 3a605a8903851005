"""Calls of models and tools as events of the run: LangChain tells of each, whoever makes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.errors import GraphInterrupt

from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.shaping import levels_in
from dalsegno.nodes.execution import Execution, current_execution
from dalsegno.nodes.paths import coded
from dalsegno.nodes.policies.metering import usage_of
from dalsegno.nodes.policies.words import words_of
from dalsegno.runtime.events import CallFinished, CallStarted

if TYPE_CHECKING:
    from dalsegno.runtime.session import Session


ABANDONED = "Abandoned"
"""The error of a call that nobody waits for any more."""


class _Open(NamedTuple):
    began: float
    since: float
    node: str
    execution: Execution | None
    kind: Literal["model", "tool"]
    name: str
    provider: str | None


class CallWatch(BaseCallbackHandler):
    """Tells a run's listeners of every call of a model or a tool in its nodes."""

    run_inline = True
    ignore_chain = ignore_retriever = True

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: dict[UUID, _Open] = {}
        self._lock = threading.Lock()

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any = None, **kwargs: Any
    ) -> None:
        self._model(run_id, metadata, lambda: [message_to_dict(m) for batch in messages for m in batch])

    def on_llm_start(
        self, serialized: Any, prompts: Any, *, run_id: UUID, metadata: Any = None, **kwargs: Any
    ) -> None:
        self._model(run_id, metadata, lambda: list(prompts))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        model, tokens_in, tokens_out = usage_of(response)
        self._end(run_id, lambda: _answered(response), model, tokens_in, tokens_out)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, lambda: words_of(error), error=type(error).__name__)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, inputs: Any = None, **kwargs: Any
    ) -> None:
        name = (serialized or {}).get("name") or "tool"
        self._begin(run_id, "tool", name, None, lambda: inputs if inputs is not None else input_str)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, lambda: output.content if isinstance(output, BaseMessage) else str(output))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        if isinstance(error, GraphInterrupt):
            self._end(run_id, lambda: "", interrupted=True)
        else:
            self._end(run_id, lambda: words_of(error), error=type(error).__name__)

    def _model(self, run_id: UUID, metadata: Any, content: Callable[[], Any]) -> None:
        known = metadata or {}
        name = known.get("ls_model_name") or known.get("ls_model_type") or "model"
        self._begin(run_id, "model", str(name), known.get("ls_provider"), content)

    def _begin(
        self,
        run_id: UUID,
        kind: Literal["model", "tool"],
        name: str,
        provider: str | None,
        content: Callable[[], Any],
    ) -> None:
        session, current = self._session, current_execution()
        execution = current.whole if current is not None else None
        node = session.shown(execution.place) if execution is not None else ""
        opened = _Open(session.clock(), time.monotonic(), node, execution, kind, name, provider)
        with self._lock:
            self._open[run_id] = opened
        common = self._common(run_id, opened, content)
        session.tell(CallStarted(**common, at=opened.began, name=name))

    def _end(
        self,
        run_id: UUID,
        content: Callable[[], Any],
        model: str | None = None,
        input_tokens: int = 0,
        output_tokens: int = 0,
        error: str | None = None,
        interrupted: bool = False,
    ) -> None:
        with self._lock:
            opened = self._open.pop(run_id, None)
        if opened is None:
            return
        seconds = time.monotonic() - opened.since
        self._session.tell(
            CallFinished(
                **self._common(run_id, opened, content),
                at=opened.began + seconds,
                name=model or opened.name,
                seconds=seconds,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                error=error,
                interrupted=interrupted,
            )
        )

    def give_up(self, execution: Execution | None = None) -> None:
        """Tell the end of calls that have none: of an attempt that has failed, or of all where the turn is over.

        LangChain tells of no end where a call is cancelled, and of one in an abandoned thread long after.
        """
        with self._lock:
            left = [i for i, each in self._open.items() if execution is None or each.execution is execution]
        for run_id in left:
            self._end(run_id, lambda: "", error=ABANDONED)

    def _common(self, run_id: UUID, opened: _Open, content: Callable[[], Any]) -> dict[str, Any]:
        session = self._session

        def shown() -> Any:
            if opened.execution is not None:
                session.secrets.learn(opened.execution.argument)
            return session.secrets.shown(content())

        return {
            "run_id": session.run_id,
            "thread": session.thread,
            "call_id": str(run_id),
            "node": opened.node,
            "kind": opened.kind,
            "provider": opened.provider,
            "content": shown,
        }


def _answered(response: LLMResult) -> Sequence[Any]:
    generations = [g for each in response.generations for g in each]
    return [message_to_dict(g.message) if isinstance(g, ChatGeneration) else g.text for g in generations]


def kinds_of(spec: WorkflowSpec) -> Mapping[str, str]:
    """What each node is, by its place; those of subworkflows too."""
    return {
        prefix + coded(name): str(node.kind)
        for level, prefix in levels_in(spec)
        for name, node in level.nodes.items()
    }
