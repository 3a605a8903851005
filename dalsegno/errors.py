"""Every error Dalsegno raises, in one tree.

::

    DalsegnoError
    ├── DefinitionError            a workflow cannot be meant as it is written
    │   ├── WorkflowInvalid        the check found errors (.report)
    │   ├── DocumentInvalid        a workflow document cannot be read, or be meant (.file, .line, .column, .field)
    │   └── TargetNotLoaded        path.py:name leads to no workflow (.target, .reason)
    ├── RunError                   a run cannot start, or cannot go on
    │   ├── InputInvalid           the input does not fit the state (.key, .expected)
    │   ├── UnknownThread          nothing is recorded under that name (.thread)
    │   ├── UnknownRun             nothing is recorded under that id (.run_id)
    │   ├── ThreadBusy             another process holds the thread (.thread, .holder)
    │   │   └── Fenced             another process has taken the thread over meanwhile
    │   ├── ThreadUnfinished       new input on a thread with pending work (.thread)
    │   ├── NothingToResume        the thread has no pending work (.thread)
    │   ├── IncompatibleGraph      the graph has changed since the checkpoint (.thread, .difference)
    │   └── RunFailed              `RunResult.raise_for_status()` (.run_id, .status)
    ├── KernelError                a node did what its workflow does not declare
    │   ├── UndeclaredTarget       routed or sent to a node it does not name (.node, .target)
    │   ├── UnknownStateKey        returned a key the state does not have (.node, .key)
    │   ├── WrongAnswer            an actor's answer is not what its role asks for (.pattern, .role, .expected, .got)
    │   ├── BoundExceeded          went beyond the proven bound (.bound, .used, .path)
    │   └── BudgetExceeded         spent what the run was given (.what, .limit, .spent, .owner, .by_node)
    ├── PolicyError                what a policy around a node cannot, or will not, go on with (.node)
    │   ├── NodeTimeout            took longer than it may (.seconds)
    │   ├── CircuitOpen            not called: it failed too often lately (.breaker, .seconds)
    │   ├── RateLimited            its turn would have come too late (.seconds)
    │   ├── EmptyAnswer            answered nothing, and is watched for that
    │   ├── RepeatedAnswer         answered the same again and again (.times)
    │   └── AttemptAbandoned       goes on although its time is over: it is given nothing more
    ├── PlayerError                what an agent, a tool, a remote agent or a human could not do (.node)
    │   ├── FieldMissing           the state lacks what it needs (.field)
    │   ├── ReferenceNotFound      a reference of a document leads to nothing (.reference)
    │   ├── ValueUnfit             what a reference led to cannot be used where it stands (.text, .expected, .got)
    │   ├── AnswerInvalid          what was answered does not fit, to the last (.said, .problem, .asked)
    │   ├── ToolFailed             a tool cannot do what it was asked (.tool, .problem)
    │   └── RemoteError            a remote agent did not answer as it should (.agent, .retryable)
    │       ├── AddressRefused     its address is private, and that is not allowed (.host, .address)
    │       ├── RemoteUnreachable  no connection to it, or one that broke (.reason)
    │       ├── RemoteTimeout      it took longer than it may (.seconds, .received)
    │       ├── RemoteStatus       it answered with an HTTP error (.status, .retry_after)
    │       ├── RemoteFault        it answered with an error (.code, .meaning, .said, .details)
    │       ├── RemoteAnswerInvalid what came is no answer to what was asked (.reason, .excerpt)
    │       ├── RemoteTaskEnded    its task did not complete (.task_id, .state, .said)
    │       ├── UnknownSkill       no agent of the registry has it (.skill, .registry)
    │       └── RegistryUnavailable the registry cannot be read, and never could (.registry)
    ├── PatternError               what a pattern cannot go on with
    │   ├── StepFailed             a step of a document failed, and what it says `on_error` is used up (.step, .failed)
    │   └── TooFewAnswers          fewer of its roles answered than it needs (.needed, .answered, .failures)
    ├── CheckpointError            the database cannot be used, or a value cannot be kept
    │   ├── DatabaseInvalid        not a database, not ours, or from a newer version (.path)
    │   ├── DatabaseUnavailable    locked, full, read-only or gone (.path)
    │   ├── NotSerializable        a value that cannot be written (.thread, .key, .type)
    │   └── TypeNotAllowed         a stored type that may not be read (.thread, .key, .type)
    ├── RequestRefused             the service does not do what a request asks (.status, .kind, .field, .retry_after)
    ├── RenderError                a picture cannot be made (.format)
    ├── CrashTestFailed            a killed run did not come to the same end (.report)
    ├── AgentNotStarted            a process of `dalsegno agents up` is not well (.agent, .reason, .output)
    ├── ScriptNotFollowed          a scripted model was called otherwise (.reason, .call)
    ├── EngineUnavailable          the engine that hands runs to workers does not answer (.engine)
    └── MissingExtra               an optional package is not installed (.extra)

A message says what happened, where, and what to do next. Data is in attributes, so that nobody
parses messages, and every error survives pickling.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable
from typing import Any


class DalsegnoError(Exception):
    """Base of every error of this library.

    Parameters
    ----------
    message
        What, where, and what to do next.
    **data
        Becomes attributes of the error.
    """

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        for name, value in data.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.data)


def _rebuild(cls: type[DalsegnoError], message: str, data: dict[str, Any]) -> DalsegnoError:
    return cls(message, **data)


class DefinitionError(DalsegnoError):
    """A workflow cannot be meant as it is written."""


class WorkflowInvalid(DefinitionError):
    """The check found errors; `.report` is what it found, `.findings` are all findings in it."""

    report: Any
    findings: tuple[Any, ...]


class DocumentInvalid(DefinitionError):
    """A workflow document cannot be read, or cannot be meant as it is written.

    `.problems` has all that was found (`dalsegno.graphs.documents.problems.Problem`), in the order of the lines; the
    other attributes are those of the first: `.file`, `.line` and `.column` from 1, and `.field`, such as
    ``"steps[0].strategy"``. None where it is not known.
    """

    file: str | None
    line: int | None
    column: int | None
    field: str | None
    problems: tuple[Any, ...]


class TargetNotLoaded(DefinitionError):
    """`path.py:name` leads to no workflow.

    `.reason` is one of ``"no file"``, ``"no module"``, ``"no such name"``, ``"not a workflow"``,
    ``"import error"``, ``"bad target"``. For an import error the cause is the user's own exception.
    """

    target: str
    reason: str


class RunError(DalsegnoError):
    """A run cannot start, or cannot go on."""


class InputInvalid(RunError):
    """The input does not fit the state."""

    key: str | None
    expected: str | None


class UnknownThread(RunError):
    """Nothing is recorded under that thread name."""

    thread: str


class UnknownRun(RunError):
    """Nothing is recorded under that run id."""

    run_id: str


class ThreadBusy(RunError):
    """Another process holds the thread; `.holder` says which."""

    thread: str
    holder: Any


class Fenced(ThreadBusy):
    """This process has lost its thread to another one, or came too late for it: it writes nothing to it."""


class ThreadUnfinished(RunError):
    """New input was given to a thread that has pending work."""

    thread: str


class NothingToResume(RunError):
    """The thread has no pending work."""

    thread: str


class IncompatibleGraph(RunError):
    """The graph has changed since the checkpoint in a way that cannot be gone on from."""

    thread: str
    difference: Any


class RunFailed(RunError):
    """The run did not complete; raised by `RunResult.raise_for_status`."""

    run_id: str
    status: str


class KernelError(DalsegnoError):
    """A node did what its workflow does not declare."""


class UndeclaredTarget(KernelError):
    """A node or router named a target that is not declared, or chose nothing."""

    node: str
    target: Any


class UnknownStateKey(KernelError):
    """A node returned a key that the state does not have."""

    node: str
    key: str


class WrongAnswer(KernelError):
    """An actor answered something else than its role in a pattern asks for."""

    pattern: str
    role: str
    expected: str
    got: str


class BoundExceeded(KernelError):
    """A run went beyond the bound that was proved for it."""

    bound: int
    used: int
    path: tuple[str, ...]


class BudgetExceeded(KernelError):
    """A run, or a part of it, has spent what it was given; it can be resumed with more.

    `.what` is one of ``"supersteps"``, ``"model_calls"``, ``"tokens"``, ``"seconds"``, ``"cost"``; `.owner` whose
    limit it is (``"the run"``, or a node); `.by_node` what each node has spent of it; `.held` what is held back for
    model calls under way.
    """

    what: str
    limit: float
    spent: float
    owner: str
    by_node: dict[str, float]
    held: float = 0.0


class PolicyError(DalsegnoError):
    """What a policy around a node cannot, or will not, go on with."""

    node: str


class NodeTimeout(PolicyError):
    """A call took longer than it may. A sync function may still be going on: see its message."""

    seconds: float


class CircuitOpen(PolicyError):
    """The node was not called, for its circuit breaker is open; `.seconds` until it is tried again."""

    breaker: str
    seconds: float


class RateLimited(PolicyError):
    """The node's turn would have come later than its rate limit lets it wait."""

    seconds: float


