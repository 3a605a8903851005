"""Labels of metrics that cannot grow without end."""

from __future__ import annotations

import threading

OTHER = "other"


class Labels:
    """Names as label values: the first `most` different ones of each label, then ``"other"``.

    A label value is a time series that is kept for ever, and names of workflows and models can come from outside.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def of(self, label: str, value: str) -> str:
        """The value, or ``"other"`` where there are too many different ones already."""
        known = self._known.setdefault(label, set())
        if value in known:
            return value
        with self._lock:
            if len(known) < self._most:
                known.add(value)
                return value
        return OTHER
