"""Who holds a thread: one process at a time, known well enough to tell the dead from the living.

A process is known by its host, the host's boot, its process id and its start time, so that neither a
reboot nor a reused process id makes a dead holder look alive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dalsegno.errors import as_typed
from dalsegno.nodes.forking import in_forked_child

_DEAD_STATES = frozenset("ZXx")  # a killed child that nobody has waited for yet is a zombie


@dataclass(frozen=True)
class Process:
    """A process, on some host, in some boot of it.

    `namespace` is the process id namespace: in another one the same id is another process. Behind its ``@`` stands
    the machine, where that can be known: two may have one name, as copies of one image do.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    @property
    def machine(self) -> str:
        """Which machine it is on, empty where that is not known; it outlives a boot."""
        return self.namespace.partition("@")[2]


@dataclass(frozen=True)
class Holder:
    """The process that holds a thread for a run, since when, and until when without a sign of life.

    `owner` is who an engine has given it to, None for a process on its own.
    """

    process: Process
    run_id: str
    token: str
    since: float
    expires_at: float
    owner: str | None = None

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since).isoformat(sep=" ", timespec="seconds")
        who = self.owner or f"process {self.process.pid} on {self.process.host}"
        return f"{who} since {since} (run {self.run_id})"

    def remedy(self, thread: str) -> str:
        """What to do for whoever wants the thread that it holds."""
        if self.owner is not None:  # were it ended, the engine would have another one go on
            return f"Wait until it is done, or `dalsegno cancel {as_typed(thread)}` first."
        if self.process == this_process():
            return "That is this process: wait until that call is done, or close its stream."
        return "Wait until it is done, or end that process."

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def host(self) -> str:
        return self.process.host

    def alive(self, now: float) -> bool:
        """Whether the holder still lives; of one on another machine only its expiry is known."""
        mine, its = this_process(), self.process
        if its == mine:
            return self.token in _held
        if its.host != mine.host:
            return self.expires_at > now
        if its.boot != mine.boot:
            return its.machine != mine.machine and self.expires_at > now
        if its.namespace != mine.namespace:
            return self.expires_at > now
        started = start_time(its.pid)
        if started and its.started:
            return started == its.started
        return started is not None and self.expires_at > now  # somebody lives, and who it is cannot be told


@dataclass
class Lease:
    """The right of this process to run a thread; `lost` once another one has taken it over.

    `noted` is when what its run has used was noted last, in unix seconds. `note` says what it has used by now, where
    that is to be noted with every sign of life.
    """

    thread: str
    run_id: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    lost: bool = False
    noted: float = 0.0
    note: Callable[[], tuple[Any, ...]] | None = field(default=None, repr=False, compare=False)


_held: set[str] = set()
_this: Process | None = None


def hold(token: str) -> None:
    """Note that this process lives up to a lease."""
    _held.add(token)


def drop(token: str) -> None:
    """Note that it does so no longer; what is left in the ledger can be taken over."""
    _held.discard(token)


def is_held(token: str) -> bool:
    """Whether this process, and not one it was forked from, lives up to a lease."""
    return token in _held


def held_tokens() -> tuple[str, ...]:
    """The tokens of all leases that this process lives up to."""
    return tuple(_held)


def this_process() -> Process:
    """The process that asks."""
    global _this
    if _this is None:
        pid = os.getpid()
        _this = Process(platform.node(), _boot(), _namespace(), pid, start_time(pid) or "")
    return _this


def start_time(pid: int) -> str | None:
    """When the process with that id started, in whatever notation the system has, empty where it does not say; None if
    none lives."""
    try:
        # The name in the second field may hold spaces and brackets. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return "" if _lives(pid) else None  # mounted so that processes of other users are not seen
        return _start_time_from_ps(pid)
    return None if fields[0] in _DEAD_STATES else fields[19]


def _start_time_from_ps(pid: int) -> str | None:
    out = _said("ps", "-o", "stat=,lstart=", "-p", str(pid)).split(maxsplit=1)
    if len(out) == 2:
        return None if out[0][0] in _DEAD_STATES else out[1]
    return "" if not out and _lives(pid) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _boot_from_sysctl()


def _boot_from_sysctl() -> str:
    """The boot of a Mac. Not `kern.boottime`, which moves whenever the clock is set: to the next process each one that
    began before would be of an earlier boot, and dead. Where there is no other, the start of a process tells enough."""
    return _said("sysctl", "-n", "kern.bootsessionuuid")


def _said(*command: str) -> str:
    """What a program says, to whoever asks the same: a time depends on the time zone and the language of who does.
    Empty where it fails."""
    same = {**os.environ, "LC_ALL": "C", "TZ": "UTC0"}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, env=same
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _namespace() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    machine = _machine()
    return f"{namespace}@{machine}" if machine else namespace


def _machine() -> str:
    for place in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if found := Path(place).read_text().strip():
                # Not itself: https://man7.org/linux/man-pages/man5/machine-id.5.html asks for that.
                return hashlib.sha256(f"dalsegno {found}".encode()).hexdigest()[:16]
    return ""


@in_forked_child
def _forget() -> None:
    global _this
    _this = None
    _held.clear()


class Heartbeat:
    """Calls `beat` every `interval` seconds from a daemon thread, while there is something to renew."""

    def __init__(self, beat: Callable[[], bool], interval: float) -> None:
        self._beat = beat
        self._interval = interval
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._wake = threading.Event()
        self._asked = False

    def start(self) -> None:
        """Beat until `beat` returns False or `stop` is called; nothing if it beats already."""
        if self._pid != os.getpid():  # forked: the parent's thread is not here, its lock may be held
            self._pid, self._lock, self._thread = os.getpid(), threading.Lock(), None
        with self._lock:
            if self._thread is not None:
                self._asked = True
                return
            self._wake = wake = threading.Event()
            thread = threading.Thread(target=self._run, args=(wake,), name="dalsegno-heartbeat", daemon=True)
            thread.start()
            self._thread = thread

    def stop(self) -> None:
        """Stop beating, without waiting for a beat under way."""
        with self._lock:
            self._thread = None
            self._wake.set()

    def _run(self, wake: threading.Event) -> None:
        while not wake.wait(self._interval):
            self._asked = False
            if self._beat():
                continue
            with self._lock:
                if self._wake is wake:
                    if self._asked:  # what there is to renew came after the beat had looked
                        continue
                    self._thread = None
                return
