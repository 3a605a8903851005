"""Kills, and power cuts, in the middle of what is done to a whole database: pruning, migrating, deleting.

Such an operation is all or nothing: whoever opens the database afterwards finds it as it was, or as it is to
be; and the operation can be done again.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from dalsegno.errors import CrashTestFailed
from dalsegno.testing.crash_kit.disk import Image
from dalsegno.testing.crash_kit.forking import BEGUN, DONE, Server, in_fork
from dalsegno.testing.crash_kit.kills import Mode
from dalsegno.testing.crash_kit.place import Place
from dalsegno.testing.crash_kit.planning import Plan, planned
from dalsegno.testing.crash_kit.tracing import why_not
from dalsegno.testing.crash_kit.watching import Watch

_TIMEOUT = 60.0


@dataclass(frozen=True)
class Interrupted:
    """What became of an operation that was interrupted again and again.

    `kills` processes, of which `undone` left everything as it was and `done` all as it is to be; `wrong` says what
    else was found, a sentence each.
    """

    writes: int
    kills: int
    undone: int
    done: int
    wrong: tuple[str, ...]


def interrupted(
    operation: Callable[[Path], Any],
    database: Path,
    content: Callable[[Path], Any],
    *,
    at: Mode = "every write",
    kills: int | None = None,
    seed: int = 0,
) -> Interrupted:
    """Do `operation` to copies of a database, with the process killed, the power cut or the disk failing in it.

    Parameters
    ----------
    operation
        What is done, given the path of a copy, in a process of its own.
    database
        A database that nobody has open.
    content
        What a database holds, to be compared; it raises where something is wrong with it.
    at, kills, seed
        As for `crash_test`.

    Raises
    ------
    CrashTestFailed
        The operation fails by itself, or no process can be traced here.
    """
    reason = why_not()
    if reason is not None:
        raise CrashTestFailed(
            f"An operation cannot be interrupted at its writes here: {reason}.", report=None
        )
    plan = Plan(at, kills, 0, seed, _TIMEOUT)
    with tempfile.TemporaryDirectory(prefix="dalsegno-crash-") as folder:
        test = _Test(operation, database, content, Place(Path(folder) / "run"))
        return in_fork(lambda server: test.run(server, plan))


class _Test:
    def __init__(
        self,
        operation: Callable[[Path], Any],
        database: Path,
        content: Callable[[Path], Any],
        place: Place,
    ) -> None:
        self._operation = operation
        self._content = content
        self._place = place
        folder = place.database.parent
        self._image: Image = {str(folder): None} | {
            str(place.database) + file.name.removeprefix(database.name): file.read_bytes()
            for file in database.parent.glob(f"{database.name}*")
        }

    def run(self, server: Server, plan: Plan) -> Interrupted:
        """In the server: the operation undisturbed, then each point."""
        before = self._find(server)
        with self._place as place:
            place.put(self._image)
            watch = place.watch(None, record=plan.cuts_power)
            self._do(server, watch)
            after = self._looked_at(server)
        if isinstance(before, str) or isinstance(after, str):
            raise CrashTestFailed(f"Without any kill: {before} {after}", report=None)
        undone = done = killed = 0
        wrong: list[str] = []
        for (kill,) in planned(plan, 0, watch.halves, Random(plan.seed)):
            with self._place as place:
                if kill.draw is not None:
                    place.after_power_cut(kill, watch.deeds, self._image)
                else:
                    place.put(self._image)
                    self._do(server, place.watch(kill), may_fail=True)
                killed += 1
                found = self._looked_at(server)
                undone, done = undone + (found == before), done + (found == after)
                if found not in (before, after):
                    wrong.append(f"{kill}: neither as it was nor as it is to be: {found}")
                self._do(server, None)
                again = self._looked_at(server)
                if again != after:
                    wrong.append(f"{kill}: done again, it is not as it is to be: {again}")
        return Interrupted(watch.writes, killed, undone, done, tuple(wrong))

    def _find(self, server: Server) -> Any:
        with self._place as place:
            place.put(self._image)
            return self._looked_at(server)

    def _do(self, server: Server, watch: Watch | None, *, may_fail: bool = False) -> None:
        """The operation, in a process of its own."""

        def body(tell: Callable[[bytes], None]) -> None:
            tell(BEGUN)
            try:
                self._operation(self._place.database)
            except Exception:
                traceback.print_exc()
                os._exit(1)
            tell(DONE)

        end = server.child(body, str(self._place.output), watch).wait(None, _TIMEOUT)
        if end.hung or (end.code and not may_fail):
            raise CrashTestFailed(f"The operation failed:\n{self._place.printed()}", report=None)

    def _looked_at(self, server: Server) -> Any:
        """What the database holds, read in a process of its own; a text where something is wrong with it."""
        shown = self._place.folder / "shown"

        def body(tell: Callable[[bytes], None]) -> None:
            tell(BEGUN)
            try:
                found: Any = (self._content(self._place.database),)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            shown.write_bytes(pickle.dumps(found))
            tell(DONE)

        shown.unlink(missing_ok=True)
        server.child(body, str(self._place.output)).wait(None, _TIMEOUT)
        return pickle.loads(shown.read_bytes())
