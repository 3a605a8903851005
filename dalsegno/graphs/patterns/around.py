"""What a pattern puts around a node's call, outside of its policies: see `NodeDefinition.around`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.runtime import get_runtime
from langgraph.types import RetryPolicy

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.wrapping import Inner
from dalsegno.nodes.execution import CURRENT, note_caught
from dalsegno.nodes.policies.case import is_fault, matches
from dalsegno.nodes.policies.words import words_of


class Fell(dict[str, Any]):
    """The update that a role's failure became: not an answer of its actor."""


class Around(Caller):
    """A caller around another one; it is what that one is. Subclasses change what `call` and `acall` do."""

    def __init__(self, inner: Caller) -> None:
        self.inner = inner
        self.action, self.name = inner.action, inner.name
        self.native, self.is_async, self.policed = inner.native, inner.is_async, inner.policed
        graph = getattr(inner, "graph", None)
        if graph is not None:
            self.graph = graph
        self.call = inner.call if inner.is_async else self._call
        self.acall = self._acall

    def _call(self, argument: Any, config: Config) -> Any:
        return self.inner.call(argument, config)

    async def _acall(self, argument: Any, config: Config) -> Any:
        return await self.inner.acall(argument, config)


class Answered(Around):
    """Turns what a subworkflow gave under the role's key into the role's answer."""

    def __init__(self, inner: Caller, answer: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__(inner)
        self._answer = answer

    def _call(self, argument: Any, config: Config) -> Any:
        return self._given(self.inner.call(argument, config))

    async def _acall(self, argument: Any, config: Config) -> Any:
        return self._given(await self.inner.acall(argument, config))

    def _given(self, output: Any) -> Any:
        if type(output) is Inner:
            return Inner(self._given(output.output), output.walk)
        return self._answer(output) if type(output) is dict else output


class Caught(Around):
    """Turns what failed for good into an update, where no fallback may stand: at a node that waits for a human.

    `retry` is LangGraph's own, which stands outside of this: what it tries again has not failed for good.
    """

    def __init__(self, inner: Caller, make: Callable[[Any, Exception], dict[str, Any]], retry: Any) -> None:
        super().__init__(inner)
        self._make = make
        self._retries = [] if retry is None else [retry] if isinstance(retry, RetryPolicy) else list(retry)

    def _call(self, argument: Any, config: Config) -> Any:
        try:
            return self.inner.call(argument, config)
        except Exception as error:
            if not self._has_failed(error):
                raise
            return self._update(argument, error)

    async def _acall(self, argument: Any, config: Config) -> Any:
        try:
            return await self.inner.acall(argument, config)
        except Exception as error:
            if not self._has_failed(error):
                raise
            return self._update(argument, error)

    def _has_failed(self, error: Exception) -> bool:
        if not is_fault(error):
            return False
        retry = next((each for each in self._retries if matches(each.retry_on, error)), None)
        info = get_runtime().execution_info
        return retry is None or info is None or info.node_attempt >= retry.max_attempts

    def _update(self, argument: Any, error: Exception) -> Fell:
        update = Fell(self._make(argument, error))
        note_caught(error)
        execution = CURRENT.get()
        if execution is not None and execution.context is not None:
            detail = {"by": None, "error": type(error).__name__, "message": words_of(error)}
            execution.context.acted(execution, "fallback", "answered", detail)
        return update
