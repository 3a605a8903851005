"""The check: all rules over one workflow and its subworkflows, and the certificate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.validation import data, resilience, soundness, structure, termination
from dalsegno.graphs.validation.certifying import certify
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import RULES, finding, raised_elsewhere, selected
from dalsegno.graphs.validation.report import Certificate, Finding, Report

RULE_FILES = (structure, termination, soundness, data, resilience)
"""Importing them registers their rules."""

raised_elsewhere(
    "W001",
    "warning",
    """A waiver waives nothing.

    ## What it does
    Looks for waivers whose code is no rule, which give no reason, or which no finding matches.

    ## Why is this bad
    What it once excused is gone; it would hide the next one at the same place.

    ## Example
        a waiver of D303 at `tmp`, which is read by now

    ## Use instead
        delete the waiver
    """,
)


def check(
    spec: WorkflowSpec,
    *,
    exact: bool = False,
    select: str | Iterable[str] | None = None,
    ignore: str | Iterable[str] | None = None,
) -> Report:
    """Prove that every run of `spec` ends, or say why not.

    `select` and `ignore` take codes or their beginnings (``"T"``, ``"T1"``), and leave the certificate
    as it is. `exact` looks for the least bound on supersteps where the linear one may be higher.
    Linear in the size of the graph without `exact`. A subworkflow is checked once, wherever it stands;
    its findings are in the report, their path beginning with its node.

    Raises `DalsegnoError` for an entry of `select` or `ignore` that begins no code, and `MissingExtra`
    for `exact` without scipy.
    """
    codes = selected(select, ignore)
    certificates: dict[int, Certificate | None] = {}
    recursive: set[int] = set()
    findings: list[Finding] = []
    for part, path in _inside_out(spec, recursive):
        facts = Facts(part, certificates, recursive, exact=exact).settled()
        found, certificate = _check_level(facts)
        certificates[id(part)] = certificate
        kept = list(_waive(part, [f for f in found if f.code in codes], codes))
        findings.extend(_inner(f, path) if path else f for f in kept)
    severity = {"error": 0, "warning": 1}
    findings.sort(key=lambda f: (severity[f.severity], f.code))
    return Report(spec.name, tuple(findings), certificates[id(spec)])


def _check_level(facts: Facts) -> tuple[list[Finding], Certificate | None]:
    findings: list[Finding] = []
    void = False
    for rule in list(RULES.values()):
        if rule.check is not None:
            found = list(rule.check(facts))
            findings.extend(found)
            void = void or (rule.voids and bool(found))
    certificate = None if void else certify(facts)
    if certificate is not None:
        for rule in list(RULES.values()):
            if rule.check_bounds is not None:
                findings.extend(rule.check_bounds(facts, certificate))
    return findings, certificate


def _inside_out(spec: WorkflowSpec, recursive: set[int]) -> Iterator[tuple[WorkflowSpec, tuple[str, ...]]]:
    """Every different workflow in `spec`, children first, with the nodes that lead to it.

    A workflow that contains itself is entered once, and its id put in `recursive`.
    """
    done: set[int] = set()
    open_ones: dict[int, str] = {}
    stack: list[tuple[WorkflowSpec, tuple[str, ...], bool]] = [(spec, (), False)]
    while stack:
        part, path, after = stack.pop()
        if after:
            del open_ones[id(part)]
            done.add(id(part))
            yield part, path
            continue
        if id(part) in open_ones:
            recursive.add(id(part))
            continue
        if id(part) in done:
            continue
        open_ones[id(part)] = part.name
        stack.append((part, path, True))
        for node in reversed(list(part.nodes.values())):
            if node.child is not None:
                stack.append((node.child, (*path, node.name), False))


def _waive(part: WorkflowSpec, found: list[Finding], codes: frozenset[str]) -> Iterator[Finding]:
    used: set[int] = set()
    waived: set[int] = set()
    for i, (code, place, reason) in enumerate(part.waivers):
        for j, f in enumerate(found):
            if reason.strip() and f.code == code and f.is_at(place):
                used.add(i)
                waived.add(j)
    yield from (f for j, f in enumerate(found) if j not in waived)
    if "W001" not in codes:
        return
    for i, (code, place, reason) in enumerate(part.waivers):
        if i in used or (code in RULES and code not in codes):
            continue
        why = (
            f"`{code}` is no rule"
            if code not in RULES
            else "it gives no reason"
            if not reason.strip()
            else f"no {code} is found there"
        )
        message = f"the waiver of {code} at `{place}` waives nothing: {why}. Delete or correct it."
        yield finding("W001", message, path=(place,), where=part.where, fix="delete the waiver")


def _inner(found: Finding, path: tuple[str, ...]) -> Finding:
    inside = "/".join(path)
    return replace(found, message=f"in subworkflow `{inside}`: {found.message}", path=(*path, *found.path))
