"""Testing workflows: the crash kit kills a run, resumes it, and compares; scripted models answer what a test says; the
agents of a registry are started as processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.testing.agents import LocalAgents
    from dalsegno.testing.crash import crash_test
    from dalsegno.testing.kills import Kill
    from dalsegno.testing.report import CrashPoint, CrashReport
    from dalsegno.testing.scripted import ScriptedChatModel
    from dalsegno.testing.scripted_calls import Call
    from dalsegno.testing.scripted_entries import Cut, HttpError, Malformed, Reply
    from dalsegno.testing.scripted_server import Request, ScriptedServer

__all__ = [
    "Call",
    "CrashPoint",
    "CrashReport",
    "Cut",
    "HttpError",
    "Kill",
    "LocalAgents",
    "Malformed",
    "Reply",
    "Request",
    "ScriptedChatModel",
    "ScriptedServer",
    "crash_test",
]

_MODULES = {
    "Call": "scripted_calls",
    "CrashPoint": "report",
    "CrashReport": "report",
    "Cut": "scripted_entries",
    "HttpError": "scripted_entries",
    "Kill": "kills",
    "LocalAgents": "agents",
    "Malformed": "scripted_entries",
    "Reply": "scripted_entries",
    "Request": "scripted_server",
    "ScriptedChatModel": "scripted",
    "ScriptedServer": "scripted_server",
    "crash_test": "crash",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Loaded when asked for: it brings LangGraph with it, which a process may want to load later."""
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
