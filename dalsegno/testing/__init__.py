"""Testing workflows: the crash kit kills a run, resumes it, and compares; scripted models answer what a test says; the
agents of a registry are started as processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalsegno.testing.agents.local import LocalAgents
    from dalsegno.testing.crash_kit.crash import crash_test
    from dalsegno.testing.crash_kit.kills import Kill
    from dalsegno.testing.crash_kit.report import CrashPoint, CrashReport
    from dalsegno.testing.scripted.calls import Call
    from dalsegno.testing.scripted.entries import Cut, HttpError, Malformed, Reply
    from dalsegno.testing.scripted.model import ScriptedChatModel
    from dalsegno.testing.scripted.server import Request, ScriptedServer

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
    "Call": "scripted.calls",
    "CrashPoint": "crash_kit.report",
    "CrashReport": "crash_kit.report",
    "Cut": "scripted.entries",
    "HttpError": "scripted.entries",
    "Kill": "crash_kit.kills",
    "LocalAgents": "agents.local",
    "Malformed": "scripted.entries",
    "Reply": "scripted.entries",
    "Request": "scripted.server",
    "ScriptedChatModel": "scripted.model",
    "ScriptedServer": "scripted.server",
    "crash_test": "crash_kit.crash",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Loaded when asked for: it brings LangGraph with it, which a process may want to load later."""
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
