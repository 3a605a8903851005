"""What is wrapped around a node, and the one order in which it is: see `dalsegno.nodes.policies.stack`."""

from typing import TYPE_CHECKING, Any

from dalsegno.nodes.policies.account import Account
from dalsegno.nodes.policies.breaker import CircuitBreaker
from dalsegno.nodes.policies.budget import Budget
from dalsegno.nodes.policies.cache import Cache
from dalsegno.nodes.policies.case import Action
from dalsegno.nodes.policies.clock import Clock, ManualClock, SystemClock
from dalsegno.nodes.policies.fallback import Fallback
from dalsegno.nodes.policies.rate_limit import RateLimit
from dalsegno.nodes.policies.retry import RetryPolicy
from dalsegno.nodes.policies.stack import Policies, with_policies
from dalsegno.nodes.policies.timeout import Timeout
from dalsegno.nodes.policies.watch import Watch

if TYPE_CHECKING:
    from dalsegno.nodes.policies.metering import spend

__all__ = [
    "Account",
    "Action",
    "Budget",
    "Cache",
    "CircuitBreaker",
    "Clock",
    "Fallback",
    "ManualClock",
    "Policies",
    "RateLimit",
    "RetryPolicy",
    "SystemClock",
    "Timeout",
    "Watch",
    "spend",
    "with_policies",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`spend` counts LangChain's models, and is the only one that needs it imported."""
        if name != "spend":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from dalsegno.nodes.policies.metering import spend

        return spend
