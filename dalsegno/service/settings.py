"""How much a service does at once, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dalsegno.errors import DefinitionError
from dalsegno.nodes.policies.case import number


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of a service.

    Parameters
    ----------
    name
        Its processes on one database share a name, and the work. Runs of other names are left alone.
    runs
        How many runs one process has in progress at once; more wait in the database.
    queue
        How many runs may wait; then 503.
    client_runs
        How many runs of one client may wait or be in progress; then 429.
    rate, burst
        Requests a second of one client, and how many of them may come at once; then 429.
    streams
        How many runs one client may watch at once; then 429.
    body
        Bytes of a request's body; then 413.
    patience
        Seconds that a client has for its headers, and for its body; then 408 or the connection ends.
    grace
        Seconds for supersteps under way to end after SIGTERM. What has not ended then is given up, and is run again at
        the next start.
    poll
        Seconds between two looks at the database for what is due.
    recheck
        Seconds after which it is asked again whether the process of a run lives.
    deaths
        How often in a row the process of a run may die while it runs before it is no longer resumed by itself.

    Raises
    ------
    DefinitionError
        One of them is no number above 0, or no whole one where things are counted; or the name is empty.
    """

    name: str = "default"
    runs: int = 8
    queue: int = 1000
    client_runs: int = 100
    rate: float = 50.0
    burst: int = 100
    streams: int = 20
    body: int = 1_000_000
    patience: float = 10.0
    grace: float = 25.0
    poll: float = 1.0
    recheck: float = 5.0
    deaths: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise DefinitionError(
                f"Settings(name={self.name!r}): a service has a name; runs are resumed by one of the same name."
            )
        for field in fields(self):
            if field.name != "name":
                whole = field.type in ("int", int)
                number(f"Settings({field.name})", getattr(self, field.name), above=0, whole=whole)
