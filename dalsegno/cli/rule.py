"""`dalsegno rule`: what a rule looks for, why, an example, and what to do instead."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting


@reporting
def command(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="The rule, such as T101. Without it: the list of all rules."),
    ] = None,
    as_json: options.Json = False,
) -> int:
    """Explain a rule of `dalsegno check`.

    What it looks for, why that is bad, an example, and what to use instead.
    """
    from dalsegno.cli.screen import Screen, print_json
    from dalsegno.errors import LEFT_OUT, did_you_mean
    from dalsegno.graphs.validation import RULES

    if sys.flags.optimize > 1:
        raise UsageError(LEFT_OUT)
    screen = Screen(sys.stdout)
    if code is None:
        rules = [RULES[name] for name in sorted(RULES)]
        if as_json:
            print_json([{"code": r.code, "severity": r.severity, "title": r.title} for r in rules])
        else:
            screen.catalogue(("rule", "severity", "finds"), [(r.code, r.severity, r.title) for r in rules])
        return COMPLETED
    rule = RULES.get(code.upper())
    if rule is None:
        hint = did_you_mean(code.upper(), RULES)
        raise UsageError(f"There is no rule `{code}`{hint or '.'} `dalsegno rule` lists all of them.")
    if as_json:
        print_json({"code": rule.code, "severity": rule.severity, "title": rule.title, "doc": rule.doc})
        return COMPLETED
    head, _, body = rule.doc.partition("\n")
    screen.line(f"{screen.paint(rule.code, 'bold')} ({rule.severity}): {head}")
    for line in body.splitlines():
        title = line.removeprefix("## ")
        screen.line(screen.paint(title, "bold") if line.startswith("## ") else f"  {line}".rstrip())
    return COMPLETED
