"""The rules by their codes, and how one explains itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dalsegno.errors import DalsegnoError, did_you_mean
from dalsegno.graphs.model import END, START, Place
from dalsegno.graphs.validation.report import Finding, Severity

if TYPE_CHECKING:
    from dalsegno.graphs.validation.facts import Facts
    from dalsegno.graphs.validation.report import Certificate

Check = Callable[["Facts"], Iterable[Finding]]
BoundCheck = Callable[["Facts", "Certificate"], Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """One rule: its code, how grave it is, and the function that looks for it.

    `check` reads the graph; `check_bounds` reads the certificate too and runs only where there is one.
    `voids` says that no bound can be given while the rule finds something; `needed` that it cannot be waived,
    for what it finds cannot be run.
    """

    code: str
    severity: Severity
    title: str
    doc: str
    check: Check | None = None
    check_bounds: BoundCheck | None = None
    voids: bool = False
    needed: bool = False

    @property
    def decided_here(self) -> bool:
        """Whether `check` can find it; what it cannot is raised elsewhere."""
        return self.check is not None or self.check_bounds is not None or self.code == "W001"


_RULES: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = _RULES
"""Every rule by its code."""


def rule(
    code: str, severity: Severity, *, voids: bool = False, needed: bool = False
) -> Callable[[Check], Check]:
    """Register a function as the rule of `code`, to be read from the graph alone."""

    def register(check: Check) -> Check:
        doc = inspect.getdoc(check) or ""
        title = doc.partition("\n")[0]
        _RULES[code] = Rule(code, severity, title, doc, check=check, voids=voids, needed=needed)
        return check

    return register


def bound_rule(code: str, severity: Severity) -> Callable[[BoundCheck], BoundCheck]:
    """Register a function as the rule of `code`, to be read from the certificate."""

    def register(check: BoundCheck) -> BoundCheck:
        doc = inspect.getdoc(check) or ""
        _RULES[code] = Rule(code, severity, doc.partition("\n")[0], doc, check_bounds=check)
        return check

    return register


def raised_elsewhere(code: str, severity: Severity, doc: str) -> None:
    """Register a rule that `check` cannot decide, so that it can be explained."""
    text = inspect.cleandoc(doc)
    _RULES[code] = Rule(code, severity, text.partition("\n")[0], text)


def explain(code: str) -> str:
    """The text of a rule: what it does, why that is bad, an example, what to use instead.

    Raises `DalsegnoError` for a code that is no rule.
    """
    found = _RULES.get(code) or _RULES.get(code.upper())
    if found is None:
        raise DalsegnoError(
            f"`{code}` is no rule{did_you_mean(code.upper(), _RULES) or '.'} "
            f"The rules are {', '.join(sorted(_RULES))}.",
            code=code,
        )
    return f"{found.code} ({found.severity}): {found.doc}"


def rules_page() -> str:
    """Every rule as a page of Markdown: `docs/rules.md`."""
    lines = [
        "# Rules",
        "",
        "What `dalsegno check` looks for. `dalsegno rule CODE` prints one of them.",
        "",
        "| code | | |",
        "|---|---|---|",
    ]
    lines += [
        f"| [{r.code}](#{r.code.lower()}) | {r.severity} | {r.title} |" for _, r in sorted(_RULES.items())
    ]
    for code, found in sorted(_RULES.items()):
        body = found.doc.partition("\n")[2].strip().replace("\n## ", "\n### ")
        body = body.replace("## ", "### ", 1) if body.startswith("## ") else body
        lines += ["", f"## {code}", "", f"*{found.severity}*: {found.title}", ""]
        for line in body.splitlines():
            if line.startswith("### "):
                lines += [line, ""] if lines[-1] == "" else ["", line, ""]
            else:
                lines.append(line)
    return "\n".join(lines) + "\n"


def selected(select: str | Iterable[str] | None, ignore: str | Iterable[str] | None) -> frozenset[str]:
    """The codes that `select` and `ignore` leave; each entry is a code or the beginning of some.

    Raises `DalsegnoError` for an entry that begins no code.
    """
    chosen = set(_RULES) if select is None else set(_expand(select))
    return frozenset(chosen - set(_expand(ignore or ())))


def _expand(entries: str | Iterable[str]) -> Iterator[str]:
    for entry in entries.split(",") if isinstance(entries, str) else entries:
        text = entry.strip().upper()
        codes = [c for c in _RULES if text and c.startswith(text)]
        if not codes:
            raise DalsegnoError(f"`{entry}` begins no rule{did_you_mean(text, _RULES) or '.'}", code=entry)
        yield from codes


MOST_SHOWN = 12
"""Nodes of a path that are printed at either end of it."""


def shown(name: str) -> str:
    """A node's name as it is printed: START and END as such."""
    return "START" if name == START else "END" if name == END else name


def walk_in_words(path: Iterable[str]) -> str:
    """A path as it is printed: ``START → plan → act``; the middle of a long one is left out."""
    names = [shown(n) for n in path]
    if len(names) > 2 * MOST_SHOWN + 1:
        names[MOST_SHOWN:-MOST_SHOWN] = [f"… {len(names) - 2 * MOST_SHOWN:,} more …"]
    return " → ".join(names)


def listed(names: Iterable[str], most: int = 1) -> str:
    """Names as they are printed: the first few, and how many more there are."""
    all_names = [f"`{shown(n)}`" for n in names]
    rest = len(all_names) - most
    if rest <= 0:
        return ", ".join(all_names)
    return f"{', '.join(all_names[:most])} and {rest} more"


def finding(
    code: str,
    message: str,
    *,
    path: Iterable[str] = (),
    where: Place | None = None,
    fix: str,
    severity: Severity | None = None,
    places: Iterable[str] | None = None,
) -> Finding:
    """A finding of rule `code` with its severity, unless it is graver or milder here."""
    steps = tuple(path)
    at = tuple(places) if places is not None else steps
    edges = tuple(f"{a}->{b}" for a, b in pairwise(steps)) if places is None else ()
    return Finding(
        code,
        severity or _RULES[code].severity,
        message,
        steps,
        str(where) if where else None,
        fix,
        places=at + edges,
    )
