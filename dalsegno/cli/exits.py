"""Exit codes, and how a user's mistake is told: in sentences, never by our traceback."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import typer

from dalsegno.errors import (
    CheckpointError,
    DalsegnoError,
    DefinitionError,
    DocumentInvalid,
    EngineUnavailable,
    IncompatibleGraph,
    MissingExtra,
    RenderError,
    RunError,
    TargetNotLoaded,
    ThreadBusy,
    WorkflowInvalid,
)

COMPLETED, FAILED, USAGE, WAITS, BUSY, CANCELLED, STOPPED = 0, 1, 2, 3, 4, 5, 143

_STATUSES = {
    "completed": COMPLETED,
    "failed": FAILED,
    "interrupted": WAITS,
    "cancelled": CANCELLED,
    "stopped": STOPPED,
}

_ERRORS: tuple[tuple[type[DalsegnoError], int], ...] = (
    (WorkflowInvalid, FAILED),
    (DefinitionError, USAGE),
    (ThreadBusy, BUSY),
    (IncompatibleGraph, FAILED),
    (RunError, USAGE),
    (CheckpointError, USAGE),
    (RenderError, USAGE),
    (MissingExtra, USAGE),
    (EngineUnavailable, USAGE),
)

Command = TypeVar("Command", bound=Callable[..., Any])


class UsageError(DefinitionError):
    """An option or argument that cannot be meant as it was given."""


def code_of_status(status: str) -> int:
    """The exit code of a run that ended or pauses with that status."""
    return _STATUSES.get(status, FAILED)


def code_of_error(error: DalsegnoError) -> int:
    """The exit code of an error that kept a command from its work."""
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), FAILED)


def reporting(command: Command) -> Command:
    """Turn a command's errors into a message on stderr and an exit code.

    The message is a sentence, or with `--json` one line `{"error": {"type", "message"}}`, for a document also
    its `"problems"`; stdout stays empty. What a command returns is its exit code.
    """

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            code = command(*args, **options)
        except DalsegnoError as error:
            tell(error, as_json=wants_json(options), full=bool(options.get("traceback")))
            code = code_of_error(error)
        except FileNotFoundError:
            if not _started_nowhere():
                raise
            message = "The folder that the command was started in is gone: it was deleted or moved. Go to another one."
            tell(UsageError(message), as_json=bool(options.get("as_json")))
            code = USAGE
        raise typer.Exit(code or COMPLETED)

    return run  # type: ignore[return-value]  # typer reads the wrapped signature


def _started_nowhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def tell(error: DalsegnoError, *, as_json: bool = False, full: bool = False) -> None:
    """Print an error to stderr; for code of the user's that failed, with the user's own frames."""
    message = " ".join([str(error), *getattr(error, "__notes__", ())])
    if as_json:
        told: dict[str, Any] = {"type": type(error).__name__, "message": message}
        if isinstance(error, DocumentInvalid):
            told["problems"] = [_problem(each) for each in error.problems]
        print(json.dumps({"error": told}), file=sys.stderr, flush=True)
        return
    from dalsegno.cli.screen import Screen, readable

    screen = Screen(sys.stderr)
    cause = error.__cause__
    if isinstance(error, TargetNotLoaded) and cause is not None:
        from dalsegno.cli.tracebacks import users_part

        text = readable(users_part(cause, full=full or wants_traceback())).rstrip()
        if text:
            screen.line(f"{text}\n")
    screen.line(screen.paint("error:", "bold red") + f" {readable(message)}")


def _problem(problem: Any) -> dict[str, Any]:
    """One problem of a document, for programs that point at it."""
    place = problem.place
    return {
        "file": place and place.file,
        "line": place and place.line,
        "column": place and place.column,
        "field": problem.field,
        "message": problem.message,
    }


def wants_json(options: Mapping[str, Any]) -> bool:
    """Whether a command's options ask for JSON: `--json`, or `--format json`, which is the same."""
    return bool(options.get("as_json")) or options.get("format") == "json"


def wants_traceback() -> bool:
    """Whether DALSEGNO_TRACEBACK asks for every frame."""
    return os.environ.get("DALSEGNO_TRACEBACK", "") not in ("", "0")
