"""Labels of metrics that cannot grow without end."""

from __future__ import annotations

import threading

OTHER = "other"
LONGEST = 200
"""Characters of a name."""


class Labels:
    """Names as label values: the first `most` different ones of each label, then ``"other"``.

    A label value is a time series that is kept for ever, and names of workflows and models can come from outside.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def of(self, label: str, value: str) -> str:
        """The value, as UTF-8 can have it and cut after `LONGEST`; ``"other"`` where there are too many already."""
        if len(value) > LONGEST or not value.isascii():
            value = value[:LONGEST].encode("utf-8", "replace").decode()
        known = self._known.setdefault(label, set())
        if value in known:
            return value
        with self._lock:
            if len(known) < self._most:
                known.add(value)
                return value
        return OTHER
