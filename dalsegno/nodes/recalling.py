"""What was said in an execution before its process died: kept beside its effects, and read back when it is repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, message_to_dict, messages_from_dict
from langchain_core.runnables import RunnableConfig

from dalsegno.nodes.execution import current_execution


def digest_of(messages: Sequence[BaseMessage], offered: Sequence[str]) -> str:
    """A hash of a conversation and of the tools that are offered in it, without the ids that models make up."""
    said = [_plain(message) for message in messages]
    return hashlib.sha256(json.dumps([said, list(offered)], default=str).encode()).hexdigest()[:16]


def is_in_run() -> bool:
    """Whether there is a run to keep something in."""
    execution = current_execution()
    return execution is not None and execution.context is not None


def recalled(name: str) -> BaseMessage | None:
    """The message that was kept under a name in this execution; None where there is none, or no run."""
    execution = current_execution()
    if execution is None or execution.context is None:
        return None
    found, kept = execution.context.effects.effect_get(execution.idempotency_key, name)
    return messages_from_dict([kept])[0] if found else None


def keep(name: str, message: BaseMessage) -> None:
    """Keep a message, in a commit of its own; one that is no plain data is not kept, and will be asked for again."""
    execution = current_execution()
    if execution is None or execution.context is None:
        return
    plain = message_to_dict(message)
    try:
        json.dumps(plain)
    except (TypeError, ValueError):
        return
    context = execution.context
    context.effects.effect_put(context.run_id, context.thread, execution.idempotency_key, name, plain)


def has_asked(turn: str) -> bool:
    """Whether this call waited for a human before, in that conversation."""
    execution = current_execution()
    if execution is None or execution.context is None:
        return False
    return execution.context.effects.effect_get(execution.idempotency_key, f"asked {turn}")[0]


def note_asked(turn: str) -> None:
    """Note that this call waits for a human: LangGraph finds answers by their order, so it has to be made again."""
    execution = current_execution()
    if execution is not None and execution.context is not None:
        context = execution.context
        context.effects.effect_put(
            context.run_id, context.thread, execution.idempotency_key, f"asked {turn}", True
        )


def is_answered(config: RunnableConfig) -> bool:
    """Whether the node waited for a human before, and an answer has come: LangGraph keeps it beside the config."""
    for value in config.get("configurable", {}).values():
        if type(value).__name__ == "PregelScratchpad":
            return bool(value.resume) or value.get_null_resume(False) is not None
    return False


def _plain(message: BaseMessage) -> list[Any]:
    said: list[Any] = [message.type, message.content]
    if isinstance(message, AIMessage):
        said.append([[call["name"], call["args"], call["id"]] for call in message.tool_calls])
    if isinstance(message, ToolMessage):
        said += [message.tool_call_id, message.status]
    return said
