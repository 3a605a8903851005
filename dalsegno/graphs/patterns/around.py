"""What a pattern puts around a node's call, outside of its policies: see `NodeDefinition.around`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.wrapping import Inner


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
