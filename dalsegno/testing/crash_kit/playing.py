"""What one process does in a crash test: begin the run or go on with it, until it ends."""

from __future__ import annotations

import base64
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import SqliteCheckpointer, maintenance
from dalsegno.errors import InputInvalid, NothingToResume, ThreadBusy, ThreadUnfinished
from dalsegno.runtime import Runner
from dalsegno.runtime.code_changes import kept_code
from dalsegno.testing.crash_kit.observing import Witness, witnessed

if TYPE_CHECKING:
    from dalsegno.checkpoints.file.database import Profile
    from dalsegno.checkpoints.records import RunRecord

Answers = Mapping[str, Any] | Callable[[Mapping[str, Any]], Any]
"""What to answer when a run waits for a human: by node, or a function of the question."""

THREAD = "crash-test"


@dataclass(frozen=True)
class Play:
    """What is run: a graph or a function that makes one, its input, and the answers to its questions."""

    target: Any
    input: Any
    answers: Answers | None
    context: Any
    profile: Profile
    checkpointer: type[SqliteCheckpointer]
    linger: float = 0.0
    resumers: int = 1


class Stage:
    """Everything a process needs to run the play, made before the processes are forked."""

    def __init__(self, play: Play, database: Path) -> None:
        self.play = play
        self.database = database
        self.witness = Witness()
        made = hasattr(play.target, "compile") or hasattr(play.target, "invoke") or not callable(play.target)
        self._runner = self._runner_of(play.target) if made else None
        self._playing = self._runner
        if self._runner is not None:
            kept_code(self._runner.spec)  # it is kept with a run: to read it takes longer than most runs

    @property
    def name(self) -> str:
        """The workflow's name."""
        return (self._runner or self._runner_of(self.play.target())).spec.name

    def _runner_of(self, graph: Any) -> Runner:
        play = self.play
        saver = witnessed(play.checkpointer, self.database, self.witness, play.profile, play.linger)
        return Runner(graph, saver, on_event=self.witness.on_event)

    def perform(self, *, failed_before: bool = False) -> bool:
        """Begin the run, or go on with it, and answer its questions, until it ends; note the outcome.

        Gives whether there is one: not where another process goes on with the run, and sees it through.

        `failed_before`: an error of the disk was the process's before, so that a failed run is gone on with.
        """
        runner = self._playing = self._runner or self._runner_of(self.play.target())
        record = runner.ledger.latest(THREAD, plain=True)
        self.witness.note("found", record.status if record else None)
        if record is not None and record.status == "running":
            return False
        try:
            if record is not None or self.play.resumers == 1:
                self._go_on(runner, record, failed_before)
            elif not self._begin_alone(runner):
                return False
        except (ThreadBusy, ThreadUnfinished, NothingToResume, InputInvalid):
            if self.play.resumers > 1:
                return False  # another process was faster, with the run or with the answer
            raise
        self._note_outcome(runner)
        return True

    def _begin_alone(self, runner: Runner) -> bool:
        """Begin the run, unless another process that has found nothing recorded does: one more would be the thread's
        next turn. Gives whether it did. The lock goes with its process, and writes nothing."""
        import fcntl  # not on Windows, where nothing is forked either

        door = os.open(self.database.parent, os.O_RDONLY)
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if runner.ledger.latest(THREAD, plain=True) is not None:
                return False
            self._go_on(runner, None, failed_before=False)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(door)

    def _go_on(self, runner: Runner, record: RunRecord | None, failed_before: bool) -> None:
        context = self.play.context
        status: str | None = record.status if record else None
        questions = record.interrupts if record else ()
        result = None
        if status is None:
            result = runner.run(self.play.input, THREAD, context=context)
        elif status == "stopped" or (status == "failed" and failed_before):
            result = runner.resume(THREAD, context=context)
        if result is not None:
            status, questions = result.status, result.interrupts
        while status == "interrupted" and self.play.answers is not None:
            value = {question["id"]: self._answer(question) for question in questions}
            result = runner.resume(THREAD, value, context=context)
            status, questions = result.status, result.interrupts

    def _answer(self, question: Mapping[str, Any]) -> Any:
        answers = self.play.answers
        if isinstance(answers, Mapping):
            if question["node"] not in answers:
                raise InputInvalid(
                    f"`{question['node']}` asks {question['value']!r}, and `answers` has no answer of that name.",
                    key=question["node"],
                    expected=None,
                )
            return answers[question["node"]]
        assert answers is not None
        return answers(question)

    def _note_outcome(self, runner: Runner) -> None:
        """As the database has it: the ledger's record and the state that is kept."""
        record = runner.ledger.latest(THREAD, plain=True)
        assert record is not None
        output = runner.pending(THREAD).output(runner.spec)
        error = record.error
        self.witness.note(
            "outcome",
            record.status,
            record.supersteps,
            base64.b64encode(pickle.dumps(output)).decode(),
            None if error is None else f"{error['type']} in `{error['node']}`",
        )
        done = [e for e in runner.ledger.executions(record.run_id) if e.status == "done"]
        self.witness.note("journal", sorted(f"{e.place}#{e.occurrence}[{e.index}]" for e in done))

    def leave(self) -> None:
        """Close the database of the run, as a program does at its end."""
        if self._playing is not None:
            self._playing.close()

    def check(self) -> None:
        """Note which checkpoints can be read back, and what is wrong with the file."""
        assert self._playing is not None  # it has performed
        saver = SqliteCheckpointer(self.database, serde=self._playing.checkpointer.serde)
        with saver:
            said = " ".join(maintenance.check(saver.database)) or "ok"
            kept = [found.checkpoint["id"] for found in saver.list({"configurable": {"thread_id": THREAD}})]
        self.witness.note("checked", said, kept)

    def close(self) -> None:
        """Close what this process has opened."""
        self.witness.close()
        if self._runner is not None:
            self._runner.close()


def output_of(text: str) -> Any:
    """What `perform` noted as output."""
    return pickle.loads(base64.b64decode(text))
