"""What can be seen of runs from outside: logs, traces and metrics, each a listener of runtime events.

    Runner(flow, on_event=(Logs(), Traces(), Prometheus()))

Each needs its own extra (`logs`, `otel`, `prometheus`), and nothing is imported before one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.observe.logs import Logs
    from dalsegno.observe.measures import Measures
    from dalsegno.observe.prometheus import Prometheus
    from dalsegno.observe.traces import Traces

__all__ = ["Logs", "Measures", "Prometheus", "Traces"]

_LAZY = {"Logs": "logs", "Measures": "measures", "Prometheus": "prometheus", "Traces": "traces"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
