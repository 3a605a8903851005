"""`dalsegno patterns`: the repertoire, and one pattern with its diagram."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting

if TYPE_CHECKING:
    from dalsegno.cli.screen import Screen
    from dalsegno.graphs.patterns.catalog import Pattern


@reporting
def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", help="One pattern, such as saga. Without it: the list of all."),
    ] = None,
    as_json: options.Json = False,
) -> int:
    """List the patterns, or explain one.

    For one pattern: what it is for, when to use it, its diagram, its code and its bound.
    """
    from dalsegno.cli.screen import Screen, print_json
    from dalsegno.graphs.patterns.catalog import catalog

    screen = Screen(sys.stdout)
    if name is None:
        known = catalog().values()
        if as_json:
            print_json([said(entry) for entry in known])
        else:
            rows = [(str(entry.number), entry.name, entry.purpose) for entry in known]
            screen.catalogue(("", "pattern", "what it does"), rows)
        return COMPLETED
    entry = pattern_of(name)
    if as_json:
        print_json(said(entry))
    else:
        _show(screen, entry)
    return COMPLETED


def pattern_of(name: str) -> Pattern:
    """The pattern that a user names, in any case, with either dash."""
    from dalsegno.errors import DefinitionError
    from dalsegno.graphs.patterns.catalog import find

    try:
        return find(name.lower().replace("-", "_"))
    except DefinitionError as error:
        raise UsageError(str(error)) from None


def said(entry: Pattern) -> dict[str, Any]:
    """What the catalogue says of a pattern, for JSON."""
    sections = entry.sections
    return {
        "number": entry.number,
        "name": entry.name,
        "purpose": entry.purpose,
        "when": sections["When"],
        "when_not": sections["When not"],
        "signature": entry.signature,
        "bound": entry.formula,
        "bound_explained": sections["Bound"],
        "failure": sections["Failure"],
        "source": sections["Source"],
        "example": entry.example().setup,
    }


def _show(screen: Screen, entry: Pattern) -> None:
    from dalsegno import viz
    from dalsegno.cli.drawing import print_drawing
    from dalsegno.graphs.validation import check

    spec = entry.example().run()["flow"].spec
    screen.line(f"{screen.paint(entry.name, 'bold')}: {entry.purpose}")
    screen.line()
    print_drawing(screen, viz.picture(spec, report=check(spec)))
    for heading in ("When", "When not"):
        _section(screen, heading, entry.sections[heading])
    _section(screen, "The code", entry.example().setup)
    _section(screen, "How it is called", entry.signature)
    _section(screen, "Bound", f"{entry.formula} supersteps\n{entry.sections['Bound']}")
    for heading in ("Failure", "Source"):
        _section(screen, heading, entry.sections[heading])
    screen.line()
    screen.line(f"A project with it: dalsegno new app --pattern {entry.name}")


def _section(screen: Screen, heading: str, text: str) -> None:
    screen.line()
    screen.line(screen.paint(heading, "bold"))
    for line in text.replace("``", "`").splitlines():
        screen.line(f"  {line}".rstrip())
