"""What is seen of a run while it goes on: one line a node execution, and on a terminal what runs now."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dalsegno.cli.acting import acted
from dalsegno.cli.screen import Screen, cells, duration, one_line, shortened
from dalsegno.nodes.paths import around, names_of, prefix_of
from dalsegno.runtime.events import (
    Event,
    NodeFailed,
    NodeFinished,
    NodeInterrupted,
    NodeStarted,
    PolicyActed,
    RunFinished,
    RunStarted,
)
from dalsegno.runtime.executions import entry_of
from dalsegno.runtime.view import History

if TYPE_CHECKING:
    from dalsegno.graphs.model import WorkflowSpec
    from dalsegno.nodes.execution import Taken

_WORDS = {NodeFinished: "done", NodeFailed: "failed", NodeInterrupted: "waits"}
_STYLES = {"done": "green", "caught": "magenta", "failed": "bold red", "waits": "yellow", "stopped": "yellow"}
_WIDEST = 48
"""Cells of the column of names."""
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass
class _Fan:
    """The parallel executions of a node that was sent to, in one superstep; they share a line."""

    superstep: str
    node: str
    done: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    acted: Counter[str] = field(default_factory=Counter)
    caught: int = 0


class Progress:
    """A listener of one run's events that prints a line for each node execution.

    Parameters
    ----------
    spec
        The workflow, for its names and the bounds of its loops.
    proved
        Supersteps that were proved, None where none were.
    write
        Prints a line.
    past
        What was executed before this process, asked for when a run goes on.
    clock
        Unix seconds.
    """

    def __init__(
        self,
        spec: WorkflowSpec,
        proved: int | None,
        write: Callable[[str], None],
        screen: Screen,
        past: Callable[[str], History | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.spec = spec
        self.proved = proved
        self.note = ""
        self._print = write
        self._lines: list[str] = []
        self._screen = screen
        self._past = past
        self._clock = clock
        self._lock = threading.RLock()
        self._loops: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by entries: each has its own
        self._running: dict[tuple[Any, ...], tuple[str, str, float]] = {}
        self._outer: dict[str, str] = {}
        self._fans: dict[str, _Fan] = {}
        self._superstep = 0
        # With room for a fan's ` ×12`; a name that is longer than most moves only its own line.
        self._wide = min(max((cells(one_line(name)) for name in _paths(spec)), default=0), _WIDEST)
        self._digits = min(len(str(proved or 100)), 4)
        self._inside = 2 * _depth(spec)  # room for `.1` of each level

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, RunStarted):
                self._begin(event)
            elif isinstance(event, RunFinished):
                self._flush()
            elif isinstance(event, PolicyActed):
                self._act(event)
            elif type(event) is NodeStarted:
                self._start(event)
            elif isinstance(event, NodeStarted):
                self._end(event)
            lines, self._lines = self._lines, []
        # Outside of the lock: who draws the screen holds its lock and asks for ours in `running_now`.
        with contextlib.suppress(OSError, ValueError):  # no reason for a node to fail
            for line in lines:
                self._print(line)

    def running_now(self) -> str:
        """The superstep, and the nodes that run in it with their seconds."""
        with self._lock:
            now = self._clock()
            names: dict[str, list[float]] = {}
            for _, node, began in self._running.values():
                names.setdefault(node, []).append(now - began)
            done = {fan.node: fan.done for fan in self._fans.values()}
        parts = [
            f"{one_line(node)}{f' ×{len(times)}' if len(times) > 1 else ''} {duration(max(times))}"
            + (f" ({done[node]} done)" if node in done else "")
            for node, times in names.items()
        ]
        bound = f" of at most {self.proved}" if self.proved is not None else ""
        head = f"superstep {self._superstep}{bound}" if self._superstep else "starting"
        return "  ".join([head, *parts[:4], *([f"and {len(parts) - 4} more"] if len(parts) > 4 else [])])

    # -- events -----------------------------------------------------------------------------------

    def _begin(self, event: RunStarted) -> None:
        what = "resumed" if event.resumed else "started"
        thread = one_line(event.thread)
        self._lines.append(f"run {event.run_id[:8]} of {one_line(event.workflow)} on thread {thread}, {what}")
        past = self._past(event.run_id)
        if past is not None:
            for record in {(r.place, r.occurrence, r.index): r for r in past.records}.values():
                for _, _, counter in record.targets if record.status == "done" else ():
                    if counter is not None:
                        self._loops[entry_of(record)][counter] += 1
            self._superstep = past.supersteps

    def _start(self, event: NodeStarted) -> None:
        superstep = self._place(event)
        if event.index is None:
            self._flush_before(event.node, superstep)
        if not around(event.place):
            self._superstep = event.superstep
        self._outer[event.place] = superstep
        self._running[_key(event)] = (superstep, event.node, event.at)

    def _end(self, event: NodeStarted) -> None:
        superstep, _, _ = self._running.pop(_key(event), (self._place(event), "", 0.0))
        word = _WORDS[type(event)]
        seconds: float = getattr(event, "seconds", 0.0)
        notes = [f"attempt {event.attempt}"] if event.attempt > 1 else []
        if isinstance(event, NodeFinished):
            notes += self._ways(event)
            self._loops.pop(_inside(event), None)  # a subworkflow has ended
            if event.caught is not None:
                word = "caught"
                notes = notes or [f"→ {_target(way)}" for way in event.taken]
        if isinstance(event, NodeFailed) and not isinstance(event.error, Exception):
            word = "stopped"  # Ctrl-C, or cancelled beside a node that failed
        elif isinstance(event, NodeFailed):
            notes.append(shortened(one_line(f"{type(event.error).__name__}: {event.message}"), 80))
        if event.index is None or word not in ("done", "caught"):
            self._line(superstep, event.node, word, seconds, notes)
            return
        fan = self._fan(superstep, event.node)
        fan.done += 1
        fan.caught += word == "caught"
        fan.seconds = max(fan.seconds, seconds)
        fan.notes = tuple(dict.fromkeys((*fan.notes, *notes)))[:3]

    def _act(self, event: PolicyActed) -> None:
        """A line for what a policy did; of those that were sent to, their line counts them."""
        superstep = self._place(event)
        if event.index is not None and event.detail.get("by", "") is None:
            return  # that it was caught is counted when it ends
        if event.index is not None:
            self._fan(superstep, event.node).acted[f"{event.policy} {event.what}".replace("_", " ")] += 1
            return
        words = acted(event.policy, event.what, event.detail)
        self._line(superstep, event.node, event.policy.replace("_", " "), None, [words])

    def _fan(self, superstep: str, node: str) -> _Fan:
        return self._fans.setdefault(f"{superstep} {node}", _Fan(superstep, node))

    def _place(self, event: NodeStarted | PolicyActed) -> str:
        """The superstep, within a subworkflow after that of its node: ``3.1``."""
        outer = around(event.place)
        return f"{self._outer[outer]}.{event.superstep}" if outer in self._outer else str(event.superstep)

    def _ways(self, event: NodeFinished) -> list[str]:
        bounds = _loops(self.spec, prefix_of(event.place))
        ways = []
        for way in event.taken:
            if way.label is None and way.counter is None:
                continue
            target = _target(way)
            said = f"{way.label} → {target}" if way.label not in (None, target) else f"→ {target}"
            if way.counter is not None:
                taken = self._loops[_entry(event)]
                taken[way.counter] += 1
                said += f" {taken[way.counter]}/{bounds.get(way.counter, '?')}"
            ways.append(one_line(said))
        return ways

    # -- lines ------------------------------------------------------------------------------------

    def _flush_before(self, node: str, superstep: str) -> None:
        """Print the fans of earlier supersteps of the same workflow and of those inside it."""
        for key, fan in list(self._fans.items()):
            if fan.superstep != superstep:
                self._print_fan(self._fans.pop(key))

    def _flush(self) -> None:
        for key in list(self._fans):
            self._print_fan(self._fans.pop(key))

    def _print_fan(self, fan: _Fan) -> None:
        if not fan.done:  # all failed, and each had its line
            return
        name = f"{fan.node} ×{fan.done}" if fan.done > 1 else fan.node
        acts = [f"{what} ×{times}" if times > 1 else what for what, times in fan.acted.items()]
        acts += [f"{fan.caught} failed, caught"] if fan.caught else []
        self._line(fan.superstep, name, "done", fan.seconds, [*fan.notes, *acts])

    def _line(
        self, superstep: str, node: str, word: str, seconds: float | None, notes: Sequence[str]
    ) -> None:
        paint = self._screen.paint
        outer, dot, inside = superstep.partition(".")
        named = one_line(node)
        parts = [
            f"superstep {outer.rjust(self._digits)}{(dot + inside).ljust(self._inside)}",
            named + " " * (self._wide - cells(named)),
            paint(word.ljust(6), _STYLES.get(word, "cyan")),
            *([duration(seconds).rjust(6)] if seconds is not None else []),
            *notes,
        ]
        self._lines.append("  ".join(parts).rstrip())


def _key(event: NodeStarted) -> tuple[Any, ...]:
    return event.place, event.occurrence, event.index, event.attempt


def _entry(event: NodeStarted) -> str:
    """Which entry of its workflow an execution belongs to, as `entry_of` says it of one in the journal."""
    outer = around(event.place)
    return f"{outer}#{'/'.join(part.partition('#')[2] for part in event.path[:-1])}" if outer else ""


def _inside(event: NodeStarted) -> str:
    """The entry of the subworkflow that a node is."""
    outer = [part.partition("#")[2] for part in event.path[:-1]]
    return f"{event.place}#{'/'.join([*outer, f'{event.occurrence}.{event.index}'])}"


def _target(way: Taken) -> str:
    return "END" if way.target == "__end__" else one_line(way.target)


def _paths(spec: WorkflowSpec, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """The widest text that each node's name may stand in."""
    sent_to = {edge.target for edge in spec.edges if edge.fans_out}
    for node in spec.nodes.values():
        yield prefix + node.name + (" ×12" if node.name in sent_to else "")
        if node.child is not None and depth < 4:
            yield from _paths(node.child, f"{prefix}{node.name}/", depth + 1)


