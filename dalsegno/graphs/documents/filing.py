"""What a step gives becomes an update of the document's state; and what a workflow that is a step is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.patterns.around import Around, Fell
from dalsegno.graphs.subworkflows import Handed
from dalsegno.graphs.wrapping import Inner

File = Callable[[Mapping[str, Any], dict[str, Any]], dict[str, Any]]
"""From the state and what was given to the update."""


class Filed(Around):
    """Makes another update of what a node gives; what its failure became stays as it is."""

    def __init__(self, inner: Caller, file: File, into: Callable[[Any], Any] | None = None) -> None:
        super().__init__(inner)
        self._file, self._into = file, into

    def _call(self, argument: Any, config: Config) -> Any:
        return self._given(argument, self.inner.call(self._handed(argument), config))

    async def _acall(self, argument: Any, config: Config) -> Any:
        return self._given(argument, await self.inner.acall(self._handed(argument), config))

    def _handed(self, argument: Any) -> Any:
        return argument if self._into is None else Handed(self._into(argument))

    def _given(self, argument: Any, output: Any) -> Any:
        if type(output) is Inner:
            return Inner(self._given(argument, output.output), output.walk)
        if isinstance(output, Fell) or not isinstance(output, dict):
            return output
        return self._file(argument, output)


def filed(file: File, *, into: Callable[[Any], Any] | None = None) -> Callable[[Caller], Caller]:
    """What to put around a node: `file` makes the update, `into` the input of a workflow that is the node."""
    return lambda caller: Filed(caller, file, into)
