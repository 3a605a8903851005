"""How much a run, a workflow or a node may spend."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dalsegno.errors import DefinitionError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of what may be spent; None is no limit.

    Parameters
    ----------
    supersteps, model_calls, tokens
        Counts.
    seconds
        Time in seconds.
    cost
        Money, in the unit of the prices that the models' usage is counted with.
    """

    supersteps: int | None = None
    model_calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (isinstance(value, bool) or not value >= 0):
                raise DefinitionError(f"Budget({field.name}={value!r}): a limit is a number, 0 or more.")
