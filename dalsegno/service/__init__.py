"""The HTTP service: starts, resumes, cancels and shows runs, and loses none that it accepted.

What decides lives below HTTP: `Service` is what it can be asked, `Dispatcher` owns the runs in progress, `deciding`
says what is done next with each. The routes read a request, ask the service, and write an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.service.application import asgi
    from dalsegno.service.service import Service
    from dalsegno.service.settings import Settings
    from dalsegno.service.tokens import Tokens

__all__ = ["Service", "Settings", "Tokens", "asgi"]

_LAZY = {"Service": "service", "Settings": "settings", "Tokens": "tokens", "asgi": "application"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name in ("Service", "asgi"):
            from dalsegno.observe.extras import wanted

            for module in ("starlette", "sse_starlette"):
                wanted(module, by=f"`dalsegno.service.{name}`", extra="serve")
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