class EmptyAnswer(PolicyError):
    """A node answered nothing, and is watched for that."""


class RepeatedAnswer(PolicyError):
    """A node gave the same answer so many times in a row."""

    times: int


class AttemptAbandoned(PolicyError):
    """An attempt goes on although it was given up: it can have no effects, and no model is called for it."""


class PlayerError(DalsegnoError):
    """What a player could not do: an agent, a tool, a remote agent or a human; `.node` is its node's path."""

    node: str


class FieldMissing(PlayerError):
    """The state lacks what a player needs; `.field` is its dotted name."""

    field: str


class ReferenceNotFound(PlayerError):
    """A reference of a workflow document leads to nothing; `.reference` is its text, `.known` what there is instead."""

    node: str = ""
    reference: str
    known: tuple[str, ...]


class ValueUnfit(PlayerError):
    """What a reference of a workflow document led to cannot be used where it stands.

    `.text` is the reference or the condition, `.expected` and `.got` say of what kind a value can be, and was.
    """

    node: str = ""
    text: str
    expected: str
    got: str


class AnswerInvalid(PlayerError):
    """What was answered does not fit what was asked for, and goes on not fitting.

    `.said` is the last answer as text, `.problem` what is wrong with it, `.asked` how often it was asked for.
    """

    said: str
    problem: str
    asked: int


