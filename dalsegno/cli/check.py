"""`dalsegno check`: prove that every run ends, or show the path that does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, FAILED, USAGE, UsageError, reporting, tell
from dalsegno.errors import DalsegnoError, DocumentInvalid, MissingExtra, TargetNotLoaded

if TYPE_CHECKING:
    from dalsegno.graphs.validation import Report


class Format(StrEnum):
    """How findings are printed."""

    text = "text"
    json = "json"
    sarif = "sarif"


@reporting
def command(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="file.py:name, package.module:name or file.yaml. A file or a folder: every graph in it.",
        ),
    ],
    format: Annotated[Format | None, typer.Option(help="How to print the findings. Default: text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE", help="Show only this rule. A beginning selects several: T1. Repeatable."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Do not show this rule, or those that begin so. Repeatable."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compute the least bounds; slower, and needs the extra `exact`.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Accept files and folders without a graph.")
    ] = False,
    traceback: options.Traceback = False,
) -> int:
    """Prove that every run ends, or show the path that does not.

    --select and --ignore only choose what is shown. Errors that they hide still count. To excuse an error, waive it
    in the code.

    Exit: 0 no errors, 1 errors, 2 a target could not be loaded or holds no graph.
    """
    from dalsegno.cli.screen import Screen, print_json, stdout_kept_for_json
    from dalsegno.graphs.checking import spec_of
    from dalsegno.graphs.validation import check
    from dalsegno.graphs.validation.registry import selected

    try:
        selected(_codes(select), _codes(ignore))
    except DalsegnoError as error:
        raise UsageError(f"{error} `dalsegno rule` lists all of them.") from None
    if as_json and format not in (None, Format.json):
        raise UsageError(f"--json means --format json. Leave out --json or --format {format}.")
    chosen = Format.json if as_json else format or Format.text
    one = len(targets) == 1 and not _holds_several(targets[0])
    with stdout_kept_for_json(chosen is not Format.text) as out:
        reports: list[tuple[str, Report]] = []
        failures: list[DalsegnoError] = []
        empty: list[str] = []
        for found in _graphs(targets, empty):
            try:
                if isinstance(found, DalsegnoError):
                    raise found
                target, graph = found
                reports.append(
                    (
                        target,
                        check(spec_of(graph), exact=exact, select=_codes(select), ignore=_codes(ignore)),
                    )
                )
            except MissingExtra:
                raise
            except DalsegnoError as error:
                if one and chosen is not Format.sarif:  # a log says itself what could not be loaded
                    raise
                failures.append(error)
                tell(error, as_json=chosen is Format.json, full=traceback)
        if empty and not allow_empty:
            nothing = UsageError(
                f"No graph was found in {', '.join(f'`{t}`' for t in empty)}. A graph is a public name of a "
                "module that is given a Workflow, a StateGraph or a compiled graph; name another one as "
                "file.py:name."
            )
            if not reports and not failures:
                raise nothing
            failures.append(nothing)
            tell(nothing, as_json=chosen is Format.json, full=traceback)
        if chosen is Format.json:
            documents = [report.to_dict() for _, report in reports]
            print_json(documents[0] if one else documents, out)
        elif chosen is Format.sarif:
            from dalsegno.cli.sarif import sarif

            print_json(sarif([report for _, report in reports], failures), out)
        else:
            _print(Screen(sys.stdout), reports)
    if failures:
        return USAGE
    return COMPLETED if all(report.ok for _, report in reports) else FAILED


def _print(screen: Any, reports: list[tuple[str, Report]]) -> None:
    from dalsegno.cli.reports import counted, print_report, relative

    for number, (target, report) in enumerate(reports):
        if number:
            screen.line()
        print_report(screen, report, relative(target))
    if len(reports) > 1:
        failing = sum(not report.ok for _, report in reports)
        screen.line()
        screen.line(f"{counted(len(reports), 'graph')}, {failing} with errors")


def _holds_several(target: str) -> bool:
    """Whether a target is a place to look for graphs in, not the name of one."""
    return bool(target) and (os.path.isdir(target) or (target.endswith(".py") and os.path.isfile(target)))


def _graphs(targets: Iterable[str], empty: list[str]) -> Iterator[tuple[str, Any] | DalsegnoError]:
    """The graphs that targets mean, each once, and what could not be loaded, in their order; in `empty` the
    files and folders that hold none."""
    from dalsegno.cli.loading import load, prepare
    from dalsegno.graphs.finding import graphs_in

    seen: set[int] = set()
    for target in targets:
        if not _holds_several(target):
            try:
                yield target, load(target).graph
            except (TargetNotLoaded, DocumentInvalid) as error:
                yield error
            continue
        prepare(target)
        found = graphs_in(target)
        yield from found.failures
        if not found.graphs and not found.failures:
            empty.append(target)
        for each in found.graphs:
            if id(each.graph) not in seen:  # a folder and a file in it
                seen.add(id(each.graph))
                yield each.target, each.graph


def _codes(given: list[str] | None) -> list[str] | None:
    return [code for entry in given for code in entry.split(",")] if given else None
