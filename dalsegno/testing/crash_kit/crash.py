"""`crash_test`: kill a workflow, resume it, and compare it with the run that nobody disturbed."""

from __future__ import annotations

import operator
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import SqliteCheckpointer
from dalsegno.errors import DefinitionError
from dalsegno.testing.crash_kit.campaign import campaign
from dalsegno.testing.crash_kit.forking import in_fork
from dalsegno.testing.crash_kit.kills import At, points
from dalsegno.testing.crash_kit.planning import Plan
from dalsegno.testing.crash_kit.playing import Answers, Play
from dalsegno.testing.crash_kit.report import CrashReport

if TYPE_CHECKING:
    from dalsegno.checkpoints.file.database import Profile

_MEMORY = Path("/dev/shm")
_LONGEST = 10.0


def crash_test(
    target: Any,
    input: Any,
    *,
    answers: Answers | None = None,
    context: Any = None,
    at: At = "every commit",
    kills: int | None = None,
    again: int = 0,
    resumers: int = 1,
    seed: int = 0,
    db_dir: str | os.PathLike[str] | None = None,
    profile: Profile = "durable",
    linger: float = 0.0,
    checkpointer: type[SqliteCheckpointer] = SqliteCheckpointer,
    same: Callable[[Any, Any], bool] = operator.eq,
    timeout: float = 60.0,
) -> CrashReport:
    """Run a workflow, kill its process with SIGKILL, resume it in a new one, and compare; many times.

    A run passes if it ends like an undisturbed one, has executed the same, and if nothing that was acknowledged before
    a kill was executed again or is gone. To know that, the processes note outside of the database which executions
    began and ended, and which writes were acknowledged to LangGraph. Every process is a fork of a server that has
    everything loaded.

    Parameters
    ----------
    target
        A `Workflow`, a LangGraph graph, or a function without arguments that makes one (called in
        every new process): the server is a fork of this process. Or its name (``path.py:name``,
        ``package.module:name``): the server is a process of its own.
    input
        The input of every run.
    answers
        Answers to questions that a run waits for: by node name, or a function of the question (a
        mapping with id, node, value and schema). Without them, a run ends where it waits.
    context
        LangGraph's runtime context.
    at
        ``"every commit"``: right before and right after each; ``"every write"``: at each system call that
        changes a file, or at commits where no process can be traced; ``"random"``: at seeded moments;
        ``"power cuts"``: with the power, so that what was not synced may be gone; ``"disk full"``, ``"io errors"``: a
        write fails; numbers: these commits of the undisturbed run, from 1; or points as a report prints them:
        ``"after commit 5"``, ``[Kill(5, "after")]``, and several of them for one process after the other.
    kills
        How many runs to kill. Default: 100 for random moments and power cuts, else one for each point. If there are
        fewer kills than points, the seed decides which; if there are more, the points are used again.
    again
        How many of the processes that resume are killed too, at seeded points.
    resumers
        How many processes try to resume a killed run at once. One of them must get it, and the others leave it alone.
    seed
        The seed of everything that is drawn at random.
    db_dir
        Where the databases are made, and deleted after each run. Default: in memory (``/dev/shm``) if there is such a
        folder, because what the system has survives a killed process.
    profile, linger, checkpointer
        How commits are made, and by what; the class may be one of your own. `linger` in seconds, 0 by default so
        that the commits of a run have the same numbers every time; a checkpointer's own default is 0.002.
    same
        A function that compares the output of a killed run with that of the undisturbed one.
    timeout
        Seconds after which a process counts as hung.

    Raises
    ------
    CrashTestFailed
        The undisturbed run does not end, or two of them are not the same. What is wrong after a kill is in
        the report: see `CrashReport.raise_for_failures`.
    DefinitionError
        `at` names no kill point, or one that the undisturbed run does not have. Or another option is not valid.
    DalsegnoError
        The points need a process to be traced, and it cannot be; or this system has no fork.
    WorkflowInvalid
        The check of the workflow found errors.
    TargetNotLoaded
        The name leads to no workflow.

    Example
    -------
    >>> crash_test(flow, {"topic": "rain"}).raise_for_failures()  # doctest: +SKIP
    """
    _check(kills=kills, again=again, resumers=resumers, linger=linger, timeout=timeout)
    folder = Path(db_dir) if db_dir is not None else _default_folder()
    _check_kinds(answers, folder, checkpointer)
    play = Play(target, input, answers, context, profile, checkpointer, linger, resumers)
    plan = Plan(points(at), kills, again, seed, timeout)
    if isinstance(target, str):
        from dalsegno.testing.crash_kit.server import in_subprocess

        report: CrashReport = in_subprocess(play, plan, folder, same)
        return report
    return in_fork(lambda server: campaign(server, play, plan, folder, same))


def _check(*, kills: int | None, again: int, resumers: int, linger: float, timeout: float) -> None:
    """Refuses numbers by which nothing is killed, nothing is ever written, or nobody waits."""
    wrong = {
        f"kills={kills!r}: at least 1 run is killed": kills is not None and not _is_count(kills, 1),
        f"again={again!r}: 0 or more of the resuming processes are killed": not _is_count(again, 0),
        f"resumers={resumers!r}: at least 1 process goes on": not _is_count(resumers, 1),
        f"linger={linger!r}: seconds, from 0 to {_LONGEST:g}": not _is_number(linger)
        or not 0 <= linger <= _LONGEST,
        f"timeout={timeout!r}: a number of seconds above 0": not _is_number(timeout) or not timeout > 0,
    }
    for said in (said for said, is_wrong in wrong.items() if is_wrong):
        raise DefinitionError(f"A crash test with {said}.")


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _check_kinds(answers: Any, folder: Path, checkpointer: Any) -> None:
    """Refuses what would otherwise be said by a traceback, or not at all."""
    if not (answers is None or isinstance(answers, Mapping) or callable(answers)):
        raise DefinitionError(
            f"A crash test with answers={answers!r}: they are a mapping from nodes to answers, or a function of the "
            "question."
        )
    if not folder.is_dir():
        raise DefinitionError(f"A crash test with db_dir={str(folder)!r}: there is no such folder.")
    if not (isinstance(checkpointer, type) and issubclass(checkpointer, SqliteCheckpointer)):
        raise DefinitionError(
            f"A crash test with checkpointer={checkpointer!r}: it is SqliteCheckpointer, or a class made from it."
        )


def _default_folder() -> Path:
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