class ToolFailed(PlayerError):
    """A tool cannot do what it was asked; `.problem` says why, in words that an agent can react to."""

    tool: str
    problem: str


class RemoteError(PlayerError):
    """A remote agent did not answer as it should; `.agent` is its name and address.

    `.retryable` says whether asking again may help; a `RetryPolicy` that names no errors goes by it.
    """

    agent: str
    retryable: bool = False


class AddressRefused(RemoteError):
    """The agent is at a private, loopback or link-local address, and that is not allowed; nothing was sent there."""

    host: str
    address: str


class RemoteUnreachable(RemoteError):
    """There is no connection to the agent, or it broke.

    `.reason` is one of ``"no such name"``, ``"no connection"``, ``"certificate"``, ``"cut"``, ``"not HTTP"``.
    """

    reason: str
    retryable: bool = True


class RemoteTimeout(RemoteError):
    """The agent took longer than it may; `.received` are the bytes that had come until then."""

    seconds: float
    received: int
    retryable: bool = True


class RemoteStatus(RemoteError):
    """The agent answered with an HTTP error; `.retry_after` are the seconds after which it asks to come back."""

    status: int
    retry_after: float | None


class RemoteFault(RemoteError):
    """The agent answered with an error of its own.

    `.code` and `.meaning` (``-32601``, ``"method not found"``; None where the code is not a standard one), its message
    `.said`, its data `.details`.
    """

    code: int
    meaning: str | None
    said: str
    details: Any


class RemoteAnswerInvalid(RemoteError):
    """What came is no answer to what was asked; `.excerpt` is how it begins.

    `.reason` is one of ``"not JSON"``, ``"content type"``, ``"not JSON-RPC"``, ``"wrong id"``, ``"too large"``,
    ``"compressed"``, ``"redirect"``, ``"not A2A"``, ``"does not fit"``.
    """

    reason: str
    excerpt: str


class RemoteTaskEnded(RemoteError):
    """A task of the agent did not complete; `.state` is how it ended (``"failed"``, ``"input required"``, …)."""

    task_id: str
    state: str
    said: str


class UnknownSkill(RemoteError):
    """No agent of the registry has the skill."""

    skill: str
    registry: str


class RegistryUnavailable(RemoteError):
    """The registry of agents cannot be read, and never could: there is nothing to go on with."""

    registry: str
    retryable: bool = True


class PatternError(DalsegnoError):
    """What a pattern cannot go on with."""


