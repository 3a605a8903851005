"""Who does the work: nodes, effects and the policies around them."""

from dalsegno.nodes.effect import aeffect, effect
from dalsegno.nodes.execution import Execution, current_execution

__all__ = ["Execution", "aeffect", "current_execution", "effect"]
