"""Who does the work: nodes, effects and the policies around them."""

from dalsegno.nodes.effect import aeffect, effect
from dalsegno.nodes.execution import Execution, current_execution
from dalsegno.nodes.secrets import Secret

__all__ = ["Execution", "Secret", "aeffect", "current_execution", "effect"]
