"""What an A2A agent tells of its task, put together; and parts of messages as plain values."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from dalsegno.errors import PlayerError, RemoteError, RemoteTaskEnded
from dalsegno.nodes.remote.exchange import Question
from dalsegno.nodes.remote.request import Asked


class Progress:
    """How far a task is: `answer` are the parts of what was answered, once it is `over`; `known` when it has a name."""

    def __init__(self) -> None:
        self._artifacts: dict[str, list[Any]] = {}
        self._said: list[Any] = []
        self.task_id: str | None = None
        self.state = ""
        self.over = False
        self.looked = False
        self.answer: list[Any] | None = None
        self.known = asyncio.Event()

    def take(self, event: Any) -> None:
        """One event of a stream, or the answer to a message."""
        kind = event.WhichOneof("payload")
        if kind == "message":
            self.answer, self.over = list(event.message.parts), True
        elif kind == "task":
            self.take_task(event.task)
        elif kind == "artifact_update":
            update = event.artifact_update
            self._is_of(update.task_id)
            parts = self._artifacts.setdefault(update.artifact.artifact_id, [])
            if not update.append:
                parts.clear()
            parts.extend(update.artifact.parts)
        elif kind == "status_update":
            self._is_of(event.status_update.task_id)
            self._status(event.status_update.status)
        if self.task_id is not None or self.over:
            self.known.set()

    def take_task(self, task: Any) -> None:
        """The task as a whole."""
        self._is_of(task.id)
        self.known.set()
        self._artifacts = {artifact.artifact_id: list(artifact.parts) for artifact in task.artifacts}
        self._status(task.status)

    @property
    def said(self) -> str:
        """What the agent said last about the task."""
        return "\n".join(part.text for part in self._said if part.HasField("text"))

    def _is_of(self, task_id: str) -> None:
        """What is told has to be of the one task: another's end is not this one's."""
        if task_id and self.task_id and task_id != self.task_id:
            raise ValueError(f"it tells of the task {task_id}, and the task is {self.task_id}")
        self.task_id = task_id or self.task_id

    def _status(self, status: Any) -> None:
        from a2a.types import TaskState

        self.state = TaskState.Name(status.state).removeprefix("TASK_STATE_").lower().replace("_", " ")
        self._said = list(status.message.parts)
        if self.state == "completed":
            artifacts = [part for parts in self._artifacts.values() for part in parts]
            self.answer = artifacts or self._said
        self.over = self.state not in ("submitted", "working", "unspecified")


def ended_otherwise(progress: Progress, asked: Asked) -> RemoteError:
    """A task that has no answer, as an error."""
    said = asked.excerpt(progress.said)
    hint = {
        "input required": "It asks back, which a node cannot answer: say more in `prompt`.",
        "auth required": "Give it credentials: headers={'Authorization': ...}.",
        "canceled": "Somebody cancelled it at the agent.",
    }.get(progress.state, "Look at what it was asked.")
    return asked.fail(
        RemoteTaskEnded,
        f"did not complete its task {progress.task_id}: {progress.state}{f', saying {said!r}' if said else ''}. {hint}",
        task_id=progress.task_id,
        state=progress.state,
        said=asked.scrub(progress.said),
    )


def message_of(question: Question, message_id: str, asked: Asked) -> Any:
    """What an agent is asked, as a message: words as a text part, parameters as a data part.

    Raises
    ------
    PlayerError
        Something cannot be said in A2A: half of a surrogate pair, NaN, a whole number that a float does not have.
    """
    from a2a.helpers.proto_helpers import new_data_part, new_text_part
    from a2a.types import Message, Role
    from google.protobuf.json_format import Error, MessageToDict

    try:
        parts = [] if question.text is None else [new_text_part(question.text)]
        if question.params is not None:
            given = json.loads(json.dumps(question.params))
            parts.append(new_data_part(given))
            if MessageToDict(parts[-1].data) != given:
                raise ValueError("a number is not the same as a float, and A2A has no others")
    except (Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise PlayerError(
            f"`{asked.node}` cannot ask {asked.agent}: what it would send cannot be said in A2A ({error}). Look at "
            "`params` and `prompt`.",
            node=asked.node,
        ) from error
    return Message(message_id=message_id, role=Role.ROLE_USER, parts=parts)


def answer_of(parts: list[Any]) -> Any:
    """The data of the parts, where there is any; else their text. Files stand as they were sent, among a list."""
    from google.protobuf.json_format import MessageToDict

    data = [_whole(MessageToDict(part.data)) for part in parts if part.HasField("data")]
    texts = [part.text for part in parts if part.HasField("text")]
    if len(data) + len(texts) < len(parts):
        return [_whole(MessageToDict(part)) for part in parts]
    if data:
        return data[0] if len(data) == 1 else data
    return "\n".join(texts)


def _whole(value: Any) -> Any:
    """Numbers as they were: protobuf has every one as a float."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return value
