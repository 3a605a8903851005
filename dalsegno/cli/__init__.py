"""The command line: one file a command, and nothing heavy imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Annotated, Any

import typer

from dalsegno.cli import streams

COMMANDS = (
    "new", "patterns", "schema", "check", "rule", "draw", "run", "resume", "worker", "submit", "engine",
    "runs", "show", "history", "diff", "fork", "cancel", "delete", "db", "agents", "serve", "demo",
)  # fmt: skip
"""Every command, in the order of the help: the function `command`, or the `group`, of the file of its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code.

    0 completed, or no errors · 1 failed, or findings · 2 usage, or something could not be loaded ·
    3 waits for a human · 4 another process holds the thread · 5 cancelled · 130 and 143 stopped by SIGINT
    or SIGTERM and resumable.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    streams.complete()
    streams.outlive_readers()
    try:
        if _is_for_programs(given):
            return _for_programs(given)
        app(given)(given, prog_name="dalsegno")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if not streams.is_not_written(error):
            raise
        streams.give_up(error)
        return 1
    return 0


def _is_for_programs(given: Sequence[str]) -> bool:
    """Whether JSON is asked for; what stands behind ``--`` is no option."""
    own = given[: given.index("--")] if "--" in given else given
    return "--json" in own or "--format=json" in own or ("--format", "json") in pairwise(own)


def _for_programs(given: list[str]) -> int:
    """As `main`; where typer refuses an option or an argument it is told as JSON, as every other error is."""
    try:
        code = app(given)(given, prog_name="dalsegno", standalone_mode=False)
    except typer.Abort:
        return 1
    except Exception as error:
        said = getattr(error, "format_message", None)  # of a click that typer carries in itself, or imports
        if said is None:
            raise
        from dalsegno.cli.exits import UsageError, code_of_error, tell

        path = getattr(getattr(error, "ctx", None), "command_path", "dalsegno")
        refused = UsageError(f"{said().rstrip('.')}. `{path} --help` tells what there is.")
        tell(refused, as_json=True)
        return code_of_error(refused)
    return code if isinstance(code, int) else 0


def app(given: Sequence[str] = ()) -> typer.Typer:
    """The commands as a typer application: only the one that is asked for, where one is, and else all, with no more of
    those that are not named than stands in the list of them."""
    made = typer.Typer(
        rich_markup_mode=None,  # rich's help pages take a quarter of a second to import
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=_HELP,
        epilog=_CODES,
    )
    made.callback()(_root)
    asked = [name for name in COMMANDS if given and given[0] == name]
    for name in asked or COMMANDS:
        if find_spec(f"{__name__}.{name}") is None:
            continue
        module = import_module(f"{__name__}.{name}")
        group = getattr(module, "group", None)
        if name not in given:
            made.command(name, help=group.info.help if group is not None else module.command.__doc__)(_listed)
        elif group is not None:
            made.add_typer(group, name=name)
        else:
            made.command(name)(module.command)
    return made


def _listed() -> None:
    """A command in the list of them: what it takes costs more to describe than all of its module to import."""


def _version(asked: bool) -> None:
    if asked:
        from dalsegno import __version__

        typer.echo(f"dalsegno {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> Any: ...


_HELP = """Agent workflows that are proved to end and resume from the mark.

TARGET names a workflow: path/to/file.py:name or package.module:name, where the name is a Workflow, a LangGraph
graph, or a function without arguments that returns one; or path/to/file.yaml, a workflow document. The database is
that of --db, else of DALSEGNO_DB, else .dalsegno/runs.db."""

_CODES = """Exit codes: 0 completed, or no errors; 1 failed, or findings; 2 wrong usage, or something could not
be loaded; 3 waits for a human; 4 another process holds the thread; 5 cancelled; 130 and 143 stopped by a signal,
and resumable."""
