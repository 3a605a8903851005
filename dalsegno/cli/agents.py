"""`dalsegno agents`: the agents that a workflow document asks, as processes of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, FAILED, UsageError, reporting

if TYPE_CHECKING:
    from dalsegno.cli.screen import Screen
    from dalsegno.testing.agents.local import LocalAgents

_SLICE = 0.1

group = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Run the agents that a workflow document asks, on this machine.",
)


@group.callback()
def _group() -> None:
    """Also with one command in it, a group stays one."""


@group.command("up", context_settings={"allow_interspersed_args": True})
@reporting
def up(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A workflow document, a registry of agents, or a folder with such files."
        ),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="Run this when all agents are well, and stop them when it ends. Its exit code is returned.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Start only this agent. Repeatable."),
    ] = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=65535, help="Use the ports from N on, in place of the registry's."
        ),
    ] = None,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Use any free ports, in place of the registry's.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a registry with the agents' URLs. Needed with other ports than the registry's.",
        ),
    ] = None,
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait until all agents are well.")
    ] = 30.0,
    as_json: options.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show what the agents print.")] = False,
) -> int:
    """Start every agent, wait until each is well, stop all on Ctrl-C.

    A registry says how an agent is started: beside its url, `command: python desk.py {port}`. The command runs in the
    registry's folder. SIGTERM stops the agents too. No agent outlives this command, even if it is killed.

    Exit: 0 stopped, 1 an agent could not be started or all have ended, 2 wrong usage; or that of COMMAND.
    """
    if port_base is not None and free_ports:
        raise UsageError("--port-base and --free-ports: it is one of them.")
    from dalsegno.cli.screen import Screen, print_json
    from dalsegno.testing.agents.local import LocalAgents

    told = Screen(sys.stderr)
    stopping = _Stopping()
    if (port_base is not None or free_ports) and write is None:
        raise UsageError(
            "Documents find the agents in their registry. At other ports they need one that says so: --write FILE, and "
            "`registry: FILE` in the document."
        )
    agents = LocalAgents(
        path,
        ports="free" if free_ports else port_base or "registry",
        write=write,
        only=only or (),
        limit=limit,
        on_line=None if quiet else _printer(told),
        stop=stopping.asked,
    )
    stopping.install(agents)
    try:
        with agents:
            if as_json:
                print_json([asdict(one) for one in agents.running])
            elif not command:
                _table(Screen(sys.stdout), agents)
            if command:
                return _while_running(command, agents, stopping, told, heard=not quiet)
            return _until_stopped(agents, stopping, told, heard=not quiet)
    except Exception:
        if not stopping.asked.is_set():
            raise
        return COMPLETED  # it was asked to stop while they started
    finally:
        stopping.remove()


class _Stopping:
    """SIGINT, SIGTERM and SIGHUP: stop what is up; the second time without waiting.

    A SIGHUP that was to be ignored (``nohup``) is.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.number = signal.SIGTERM
        self._agents: LocalAgents | None = None
        self._before: dict[int, Any] = {}

    def install(self, agents: LocalAgents) -> None:
        """Take the signals over; only the main thread may."""
        self._agents = agents
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            self._before = {number: signal.signal(number, self._came) for number in numbers}

    def remove(self) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set() and self._agents is not None:
            self._agents.grace = 0.0
        self.number = signal.Signals(number)
        self.asked.set()


def _until_stopped(agents: LocalAgents, stopping: _Stopping, told: Screen, *, heard: bool) -> int:
    """Wait for a signal, or for the end of all agents."""
    known: set[str] = set()
    while not stopping.asked.wait(_SLICE):
        known |= _tell_of_ended(agents, known, told, heard=heard)
        if not agents.running:
            told.line(told.paint("✗", "bold red") + " all agents have ended")
            return FAILED
    return COMPLETED


def _while_running(
    command: list[str], agents: LocalAgents, stopping: _Stopping, told: Screen, *, heard: bool
) -> int:
    """Run the command; a signal is passed on to it."""
    known: set[str] = set()
    asked = False
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        raise UsageError(f"`{command[0]}` cannot be started: {error.strerror or error}.") from None
    try:
        while (code := child.poll()) is None:
            if stopping.asked.is_set() and not asked:
                child.send_signal(stopping.number)  # on a terminal Ctrl-C has come there by itself
                asked = True
            if agents.grace == 0.0:
                child.kill()
            time.sleep(_SLICE / 5)
            known |= _tell_of_ended(agents, known, told, heard=heard)
        return code if code >= 0 else 128 - code
    finally:
        child.kill()
        child.wait()


def _tell_of_ended(agents: LocalAgents, known: set[str], told: Screen, *, heard: bool) -> set[str]:
    """Tell of agents that have ended since; with what they printed last, where that was not `heard`."""
    from dalsegno.cli.screen import readable

    new = {name: end for name, end in agents.ended().items() if name not in known}
    for name, (code, last) in new.items():
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        told.line(f"{told.paint('✗', 'bold red')} {name} has ended ({how})")
        for line in () if heard else last[-10:]:
            told.line(f"  {readable(line)}")
    return set(new)


def _table(screen: Screen, agents: LocalAgents) -> None:
    rows = [(str(one.pid), one.name, one.url, ", ".join(one.skills)) for one in agents.running]
    rows += [("–", one.name, one.url, ", ".join(one.skills)) for one in agents.elsewhere]
    screen.table(("pid", "name", "url", "skills"), rows, right=(0,))
    many = len(agents.running)
    up = f"{many} agent{'' if many == 1 else 's'} up"
    screen.line(f"{screen.paint('✓', 'bold green')} {up}; Ctrl-C stops {'it' if many == 1 else 'them'}")


def _printer(told: Screen) -> Any:
    from dalsegno.cli.screen import readable

    lock = threading.Lock()

    def show(name: str, line: str) -> None:
        with lock:
            told.line(f"{told.paint(name, 'dim')} {readable(line)}")

    return show