class StepFailed(PatternError):
    """A step of a workflow document failed; `.failed` is what failed in it: `name`, `error` and `message`."""

    step: str
    failed: Any


class TooFewAnswers(PatternError):
    """Fewer of a pattern's roles answered than it needs; `.failures` tells of the others."""

    needed: int
    answered: int
    failures: tuple[Any, ...]


class CheckpointError(DalsegnoError):
    """The database cannot be used, or a value cannot be kept in it."""


class DatabaseInvalid(CheckpointError):
    """The file is not a database, not one of ours, or written by a newer version."""

    path: str


class DatabaseUnavailable(CheckpointError):
    """The database is locked, full, read-only or gone."""

    path: str


class NotSerializable(CheckpointError):
    """A state value cannot be written; the previous checkpoint stays."""

    thread: str | None
    key: str
    type: str


class TypeNotAllowed(CheckpointError):
    """A stored value is of a type that may not be read back."""

    thread: str | None
    key: str
    type: str


class RequestRefused(DalsegnoError):
    """The HTTP service does not do what a request asks for.

    `.status` is the HTTP status, `.kind` a word for it, `.field` what in the request it is about, `.retry_after` the
    seconds after which it may be asked again.
    """

    status: int
    kind: str
    field: str | None
    retry_after: int | None


class RenderError(DalsegnoError):
    """A picture cannot be made."""

    format: str


class CrashTestFailed(DalsegnoError, AssertionError):
    """A killed run did not come to the same end, or there is none to compare with; `.report` says where."""

    report: Any


class AgentNotStarted(DalsegnoError):
    """An agent's process could not be started, ended, or is not well in time; `.output` are its last lines."""

    agent: str
    reason: str
    output: tuple[str, ...]


class ScriptNotFollowed(DalsegnoError, AssertionError):
    """A scripted model was not called as its script says, or its script cannot be what a model answers.

    `.reason` is one of ``"exhausted"``, ``"left over"``, ``"unexpected prompt"``, ``"bad tool call"``,
    ``"bad answer"``, ``"failed"``; `.call` is the number of the call, from 1 (None when calls are missing).
    A bad tool call has `.tool`, `.argument` and `.expected`.
    """

    reason: str
    call: int | None
    tool: str | None = None
    argument: str | None = None
    expected: str | None = None


class EngineUnavailable(DalsegnoError):
    """The engine that hands runs to workers does not answer, or could not be started; `.engine` is its address."""

    engine: str


class MissingExtra(DalsegnoError):
    """An optional package is not installed; `.extra` names what to install."""

    extra: str


def as_typed(name: str, *options: str) -> str:
    """A name as a shell reads it back, with options of the command that a message suggests, at the end of it.

    >>> as_typed("t1", "--at 1f0"), as_typed("two words"), as_typed("-x", "--at 1f0")
    ('t1 --at 1f0', "'two words'", '--at 1f0 -- -x')
    """
    word = quoted(name)
    return " ".join([*options, "--", word] if name.startswith("-") else [word, *options])


def quoted(text: str) -> str:
    """A word as a shell reads it back. Where a terminal would not show it as it is (a newline, a tab, what changes the
    direction of writing), it is spelled in ASCII, as bash, zsh and ksh take it, so that it is in one line and pasted as
    it is meant.

    >>> print(quoted("it's"), quoted("a\\tb"))
    'it'"'"'s' $'a\\tb'
    """
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_spelled, text))}'"


_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "'": r"\'", "\\": r"\\"}


def _spelled(character: str) -> str:
    if (named := _NAMED.get(character)) is not None:
        return named
    if character.isprintable():
        return character
    is_byte = "\udc80" <= character <= "\udcff"  # of a file's name that is no text
    spelled = character.encode(errors="surrogateescape" if is_byte else "surrogatepass")
    # Three octal digits: of hexadecimal ones a shell may take more than two.
    return "".join(f"\\{byte:03o}" for byte in spelled)


LEFT_OUT = (
    "Python was started with -OO (or PYTHONOPTIMIZE=2), which leaves out the texts of patterns and rules. "
    "Start it without."
)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for a name that is nearly one of `known`, else an empty string."""
    spelled = {k.casefold(): k for k in known if isinstance(k, str)}
    close = difflib.get_close_matches(name.casefold(), spelled, n=1)
    return f"; did you mean `{spelled[close[0]]}`?" if close else ""
