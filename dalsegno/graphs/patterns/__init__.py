"""Orchestration patterns: each is a function that returns a workflow."""

from dalsegno.graphs.patterns.grounded_answer import GroundedAnswer, grounded_answer

__all__ = ["GroundedAnswer", "grounded_answer"]
