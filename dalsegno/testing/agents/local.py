"""`LocalAgents`: the agents of a registry as processes of this machine, healthy before anybody asks them."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from dalsegno.errors import AgentNotStarted, DefinitionError, did_you_mean
from dalsegno.nodes.remote.local import Local
from dalsegno.testing.agents.processes import SLICE, Process, Processes
from dalsegno.testing.agents.reaching import LOOK, taken, unwell
from dalsegno.testing.agents.registries import agents_of, moved, registries, written

Ports = Literal["registry", "free"] | int


@dataclass(frozen=True, slots=True)
class Running:
    """An agent that is up: who it is, where it can be asked, what it can do, and its process."""

    name: str
    url: str
    protocol: str
    skills: tuple[str, ...]
    pid: int


@dataclass(slots=True, eq=False)
class _Place:
    """An agent, the folder it is started in, the socket that keeps its port, and its process."""

    local: Local
    folder: Path
    kept: socket.socket | None = None
    process: Process | None = None


class LocalAgents:
    """Starts every agent that a registry has a `command` for, waits until each is well, and stops them in the end.

    An entry of the registry has ``command: python desk.py {port}`` (a text or a list; `{port}`, `{host}` and `{url}`
    are filled in). It may have ``health: /health``, a path that answers with status 2xx, and ``env``. The command runs
    in the registry's folder. No agent outlives this process, however it ends.

    Parameters
    ----------
    path
        A registry's file, a workflow document that names one, or a folder with such files.
    ports
        ``"registry"``: those of the registry. ``"free"``: any free ones. A number: from that one on. If they are not
        the registry's, `write` says where to write a registry with the new URLs.
    only
        Names of the agents to start. Empty: all.
    limit
        Seconds to wait until every agent is well.
    grace
        Seconds between asking an agent to end and ending it.
    env
        Variables that are added to the environment of every agent.
    on_line
        A function that is called with an agent's name and each line that it prints, in a thread.
    stop
        If it is set, starting ends with `AgentNotStarted`.

    Examples
    --------
    ::

        with LocalAgents("examples/domains") as agents:
            print(agents.running)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        ports: Ports = "registry",
        write: str | Path | None = None,
        only: Iterable[str] = (),
        limit: float = 30.0,
        grace: float = 5.0,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str, str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        if isinstance(ports, bool) or not (ports in ("registry", "free") or isinstance(ports, int)):
            raise DefinitionError(f'ports={ports!r}: "registry", "free", or the number of the first one.')
        if ports != "registry" and write is None:
            raise DefinitionError(
                "Agents at other ports than their registry says are found by a registry of their own: write=FILE."
            )
        self.grace = grace
        self._limit = limit
        self._ports = ports
        self._write = None if write is None else Path(write)
        self._env = {**os.environ, **(env or {})}
        self._on_line = on_line or (lambda name, line: None)
        self._stop = stop or threading.Event()
        self._registries = registries(path)
        known = [(local, file.parent) for file in self._registries for local in agents_of(file)]
        self.elsewhere = tuple(local.agent for local, _ in known if local.command is None)
        """Agents of the registry that nothing here starts."""
        self._places = {local.agent.name: _Place(local, folder) for local, folder in known if local.command}
        chosen = tuple(only)
        _check(path, known, self._places, chosen)
        wanted = set(chosen) or set(self._places)
        self._places = {name: place for name, place in self._places.items() if name in wanted}
        self._processes: Processes | None = None

    @property
    def running(self) -> tuple[Running, ...]:
        """Those that are up now."""
        return tuple(
            Running(
                name, place.local.agent.url, place.local.agent.protocol, place.local.agent.skills, process.pid
            )
            for name, place in self._places.items()
            if (process := place.process) is not None and process.ended() is None
        )

    def start(self) -> Self:
        """Start all, and wait until all are well. If one is not, those that were started are stopped.

        Raises
        ------
        AgentNotStarted
            An agent ended, is not well in time, or its port is taken: which, why, and what it printed last.
        DefinitionError
            They were started already.
        """
        if self._processes is not None:
            raise DefinitionError("These agents were started already: `close` them first.")
        self._processes = Processes()
        try:
            self._take_ports()
            for place in self._places.values():
                self._start(place)
            self._wait(list(self._places.values()))
        except BaseException:
            self.close()
            raise
        return self

    def restart(self, name: str) -> None:
        """Start an agent again, at its port, where it has ended or been killed. Raises as `start` does."""
        place = self._place(name)
        if self._processes is None:
            raise DefinitionError(f"The agent `{name}` cannot be restarted: `start` the agents first.")
        self._end(place)
        self._start(place)
        self._wait([place])

    def signal(self, name: str, number: int) -> None:
        """Send a signal to an agent, as ``signal.SIGKILL`` or ``signal.SIGSTOP``; one that ends it is waited for."""
        process = self._place(name).process
        if process is None:
            return
        process.signal(number)
        if number in _ENDING:
            until = time.monotonic() + LOOK
            while process.ended() is None and time.monotonic() < until:
                time.sleep(SLICE)

    def ended(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Agents that have ended by themselves: their exit code, and what they printed last."""
        told = {}
        for name, place in self._places.items():
            code = place.process.ended() if place.process is not None else None
            if place.process is not None and code is not None:
                place.process.output.whole.wait(0.5)
                told[name] = (code, tuple(place.process.output.last))
        return told

    def close(self) -> None:
        """Stop all: asked first, ended after `grace` seconds."""
        processes, self._processes = self._processes, None
        if processes is not None:
            running = [place.process for place in self._places.values() if place.process is not None]
            processes.stop(running, lambda: self.grace)
            processes.close()
        for place in self._places.values():
            place.process = None
            if place.kept is not None:
                place.kept.close()
                place.kept = None

    def __enter__(self) -> Self:
        return self.start() if self._processes is None else self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, name: str) -> _Place:
        if name not in self._places:
            raise DefinitionError(f"There is no agent `{name}` here{did_you_mean(name, self._places) or '.'}")
        return self._places[name]

    def _take_ports(self) -> None:
        """Keep every port before anything is started, so that nobody else takes one meanwhile."""
        urls = {}
        for number, place in enumerate(self._places.values()):
            place.kept = taken(place.local, self._port(number, place.local))
            before = place.local.agent.url
            place.local = moved(place.local, place.kept.getsockname()[1])
            urls[before] = place.local.agent.url
            if sys.platform != "linux":  # elsewhere the agent could not have it
                place.kept.close()
                place.kept = None
        if self._write is not None:
            written(self._registries, urls, self._write)

    def _port(self, number: int, local: Local) -> int:
        if self._ports == "registry":
            return local.port
        return 0 if self._ports == "free" else self._ports + number

    def _start(self, place: _Place) -> None:
        assert self._processes is not None
        name = place.local.agent.name
        place.process = self._processes.start(
            place.local.words(),
            folder=place.folder,
            env={**self._env, **place.local.env},
            on_line=lambda line: self._on_line(name, line),
        )

    def _end(self, place: _Place) -> None:
        if self._processes is not None and place.process is not None:
            self._processes.stop([place.process], lambda: self.grace)

    def _wait(self, places: list[_Place]) -> None:
        until = time.monotonic() + self._limit
        why = dict.fromkeys((place.local.agent.name for place in places), "it was not looked at")
        waiting = list(places)
        while waiting:
            for place in tuple(waiting):
                assert place.process is not None
                problem = unwell(place.local)
                code = place.process.ended()
                if code is not None:
                    raise self._failed(place, f"ended {_end_of(code)} before it was well")
                if problem is None:
                    waiting.remove(place)
                else:
                    why[place.local.agent.name] = problem
            if waiting and self._stop.is_set():
                raise AgentNotStarted(
                    "Starting the agents was stopped.", agent="", reason="stopped", output=()
                )
            if waiting and time.monotonic() > until:
                place = waiting[0]
                problem = why[place.local.agent.name]
                raise self._failed(place, f"is not well after {self._limit:g} seconds: {problem}")
            if waiting:
                time.sleep(SLICE)

    def _failed(self, place: _Place, what: str) -> AgentNotStarted:
        assert place.process is not None
        if place.process.ended() is not None:
            place.process.output.whole.wait(0.5)
        last = tuple(place.process.output.last)
        said = "\n".join(f"  {line}" for line in last) if last else "  (nothing)"
        command = " ".join(place.local.words())
        return AgentNotStarted(
            f"The agent `{place.local.agent.name}` at {place.local.agent.url} {what}.\n"
            f"Started in {place.folder} with: {command}\nIt printed:\n{said}",
            agent=place.local.agent.name,
            reason=what,
            output=last,
        )


def _check(
    path: str | Path, known: list[tuple[Local, Path]], startable: Mapping[str, _Place], only: Iterable[str]
) -> None:
    names = [local.agent.name for local, _ in known if local.command]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DefinitionError(
            f"`{path}` has several agents called `{twice[0]}`: each needs a name of its own."
        )
    at: dict[int, str] = {}
    for local, _ in known:
        if local.command and at.setdefault(local.port, local.agent.name) != local.agent.name:
            raise DefinitionError(
                f"`{path}` has the agents `{at[local.port]}` and `{local.agent.name}` at one port, {local.port}."
            )
    for name in only:
        if name not in startable:
            raise DefinitionError(
                f"`{path}` starts {', '.join(f'`{each}`' for each in startable) or 'none'}, and no agent `{name}`"
                f"{did_you_mean(name, startable) or '.'}"
            )
    if not startable:
        raise DefinitionError(
            f"`{path}` says of no agent how it is started. Say it beside its URL: command: python desk.py {{port}}"
        )


def _end_of(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by signal {-code}"


_ENDING = (2, 3, 9, 15)
