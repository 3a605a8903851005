"""What is wrapped around a node: value objects that say how."""

from dalsegno.nodes.policies.budget import Budget
from dalsegno.nodes.policies.retry import RetryPolicy

__all__ = ["Budget", "RetryPolicy"]
