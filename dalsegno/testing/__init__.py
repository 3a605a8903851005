"""Testing workflows: the crash kit kills a run, resumes it, and compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.testing.crash import crash_test
    from dalsegno.testing.report import CrashPoint, CrashReport, Kill

__all__ = ["CrashPoint", "CrashReport", "Kill", "crash_test"]

_MODULES = {"CrashPoint": "report", "CrashReport": "report", "Kill": "report", "crash_test": "crash"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Loaded when asked for: it brings LangGraph with it, which a process may want to load later."""
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
