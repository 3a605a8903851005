"""`dalsegno check`: prove that every run ends, or show the path that does not."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, FAILED, UsageError, reporting
from dalsegno.errors import DalsegnoError


class Format(StrEnum):
    """How findings are printed."""

    text = "text"
    json = "json"
    sarif = "sarif"


@reporting
def command(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET...", help="path/to/file.py:name or package.module:name."),
    ],
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Only these rules; a beginning like T1 means all of them."),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="CODE", help="Not these rules.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Look harder for the exact bounds.")] = False,
    traceback: options.Traceback = False,
) -> int:
    """Prove that every run of a workflow ends, or show the path that does not.

    Exit: 0 no errors, 1 errors, 2 a target could not be loaded.
    """
    from dalsegno.cli.reports import print_report
    from dalsegno.cli.screen import Screen, print_json, stdout_kept_for_json
    from dalsegno.graphs.loading import load_target
    from dalsegno.graphs.validation import check
    from dalsegno.graphs.validation.registry import selected

    try:
        selected(_codes(select), _codes(ignore))
    except DalsegnoError as error:
        raise UsageError(f"{error} `dalsegno rule` lists all of them.") from None
    chosen = Format.json if as_json else format
    with stdout_kept_for_json(chosen is not Format.text) as out:
        from dalsegno.graphs.checking import spec_of

        specs = [(target, spec_of(load_target(target).graph)) for target in targets]
        reports = [
            (target, check(spec, exact=exact, select=_codes(select), ignore=_codes(ignore)))
            for target, spec in specs
        ]
        if chosen is Format.json:
            documents = [report.to_dict() for _, report in reports]
            print_json(documents[0] if len(documents) == 1 else documents, out)
        elif chosen is Format.sarif:
            from dalsegno.cli.sarif import sarif

            print_json(sarif([report for _, report in reports]), out)
        else:
            screen = Screen(sys.stdout)
            for number, (target, report) in enumerate(reports):
                if number:
                    screen.line()
                print_report(screen, report, target)
    return COMPLETED if all(report.ok for _, report in reports) else FAILED


def _codes(given: list[str] | None) -> list[str] | None:
    return [code for entry in given for code in entry.split(",")] if given else None
