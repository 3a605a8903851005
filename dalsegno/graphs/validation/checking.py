"""The check: all rules over one workflow and its subworkflows, and the certificate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.garbage import garbage_kept
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.validation import data, overdoing, resilience, soundness, structure, termination
from dalsegno.graphs.validation.certifying import certify
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import RULES, finding, raised_elsewhere, selected
from dalsegno.graphs.validation.report import Certificate, Finding, Report, Waived
from dalsegno.graphs.validation.timing import limit_of

MOST_LEVELS = 100
"""Most workflows that may be nested in each other."""

LARGE = 1_000
"""Nodes from which on a graph is large."""

RULE_FILES = (structure, termination, soundness, data, resilience, overdoing)
"""Importing them registers their rules."""

raised_elsewhere(
    "W001",
    "warning",
    """A waiver waives nothing.

    ## What it does
    Looks for waivers that excuse nothing: no finding matches, the code is no rule, or the reason is missing. It
    also reports a waiver of G001, G002, T102 or T103, because a graph with such an error cannot run at all.
    Waivers of R404 are left alone: only `compile()` can see what they excuse.

    ## Why is this bad
    What the waiver once excused is gone. If it stays, it will hide the next finding at the same place.

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

    `select` and `ignore` take codes or their beginnings (``"T"``, ``"T1"``), and say what is shown: what
    they leave out is in `Report.hidden`, and its errors count; to excuse one, waive it. `exact` looks for
    the least bound on supersteps where the linear one may be higher. Linear in the size of the graph
    without `exact`. A subworkflow is checked once, wherever it stands; its findings are in the report,
    their path beginning with its node.

    Raises `DalsegnoError` for an entry of `select` or `ignore` that begins no code, `DefinitionError` for
    workflows nested deeper than `MOST_LEVELS`, and `MissingExtra` for `exact` without scipy.
    """
    return _check(spec, selected(select, ignore), exact, {})


Certificates = Mapping[int, Certificate | None]
"""Those of a workflow and of all workflows in it, by the ids of their specifications."""


def check_parts(spec: WorkflowSpec) -> tuple[Report, Certificates]:
    """Check a workflow by all rules; the report, and the certificates of what is in it too."""
    certificates: dict[int, Certificate | None] = {}
    return _check(spec, selected(None, None), False, certificates), certificates


def _check(
    spec: WorkflowSpec, codes: frozenset[str], exact: bool, certificates: dict[int, Certificate | None]
) -> Report:
    with garbage_kept(large=sum(len(part.nodes) for part, _ in _inside_out(spec, set())) > LARGE):
        return _checked(spec, codes, exact, certificates)


def _checked(
    spec: WorkflowSpec, codes: frozenset[str], exact: bool, certificates: dict[int, Certificate | None]
) -> Report:
    recursive: set[int] = set()
    findings: list[Finding] = []
    waived: list[Waived] = []
    parts = list(_inside_out(spec, recursive))
    budgeted = _budgeted(part for part, _ in reversed(parts))
    for part, path in parts:
        in_seconds = id(part) in budgeted
        facts = Facts(part, certificates, recursive, exact=exact, seconds_are_budgeted=in_seconds).settled()
        found, certificates[id(part)] = _check_level(facts)
        kept, excused = _waive(part, found)
        findings.extend(_inner(f, path) for f in kept)
        waived.extend(replace(w, finding=_inner(w.finding, path)) for w in excused)
    findings.sort(key=lambda f: (_GRAVITY[f.severity], f.code))
    return Report(
        spec.name,
        tuple(f for f in findings if f.code in codes),
        certificates[id(spec)],
        tuple(w for w in waived if w.finding.code in codes),
        tuple(f for f in findings if f.code not in codes),
    )


def _budgeted(outside_in: Iterable[WorkflowSpec]) -> set[int]:
    """The ids of the workflows whose seconds count: budgeted there, or where they run without a timeout."""
    found: set[int] = set()
    for part in outside_in:
        if limit_of(part.budget, "seconds") is not None:
            found.add(id(part))
        if id(part) in found:
            inner = (n.child for n in part.nodes.values() if n.child is not None and n.timeout is None)
            found.update(map(id, inner))
    return found


_GRAVITY = {"error": 0, "warning": 1}


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
        if len(path) > MOST_LEVELS:
            raise DefinitionError(
                f"workflow {spec.name!r} is nested more than {MOST_LEVELS} levels deep, at "
                f"`{'/'.join(path[:3])}/…`. Run the parts one after the other, or in a loop."
            )
        open_ones[id(part)] = part.name
        stack.append((part, path, True))
        for node in reversed(list(part.nodes.values())):
            if node.child is not None:
                stack.append((node.child, (*path, node.name), False))


def _waive(part: WorkflowSpec, found: list[Finding]) -> tuple[list[Finding], list[Waived]]:
    """The findings that stay, those of idle waivers among them, and those that are excused."""
    excused: dict[int, Waived] = {}
    idle: list[Finding] = []
    for code, place, reason in part.waivers:
        rule = RULES.get(code)
        needed = rule is not None and rule.needed
        meant = [i for i, f in enumerate(found) if reason.strip() and f.code == code and f.is_at(place)]
        if not needed:
            excused.update((i, Waived(found[i], reason)) for i in meant)
            if meant or (rule is not None and not rule.decided_here):
                continue
        why = (
            f"`{code}` is no rule{did_you_mean(code, RULES)}"
            if rule is None
            else "it gives no reason"
            if not reason.strip()
            else "what it finds cannot be run, and so it cannot be excused"
            if needed and meant
            else f"no {code} is found there{_near(place, (f for f in found if f.code == code))}"
        )
        stop = "" if why.endswith("?") else "."
        message = f"the waiver of {code} at `{place}` waives nothing: {why}{stop} Delete or correct it."
        idle.append(finding("W001", message, path=(place,), where=part.where, fix="delete the waiver"))
    stay = [f for i, f in enumerate(found) if i not in excused]
    return stay + idle, [excused[i] for i in sorted(excused)]


def _near(place: str, found: Iterable[Finding]) -> str:
    return did_you_mean(place, [p for f in found for p in f.places])


def _inner(found: Finding, path: tuple[str, ...]) -> Finding:
    if not path:
        return found
    inside = "/".join(path)
    return replace(found, message=f"in subworkflow `{inside}`: {found.message}", path=(*path, *found.path))
