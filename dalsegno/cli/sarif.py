"""Findings as SARIF 2.1.0, which code hosts show beside the line they are about."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from dalsegno.errors import DalsegnoError
    from dalsegno.graphs.validation import Finding, Report


def sarif(reports: Sequence[Report], failures: Sequence[DalsegnoError] = ()) -> dict[str, Any]:
    """One SARIF log with one run; what is waived is a suppressed result, what failed a notification.

    https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
    """
    from dalsegno import __version__
    from dalsegno.graphs.validation import RULES

    found: list[tuple[str, Finding, str | None]] = []
    for report in reports:
        found += [(report.workflow, finding, None) for finding in report.findings]
        found += [(report.workflow, waived.finding, waived.reason) for waived in report.waived]
    codes = sorted({finding.code for _, finding, _ in found})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": RULES[code].title},
            "fullDescription": {"text": RULES[code].doc},
            "defaultConfiguration": {"level": RULES[code].severity},
        }
        for code in codes
    ]
    invocation: dict[str, Any] = {"executionSuccessful": not failures}
    if failures:
        invocation["toolExecutionNotifications"] = [
            {"level": "error", "message": {"text": str(error)}} for error in failures
        ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "dalsegno", "version": __version__, "rules": rules}},
                "invocations": [invocation],
                "originalUriBaseIds": {"ROOT": {"uri": Path.cwd().as_uri() + "/"}},
                "results": [
                    _result(workflow, finding, codes.index(finding.code), reason)
                    for workflow, finding, reason in found
                ],
            }
        ],
    }


def _result(workflow: str, finding: Finding, index: int, reason: str | None) -> dict[str, Any]:
    text = f"{workflow}: {finding.message}" + (f" Fix: {finding.fix}" if finding.fix else "")
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": text},
    }
    location: dict[str, Any] = {}
    if finding.path:
        location["logicalLocations"] = [
            {"name": name, "fullyQualifiedName": f"{workflow}/{name}"}
            for name in dict.fromkeys(finding.path)  # the schema wants each once
        ]
    if finding.where:
        file, _, line = finding.where.rpartition(":")
        location["physicalLocation"] = {
            "artifactLocation": _artifact(file),
            "region": {"startLine": max(int(line), 1)},
        }
    if location:
        result["locations"] = [location]
    if reason is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": reason}]
    return result


def _artifact(file: str) -> dict[str, str]:
    path = Path(file)
    if not path.is_absolute() or path.is_relative_to(Path.cwd()):
        return {
            "uri": quote(PurePath(os.path.relpath(path)).as_posix(), errors="surrogateescape"),
            "uriBaseId": "ROOT",
        }
    return {"uri": path.as_uri()}
