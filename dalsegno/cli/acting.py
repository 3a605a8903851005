"""What the policies around nodes did, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dalsegno.cli.screen import duration, one_line, shortened


def acted(policy: str, what: str, detail: Mapping[str, Any]) -> str:
    """What a policy did, with the figures it told.

    >>> acted("retry", "again", {"pause": 2.0, "error": "ConnectionError"})
    'tries again in 2.00 s, after ConnectionError'
    """
    make = _WORDS.get((policy, what))
    return shortened(one_line(make(detail) if make is not None else what), 100)


def _seconds(detail: Mapping[str, Any], name: str = "seconds") -> str:
    return duration(float(detail.get(name) or 0.0))


def _again(detail: Mapping[str, Any]) -> str:
    asked = ", as the server asks" if detail.get("retry_after") is not None else ""
    when = f"in {_seconds(detail, 'pause')}{asked}" if detail.get("pause") else "at once"
    return f"tries again {when}, after {detail.get('error')}"


def _not_again(detail: Mapping[str, Any]) -> str:
    return f"does not try again: {detail.get('why')}"


_WORDS: dict[tuple[str, str], Any] = {
    ("cache", "hit"): lambda d: f"answers, as {_seconds(d, 'age')} ago",
    ("cache", "not kept"): lambda d: f"does not keep the answer: {d.get('why')}",
    ("cache", "not read"): lambda d: f"cannot look for an answer: {d.get('why')}",
    ("budget", "exceeded"): lambda d: (
        f"the {str(d.get('limit')).replace('_', ' ')} of {d.get('owner')} are spent"
    ),
    ("rate_limit", "wait"): lambda d: f"waits {_seconds(d)} for its turn",
    ("rate_limit", "queue"): lambda d: f"waits for one of {d.get('concurrency')} places",
    ("rate_limit", "refused"): lambda d: f"not called: its turn is later than in {_seconds(d)}",
    ("fallback", "answered"): lambda d: (
        f"{d.get('by')} answers instead, after {d.get('error')}: {d.get('message')}"
        if d.get("by") is not None
        else f"its failure is caught: {d.get('error')}: {d.get('message')}"
    ),
    ("breaker", "opened"): lambda d: f"opens for {_seconds(d)}: it failed too often",
    ("breaker", "refused"): lambda d: (
        f"not called: open for {_seconds(d)} more"
        if d.get("seconds")
        else "not called: its probe is under way"
    ),
    ("breaker", "probe"): lambda d: "lets one call through, to see",
    ("breaker", "closed"): lambda d: "closes: it answers again",
    ("breaker", "not kept"): lambda d: f"is not kept for other processes: {d.get('why')}",
    ("breaker", "not read"): lambda d: f"does not know what others know: {d.get('why')}",
    ("registry", "down"): lambda d: f"leaves {d.get('agent')} out for {_seconds(d)}, after {d.get('error')}",
    ("registry", "back"): lambda d: f"has {d.get('agent')} back: it answers again",
    ("registry", "stale"): lambda d: f"goes on with what it last knew: {d.get('message')}",
    ("retry", "again"): _again,
    ("retry", "given up"): _not_again,
    ("retry", "refused"): _not_again,
    ("timeout", "cancelled"): lambda d: f"cancelled after {_seconds(d)}",
    ("timeout", "abandoned"): lambda d: f"given up after {_seconds(d)}; its thread cannot be stopped",
    ("watch", "empty"): lambda d: "answered nothing",
    ("watch", "repeated"): lambda d: f"answered the same {d.get('times')} times in a row",
}
