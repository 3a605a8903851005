"""A report of a check as text: findings in blocks, the certificate as a small table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dalsegno.cli.screen import Screen, one_line, readable

if TYPE_CHECKING:
    from dalsegno.graphs.validation import Certificate, Finding, Report

_STYLES = {"error": "bold red", "warning": "bold yellow", "waived": "dim"}
_WITNESS = 24
"""Nodes of a witness that are printed; JSON has all."""


def print_report(screen: Screen, report: Report, target: str | None = None) -> None:
    """Print the findings, then what was proved."""
    errors = sum(f.severity == "error" for f in report.findings)
    warnings = len(report.findings) - errors
    hidden = len(report.errors) - errors
    for finding in report.findings:
        _finding(screen, finding)
    for waived in report.waived:
        _finding(screen, waived.finding, reason=waived.reason)
    mark = screen.paint("✓", "bold green") if report.ok else screen.paint("✗", "bold red")
    said = screen.paint(readable(report.workflow), "bold")
    if report.certificate is not None and report.ok:
        many = report.certificate.supersteps
        said += f": every run ends within {many} superstep{'' if many == 1 else 's'}"
    elif report.certificate is None:
        said += ": no bound can be proved"
    counts = [_some(errors, "error"), _some(warnings, "warning")]
    if hidden:
        codes = sorted({f.code for f in report.hidden if f.severity == "error"})
        counts.append(f"{counted(hidden, 'error')} not shown ({', '.join(codes)})")
    if report.waived:
        counts.append(f"{len(report.waived)} waived")
    found = ", ".join(c for c in counts if c)
    where = f"  {screen.paint(target, 'dim')}" if target else ""
    screen.line(f"{mark} {said}{f' · {found}' if found else ''}{where}")
    if report.certificate is not None:
        screen.line()
        print_certificate(screen, report.certificate)


def print_certificate(screen: Screen, certificate: Certificate) -> None:
    """Print the bounds, the walk that reaches the first, and what they rest on."""
    rows: list[tuple[str, str]] = []
    for name, bound in certificate.bounds.items():
        value = f"{bound.value:g}" if isinstance(bound.value, float) else str(bound.value)
        if bound.value is None:
            rows.append((name.replace("_", " "), f"unknown: {bound.reason}" if bound.reason else "unknown"))
        elif name == "supersteps":
            note = "exact" if certificate.exact else f"longest found {certificate.longest_found}"
            rows.append((name, f"{value} ({note})"))
        else:
            rows.append((name.replace("_", " "), value))
    rows.append(("longest run", walk(certificate.witness)))
    if certificate.undecided:
        rows.append(("not decided", certificate.undecided))
    assumptions = list(
        dict.fromkeys(a for b in certificate.bounds.values() if b.value is not None for a in b.assumptions)
    )
    if assumptions:
        rows.append(("assuming", "\n".join(assumptions)))
    rows.append(("fingerprint", certificate.fingerprint))
    screen.facts(rows)


def walk(names: tuple[str, ...]) -> str:
    """A path as it is printed; the middle of a long one is left out."""
    shown = [{"__start__": "START", "__end__": "END"}.get(n, one_line(n)) for n in names]
    if len(shown) > _WITNESS:
        half = _WITNESS // 2
        shown = [*shown[:half], f"… {len(shown) - 2 * half} more …", *shown[-half:]]
    return " → ".join(shown)


def _finding(screen: Screen, finding: Finding, reason: str | None = None) -> None:
    said = finding.severity if reason is None else "waived"
    head = screen.paint(f"{said} {finding.code}", _STYLES[said])
    where = screen.paint(relative(finding.where), "dim") if finding.where else ""
    screen.line(f"{head}  {where}".rstrip())
    screen.block(readable(finding.message), indent="  ")
    facts = [("path", walk(finding.path))] if len(finding.path) > 1 else []
    if reason is not None:
        facts.append(("reason", readable(reason)))
    elif finding.fix:
        facts.append(("fix", readable(finding.fix)))
    screen.facts(facts)
    screen.line()


def relative(where: str) -> str:
    """A place in a file below the current folder without that folder's name."""
    file, colon, line = where.rpartition(":")
    short = os.path.relpath(file) if colon and os.path.isabs(file) else file
    return where if short.startswith("..") else f"{short}{colon}{line}"


def counted(many: int, what: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def _some(many: int, what: str) -> str:
    return counted(many, what) if many else ""
