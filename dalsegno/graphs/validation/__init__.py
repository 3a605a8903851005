"""Rules and bounds: whether every run of a workflow ends, and within what.

``check(spec)`` gives a `Report`: findings, and a `Certificate` where one can be given. Pure: values
in, values out; networkx is imported when something is checked.
"""

from __future__ import annotations

from dalsegno.graphs.validation.checking import check
from dalsegno.graphs.validation.registry import RULES, Rule, explain, rules_page
from dalsegno.graphs.validation.report import Bound, Certificate, Finding, Report, Waived

__all__ = [
    "RULES",
    "Bound",
    "Certificate",
    "Finding",
    "Report",
    "Rule",
    "Waived",
    "check",
    "explain",
    "rules_page",
]
