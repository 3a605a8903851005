"""What a check returns: findings, and bounds where they can be proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from dalsegno.errors import WorkflowInvalid

Severity = Literal["error", "warning"]
Tier = Literal["linear", "exact walk", "explicit states"]


@dataclass(frozen=True)
class Finding:
    """One message of a check: what, where, and what to do.

    `path` is a tuple of node names; `where` is ``file:line`` of the declaration or None; `places`
    are the nodes and edges (``"a->b"``) at which a waiver may name it, by default those of `path`.
    """

    code: str
    severity: Severity
    message: str
    path: tuple[str, ...] = ()
    where: str | None = None
    fix: str = ""
    places: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.code} {self.message}" + (f" ({self.where})" if self.where else "")

    def is_at(self, place: str) -> bool:
        """Whether `place`, a node or ``"a->b"``, is where this finding is."""
        return place in self.places

    def to_dict(self) -> dict[str, Any]:
        """The finding as the JSON of `check`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "path": list(self.path),
            "where": self.where,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Waived:
    """A finding that a waiver excuses, and why."""

    finding: Finding
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The finding as the JSON of `check`, with the reason."""
        return {**self.finding.to_dict(), "reason": self.reason}


@dataclass(frozen=True)
class Bound:
    """One proved number: no run goes beyond `value`.

    `tier` says which proof spoke; `witness` is a walk through the nodes that reaches the value, or
    the longest that was found (a long one is cut, the last name is then ``"…"``); `assumptions` is
    what the proof rests on. Where `value` is None, `reason` says why nothing is known.
    """

    value: int | float | None
    tier: Tier = "linear"
    witness: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Certificate:
    """What was proved of every run of a workflow.

    `bounds` has the keys ``supersteps``, ``executions``, ``model_calls`` and ``seconds``.
    `level_supersteps` are those of this level alone (a subworkflow weighs 1), which the kernel
    enforces; `supersteps` has a subworkflow weigh 1 + its own. `longest_found` is the length of the
    witness: where it is less than `supersteps`, `exact` is False. `undecided` says what was to be found out with
    `exact=True`, and could not be within its limit. `executions_by_node` names the nodes
    of subworkflows ``"node/inner"``.
    """

    bounds: Mapping[str, Bound]
    level_supersteps: int
    longest_found: int
    exact: bool
    fingerprint: str
    executions_by_node: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    undecided: str | None = None

    @property
    def supersteps(self) -> int | None:
        """Most supersteps of a run, those of subworkflows among them."""
        return _whole(self.bounds["supersteps"].value)

    @property
    def executions(self) -> int | None:
        """Most node executions of a run."""
        return _whole(self.bounds["executions"].value)

    @property
    def model_calls(self) -> int | None:
        """Most model calls of a run; None where a node does not declare its own."""
        return _whole(self.bounds["model_calls"].value)

    @property
    def seconds(self) -> float | None:
        """Longest time of a run in seconds, waiting for people excluded; None without timeouts."""
        return self.bounds["seconds"].value

    @property
    def witness(self) -> tuple[str, ...]:
        """The walk that reaches the bound on supersteps, or the longest that was found."""
        return self.bounds["supersteps"].witness

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the bound on supersteps rests on."""
        return self.bounds["supersteps"].assumptions

    def to_dict(self) -> dict[str, Any]:
        """The certificate as the JSON of `check`; `undecided` is there where something is."""
        return {
            "supersteps": self.supersteps,
            "executions": self.executions,
            "model_calls": self.model_calls,
            "seconds": self.seconds,
            "exact": self.exact,
            "witness": list(self.witness),
            "assumptions": list(self.assumptions),
            "fingerprint": self.fingerprint,
            **({"undecided": self.undecided} if self.undecided else {}),
        }


def _whole(value: int | float | None) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True)
class Report:
    """The outcome of a check: `findings`, errors first, and a `certificate` or None.

    `waived` are those that a waiver excuses; `hidden` those that `select` or `ignore` left out. Hidden is
    not excused: an error among them counts as any other.
    """

    workflow: str
    findings: tuple[Finding, ...] = ()
    certificate: Certificate | None = None
    waived: tuple[Waived, ...] = ()
    hidden: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The errors, hidden ones among them."""
        return tuple(f for f in (*self.findings, *self.hidden) if f.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether there is no error, shown or hidden; warnings and what is waived may remain."""
        return not self.errors

    def raise_for_errors(self) -> None:
        """Raise `WorkflowInvalid` with all error findings, if there are any."""
        if self.errors:
            raise WorkflowInvalid(
                "\n  ".join([self._head(), *map(str, self.errors)]), report=self, findings=self.findings
            )

    def __str__(self) -> str:
        """What was found, a line for each, below what is proved."""
        warnings = (f for f in self.findings if f.severity != "error")
        return "\n  ".join([self._head(), *map(str, (*self.errors, *warnings))])

    def _head(self) -> str:
        if self.errors:
            many = len(self.errors)
            return f"workflow `{self.workflow}` has {many} error{'' if many == 1 else 's'}:"
        proved = self.certificate.supersteps if self.certificate else None
        if proved is None:
            return f"workflow `{self.workflow}` has no errors, and no bound is proved"
        many = int(proved)
        return f"workflow `{self.workflow}`: every run ends within {many} superstep{'' if many == 1 else 's'}"

    def to_dict(self) -> dict[str, Any]:
        """The report as the JSON of `check`; `waived` and `hidden` are there where something is."""
        more: dict[str, Any] = {}
        if self.waived:
            more["waived"] = [w.to_dict() for w in self.waived]
        if self.hidden:
            more["hidden"] = [{"code": f.code, "severity": f.severity} for f in self.hidden]
        return {
            "workflow": self.workflow,
            "ok": self.ok,
            "findings": [f.to_dict() for f in self.findings],
            "certificate": self.certificate.to_dict() if self.certificate else None,
            **more,
        }
