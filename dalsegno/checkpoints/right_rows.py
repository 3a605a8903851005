"""Whether the fields of a run and of an execution are what the ledger writes: SQLite keeps whatever it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from dalsegno.checkpoints.failures import damaged
from dalsegno.checkpoints.records import STATUSES, ExecutionStatus

_LAST_MOMENT = 253_402_300_800.0
"""The end of the year 9999 in unix seconds, behind which there are no dates."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < _LAST_MOMENT


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_error(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _is_way(way: Any) -> bool:
    if not isinstance(way, list) or len(way) != 3:
        return False
    target, label, counter = way
    return isinstance(target, str) and all(one is None or isinstance(one, str) for one in (label, counter))


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


_RUN: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("run_id", "thread", "workflow", "version", "fingerprint"), _is_text),
    "target": _or_none(_is_text),
    "status": lambda value: value in STATUSES,
    **dict.fromkeys(("created_at", "started_at", "updated_at"), _is_number),
    "finished_at": _or_none(_is_number),
    **dict.fromkeys(("supersteps", "resumes"), _is_count),
    "error": _or_none(_is_error),
    "usage": _is_mapping,
    **dict.fromkeys(("certificate", "shape", "code", "process"), _or_none(_is_mapping)),
    "interrupts": lambda value: isinstance(value, list),
    "resumed": lambda value: isinstance(value, list) and all(map(_is_number, value)),
}

_EXECUTION: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("run_id", "node"), _is_text),
    **dict.fromkeys(("superstep", "attempt"), _is_count),
    "occurrence": lambda value: _is_count(value) or _is_text(value),
    "index": _or_none(_is_count),
    "status": lambda value: value in get_args(ExecutionStatus),
    **dict.fromkeys(("started_at", "seconds"), _is_number),
    "targets": lambda value: isinstance(value, list) and all(map(_is_way, value)),
    "error": _or_none(_is_error),
}


def right_run(fields: Mapping[str, Any]) -> None:
    """Raises DatabaseInvalid, with the thread and the field, where one of those there are is not what a run has."""
    _look(fields, _RUN, str(fields["thread"]))


def right_execution(fields: Mapping[str, Any]) -> None:
    """Raises DatabaseInvalid, with the run and the field, where one is not what an execution has."""
    _look(fields, _EXECUTION, f"of run {fields['run_id']}")


def _look(fields: Mapping[str, Any], rules: Mapping[str, Callable[[Any], bool]], thread: str) -> None:
    for name, is_right in rules.items():
        if name in fields and not is_right(fields[name]):
            raise damaged(thread, name, "is not as it was written")
