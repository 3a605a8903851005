"""`dalsegno draw --watch`: the picture is drawn anew while the run goes on.

A page is written once and follows the run by itself: it reads a small file beside it (``run.live.js``)
that is replaced whenever the database has something new. In the end the page is written once more, whole
and for good, and that file is taken away; a page that is still open then reads itself again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.errors import DalsegnoError, UnknownRun, UnknownThread

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger, RunRecord
    from dalsegno.runtime.seeing import Seeing

PAUSE = 0.4
"""Seconds between two looks at the database, at least."""
_LINGER = 2.5
"""Seconds for which an open page can still read how the run ended."""


def watch(
    graph: Any, db: str, output: Path | None, record: Callable[[Ledger], RunRecord], fold: Any
) -> RunRecord:
    """Draw a run until it no longer goes on, and give it then; one that has not begun is waited for."""
    from dalsegno.cli.screen import Screen, one_line
    from dalsegno.runtime.seeing import Seeing

    screen = Screen(sys.stderr)
    with Seeing(graph, db) as seeing:
        watched = _Watched(seeing, output, fold)
        try:
            run = _begun(seeing, record, screen)
            thread = one_line(run.thread)
            screen.line(
                f"Following run {run.run_id[:8]} on thread {thread}. Ctrl-C stops watching, not the run."
            )
            while True:
                took = watched.draw(run)
                if not _goes_on(seeing.ledger, run):
                    break
                time.sleep(max(PAUSE, 2 * took))  # a long run costs at most a third of a core
                run = seeing.ledger.get(run.run_id, plain=True)
        finally:
            watched.end()
    screen.line(f"Run {run.run_id[:8]}: {run.status}" + (f", {output}" if output else ""))
    return run


def _goes_on(ledger: Ledger, run: RunRecord) -> bool:
    """Whether a run goes on without anybody's doing: a queued one begins, and one that a worker or a service has let go
    of is taken up again."""
    from dalsegno.checkpoints.requests import is_due
    from dalsegno.distributed.orders import letter_of

    if run.status != "stopped":
        return run.status in ("running", "queued")
    latest = ledger.latest(run.thread, plain=True)
    if latest is None or latest.run_id != run.run_id:
        return False
    return is_due(ledger, run.run_id) or letter_of(ledger, run.run_id) is not None


def _begun(seeing: Seeing, record: Callable[[Ledger], RunRecord], screen: Any) -> RunRecord:
    from dalsegno.cli.screen import readable

    told = False
    while True:
        try:
            return record(seeing.ledger)
        except (UnknownRun, UnknownThread) as error:
            if not told:
                screen.line(f"Waiting for it to begin: {readable(str(error))}")
                told = True
            time.sleep(PAUSE)


class _Watched:
    """What is drawn, and the last that was drawn of it."""

    def __init__(self, seeing: Seeing, output: Path | None, fold: Any) -> None:
        self.seeing, self.output, self.fold = seeing, output, fold
        self.is_page = output is not None and output.suffix.lower() == ".html"
        self.seen: Any = None
        self.last: RunRecord | None = None
        self.layout: Any = None

    @property
    def beside(self) -> Path:
        """The file that the page reads."""
        assert self.output is not None
        return self.output.with_name(f"{self.output.stem}.live.js")

    def draw(self, run: RunRecord) -> float:
        """Draws what is new; gives the seconds that took."""
        from dalsegno.graphs.validation import check

        began = time.monotonic()
        view = self.seeing.view(run)
        seen = (view.status, view.executions, view.pending, view.used)
        if seen == self.seen:
            return time.monotonic() - began
        self.seen, self.last = seen, run
        spec = self.seeing.graph_of(run)
        if self.is_page:
            self._page(spec, run, check(spec))
        else:
            self._picture(spec, {"run": view, "report": check(spec), "fold": self.fold})
        return time.monotonic() - began

    def _picture(self, spec: Any, given: dict[str, Any]) -> None:
        from dalsegno import viz

        if self.output is not None:
            _replace(self.output, viz.drawn(spec, self.output, **given))
            return
        from dalsegno.cli.drawing import print_drawing
        from dalsegno.cli.screen import Screen

        screen = Screen(sys.stdout)
        if screen.is_terminal:
            screen.line("\x1b[H\x1b[2J")
        print_drawing(screen, viz.picture(spec, **given))

    def _page(self, spec: Any, run: RunRecord, report: Any) -> None:
        from dalsegno import viz
        from dalsegno.viz.layout import place
        from dalsegno.viz.page import news, page

        assert self.output is not None
        picture = viz.picture_of(spec, report=report, fold=self.fold, page=True)
        view = self.seeing.view(run, states=True)
        first = self.layout is None
        self.layout = self.layout or place(picture)
        _replace(self.beside, news(picture, view, report).encode())
        if first:
            whole = page(picture, view, report=report, layout=self.layout, live=self.beside.name)
            _replace(self.output, whole.encode())

    def end(self) -> None:
        """Leaves a page that needs nothing beside it."""
        if not self.is_page or self.last is None or self.output is None:
            return
        from dalsegno import viz
        from dalsegno.graphs.validation import check

        with suppress(DalsegnoError):
            self.last = self.seeing.ledger.get(self.last.run_id, plain=True)
        spec = self.seeing.graph_of(self.last)
        view = self.seeing.view(self.last, states=True)
        _replace(self.output, viz.drawn(spec, self.output, run=view, report=check(spec), fold=self.fold))
        with suppress(KeyboardInterrupt):
            time.sleep(_LINGER)
        with suppress(OSError):
            self.beside.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """Puts a file in the place of another at once: nobody reads half of it."""
    from dalsegno import viz

    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise viz.unwritable(path, error) from error
