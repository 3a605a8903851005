"""The demo itself: check, run, kill, resume, compare, draw."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalsegno import viz
from dalsegno.checkpoints import Database, ExecutionRecord, Ledger
from dalsegno.demo.workflow import WIDTHS, flow, library
from dalsegno.errors import DalsegnoError, MissingExtra, RenderError
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.validation import Report
from dalsegno.runtime.view import run_view
from dalsegno.viz.overlay import RunView

QUESTION = "How do I get a default value for a missing key?"
KILL_AT = 4
"""Which node execution of each of the first two processes is killed: the fourth after its start."""

Say = Callable[[str], None]


@dataclass
class Process:
    """What one process of the demo did: the nodes it finished, and the one in which it was killed."""

    pid: int
    finished: list[str] = field(default_factory=list)
    killed_in: str | None = None
    result: dict[str, Any] | None = None


def show(question: str | None, db: Path, say: Say = print) -> dict[str, Any]:
    """Run the demo and say what happens.

    Parameters
    ----------
    question
        What to ask; a question of our own when left out.
    db
        The database file; the picture is drawn beside it.
    say
        Is given every line.

    Returns
    -------
    The JSON of the demo: result, processes, what was executed again, certificate, picture.

    Raises
    ------
    CheckpointError
        The database cannot be used. Nothing was run.
    """
    began = time.monotonic()
    asked = question or QUESTION
    with closing(Database(db)) as database:
        Ledger(database).runs(limit=1)  # one that cannot be used is told here, not by a process of the demo
    thread = f"demo-{uuid.uuid4().hex[:6]}"
    model = os.environ.get("DALSEGNO_MODEL")
    workflow = flow()
    report = workflow.validate()
    report.raise_for_errors()
    _introduce(asked, model, report, say)

    processes = list(_processes(db, thread, asked, say))
    result = processes[-1].result
    if result is None or result["status"] != "completed":
        raise DalsegnoError(
            f"The demo's run did not complete. Look at it: dalsegno show {thread} --db {shlex.quote(str(db))}",
            result=result,
        )
    with closing(Database(db)) as database:
        ledger = Ledger(database)
        run = ledger.get(result["run_id"], plain=True)
        executions = ledger.executions(run.run_id)
        view = run_view(ledger, workflow.spec, run)
    repeated = _compare(processes, executions, report, say)
    # The state's own count is back at 0 at the end, for the thread's next turn.
    widened = {e.occurrence for e in executions if e.node == "widen" and e.status == "done"}
    _answer(result["output"], 1 + len(widened), model, say)
    picture = _picture(workflow.spec, view, db, report, say)
    say(
        f"\n{time.monotonic() - began:.1f} s. Look again: {command_here()} show {thread} --db {shlex.quote(str(db))}"
    )
    certificate = report.certificate.to_dict() if report.certificate else None
    return {
        "question": asked,
        "model": model,
        "thread": thread,
        "db": str(db),
        "certificate": certificate,
        "processes": [{"pid": p.pid, "finished": p.finished, "killed_in": p.killed_in} for p in processes],
        "repeated": repeated,
        "result": result,
        "picture": str(picture),
    }


def _introduce(question: str, model: str | None, report: Report, say: Say) -> None:
    certificate = report.certificate
    assert certificate is not None
    version = ".".join(map(str, sys.version_info[:2]))
    say(f"Question   {question}")
    say(f"Source     {len(library())} passages of the documentation topics that Python {version} carries")
    say(
        "Answers    "
        + (f"written by {model}" if model else "quoted from the source; no language model is used")
    )
    say("")
    say(f"Proved before the run: every run ends within {certificate.supersteps} supersteps,")
    say(f"  {certificate.executions} node executions and {certificate.model_calls} model calls.")
    say(f"  Longest walk: {_walk(certificate.witness)}")
    say("")


def _walk(witness: tuple[str, ...]) -> str:
    """The witness with its repeated part written once."""
    names = list(witness)
    head = names.index("widen") if "widen" in names else len(names)
    attempt, loops = names[:head], names.count("widen")
    if not loops:
        return " → ".join(names)
    return f"{' → '.join(attempt)}, {loops} × (widen → {' → '.join(attempt)}), {names[-1]}"


def _processes(db: Path, thread: str, question: str, say: Say) -> Iterator[Process]:
    """Start the run, kill it twice, and let the third process end it."""
    arguments = [question]
    for stop_at in (KILL_AT, KILL_AT, 0):
        process = _process([str(db), thread, str(stop_at), *arguments], say, resumed=not arguments)
        yield process
        if process.killed_in is None:
            return
        arguments = []


def _process(arguments: list[str], say: Say, *, resumed: bool) -> Process:
    command = [sys.executable, "-m", "dalsegno.demo.process", *arguments]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, process_group=0, **pipes) as child, contextlib.ExitStack() as stack:
        # Ctrl-C is for the demo, which takes its processes with it.
        stack.push(lambda kind, *_: child.kill() if kind is not None else None)
        process = Process(child.pid)
        say(f"Process {child.pid} {'resumes from the mark' if resumed else 'starts the run'}")
        assert child.stdout is not None
        for text in child.stdout:
            line = json.loads(text)
            if line["event"] == "finished":
                process.finished.append(line["node"])
                say(f"  superstep {line['superstep']:>2}  {line['node']:<9} {line['seconds'] * 1000:6.1f} ms")
            elif line["event"] == "waiting":
                child.kill()
                process.killed_in = line["node"]
                say(
                    f"  superstep {line['superstep']:>2}  {line['node']:<9}  ✗ killed with SIGKILL in this node\n"
                )
            else:
                process.result = line
                say("")
    return process


def command_here() -> str:
    """How this shell finds the command: by its name, or by its path where `make demo` has just put it."""
    own = Path(sys.argv[0])
    if shutil.which("dalsegno") or own.name != "dalsegno":
        return "dalsegno"
    return shlex.quote(os.path.relpath(own))


def _compare(
    processes: list[Process], executions: list[ExecutionRecord], report: Report, say: Say
) -> list[str]:
    """Say what was done before the kills, and what of it was done again; give the latter."""
    killed = [p.killed_in for p in processes if p.killed_in]
    before = sum(len(p.finished) for p in processes[:-1])
    counted = Counter((e.place, e.occurrence) for e in executions if e.status == "done")
    again = [f"{node} ({times}×)" for (node, _), times in counted.items() if times > 1]
    kills = f"{len(killed)} kill{'' if len(killed) == 1 else 's'}"
    say(
        f"{before} node executions were committed before the {kills}. Done again of these: "
        f"{', '.join(again) or 'none'}."
    )
    say(f"In flight at a kill, so started again: {', '.join(killed)}.")
    used, proved = processes[-1].result, report.certificate
    if used and proved:
        say(f"Used {used['supersteps']} of the {proved.supersteps} supersteps that were proved.")
    return again


def _answer(output: dict[str, Any], attempts: int, model: str | None, say: Say) -> None:
    say("")
    if output["outcome"] == "cannot":
        say(f"Answer     It cannot be answered from these topics: {output['judgement']['reason']}")
        say(f"           ({attempts} attempts, the widest with {WIDTHS[attempts - 1]} passages)")
        return
    for number, sentence in enumerate(output["answer"]["sentences"]):
        say(f"{'Answer     ' if not number else '           '}{sentence['text']} [{sentence['topic']}]")
    topics = dict.fromkeys(s["topic"] for s in output["answer"]["sentences"])
    say(f"Topics     {', '.join(topics)} (read one: python -c \"help('{next(iter(topics))}')\")")
    if not model:
        say("           No language model was used.")


def beside(db: Path, suffix: str) -> Path:
    """The file of a picture beside the database: never the database itself, whatever that is called."""
    own = db.with_suffix(suffix)
    return own if own != db else db.with_name(db.name + suffix)


def _picture(spec: WorkflowSpec, view: RunView, db: Path, report: Report, say: Say) -> Path:
    try:
        path = viz.draw(spec, beside(db, ".svg"), run=view, report=report)
    except (MissingExtra, RenderError) as error:
        path = viz.draw(spec, beside(db, ".mmd"), run=view, report=report)
        say(f"Picture    {path} (as Mermaid: {error})")
    else:
        say(f"Picture    {path}")
    return path
