"""A role that may answer what nobody can use: the wrong answer becomes an update, and the pattern decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dalsegno.errors import AnswerInvalid, WrongAnswer
from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.patterns.around import Around, Fell


def doubted(role: str, update: dict[str, Any]) -> Callable[[Caller], Caller]:
    """What to put around the node of a role, so that an answer that is none of its type becomes that update."""
    return lambda caller: _Doubted(caller, role, update)


class _Doubted(Around):
    def __init__(self, inner: Caller, role: str, update: dict[str, Any]) -> None:
        super().__init__(inner)
        self._role = role
        self._update = update

    def _call(self, argument: Any, config: Config) -> Any:
        try:
            return self.inner.call(argument, config)
        except (WrongAnswer, AnswerInvalid) as error:
            return self._instead_of(error)

    async def _acall(self, argument: Any, config: Config) -> Any:
        try:
            return await self.inner.acall(argument, config)
        except (WrongAnswer, AnswerInvalid) as error:
            return self._instead_of(error)

    def _instead_of(self, error: WrongAnswer | AnswerInvalid) -> Fell:
        if isinstance(error, WrongAnswer) and error.role != self._role:
            raise error  # of a role within
        return Fell(self._update)
