"""Orchestration patterns: each is a function that returns a workflow."""

from dalsegno.graphs.patterns.grounded_answer import GroundedAnswer, grounded_answer
from dalsegno.graphs.patterns.roles import Node
from dalsegno.graphs.patterns.sequential import Sequential, Step, sequential

__all__ = ["GroundedAnswer", "Node", "Sequential", "Step", "grounded_answer", "sequential"]