def _depth(spec: WorkflowSpec, most: int = 4) -> int:
    """How many levels of subworkflows there are."""
    children = [node.child for node in spec.nodes.values() if node.child is not None]
    return 1 + max(_depth(child, most - 1) for child in children) if children and most else 0


def _loops(spec: WorkflowSpec, prefix: str) -> dict[str, int]:
    level: WorkflowSpec | None = spec
    for name in names_of(prefix.removesuffix("/")):
        node = level.nodes.get(name) if level is not None else None
        level = node.child if node is not None else None
    return {e.counter: e.loop for e in level.edges if e.loop is not None} if level is not None else {}


@contextlib.contextmanager
def shown(
    spec: WorkflowSpec,
    proved: int | None,
    past: Callable[[str], History | None],
    *,
    quiet: bool,
) -> Iterator[Progress]:
    """The progress of one run: live where stderr is a terminal, else plain lines; nothing if `quiet`."""
    screen = Screen(sys.stderr)
    if quiet:
        yield Progress(spec, proved, lambda line: None, screen, past)
    elif not screen.is_terminal:
        yield Progress(spec, proved, screen.line, screen, past)
    else:
        with _live(screen) as (write, show):
            progress = Progress(spec, proved, write, screen, past)
            show(progress)
            yield progress


@contextlib.contextmanager
def _live(screen: Screen) -> Iterator[tuple[Callable[[str], None], Callable[[Progress], None]]]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    watched: list[Progress] = []

    class Now:
        """The last line of the screen, drawn anew ten times a second."""

        def __rich__(self) -> Text:
            sign = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)]
            said = watched[0].running_now() if watched else "starting"
            note = f"  {watched[0].note}" if watched and watched[0].note else ""
            return Text(shortened(f"{sign} {said}", console.width - 1), style="cyan") + Text(
                shortened(note, console.width), style="yellow"
            )

    both = sys.stdout.isatty()
    with Live(
        Now(),
        console=console,
        refresh_per_second=10,
        transient=True,
        redirect_stdout=both,
        redirect_stderr=both,
    ):
        yield lambda line: console.print(Text.from_ansi(line)), watched.append
