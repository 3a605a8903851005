"""How a run ended, or why it pauses, for people: a few lines, and how to go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.opening import without_password
from dalsegno.cli.budgets import spent_in_words, spent_out
from dalsegno.cli.exits import wants_traceback
from dalsegno.cli.screen import SIGN_STYLES, Copied, Screen, duration, one_line, readable, sign
from dalsegno.errors import as_typed, quoted
from dalsegno.observe.plain import plain

if TYPE_CHECKING:
    from dalsegno.runtime import RunResult

_LONGEST = 600
"""Characters of an output value that are printed; JSON has all."""

_SAID = {
    "completed": "completed",
    "interrupted": "waits for a human",
    "stopped": "stopped",
    "cancelled": "cancelled",
}


def print_outcome(
    result: RunResult,
    proved: int | None,
    db_option: str | None,
    *,
    full: bool = False,
    lacks: str | None = None,
) -> None:
    """Print the summary to stdout; of a failure, the user's part of the traceback to stderr before it.

    `lacks` is the key that the run's input lacks: no resume can give it.
    """
    if result.error and result.error.get("traceback"):
        from dalsegno.cli.tracebacks import users_part

        text = users_part(str(result.error["traceback"]), full=full or wants_traceback())
        if text:
            Screen(sys.stderr).line(readable(text.rstrip()))
    screen = Screen(sys.stdout)
    mark = sign(result.status)
    head = [
        f"{screen.paint(mark, 'bold ' + SIGN_STYLES[mark])} {screen.paint(one_line(result.workflow), 'bold')}"
    ]
    head[0] += f" {failure(result.error)}" if result.error else f" {_SAID.get(result.status, result.status)}"
    head.append(proved_and_used(proved, result.supersteps))
    if "seconds" in result.usage:
        head.append(duration(result.usage["seconds"]))
    screen.line(" · ".join(head))
    facts: list[tuple[str, str]] = []
    if result.status == "completed" and isinstance(result.output, Mapping):
        facts += [(one_line(key), value_in_words(value)) for key, value in result.output.items()]
    facts += questions(result.interrupts)
    spent = spent_in_words(result.usage)
    facts += [("spent", spent)] if spent else []
    facts += [("thread", Copied(result.thread)), ("run", result.run_id)]
    if lacks is not None:
        facts.append(("input", f"lacks `{lacks}`: run it again with --input '{{{json.dumps(lacks)}: ...}}'"))
    short = spent_out(result.error, result.usage, result.supersteps)
    way = way_on(result.status, result.thread, result.interrupts, db_option, short)
    if way:
        facts.append(("go on", Copied(way)))
    screen.facts(facts)


def proved_and_used(proved: int | None, used: int) -> str:
    """What a run used of what was proved, in words.

    One that goes on in a changed graph has used supersteps that were proved for another.

    >>> proved_and_used(7, 3), proved_and_used(2, 4)
    ('proved 7 · used 3 supersteps', 'used 4 supersteps · proved 2 for the graph it went on in')
    """
    words = f"used {used} superstep{'' if used == 1 else 's'}"
    if proved is None:
        return words.removeprefix("used ")
    return (
        f"proved {proved} · {words}"
        if used <= proved
        else f"{words} · proved {proved} for the graph it went on in"
    )


def failure(error: Mapping[str, Any]) -> str:
    """What failed, where and at which attempt."""
    node = f" in `{one_line(error['node'])}`" if error.get("node") else ""
    attempt = f", attempt {error['attempt']}" if (error.get("attempt") or 1) > 1 else ""
    return f"failed{node}{attempt}: {one_line(error['type'])}: {one_line(error['message'])}"


def key_lacked(result: RunResult, given: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """The key of the input that was not given and that the first node failed for; None where it failed for another
    reason, or a node before it may have been to write it."""
    error = result.error or {}
    if result.supersteps or "/" in (error.get("node") or "/"):
        return None
    message = str(error.get("message"))
    for key in keys:
        if key not in given and (
            (error["type"] == "KeyError" and message == repr(key))
            or (error["type"] == "FieldMissing" and f" needs `{key}` for " in message)
        ):
            return key
    return None


def questions(interrupts: Sequence[Any]) -> list[tuple[str, str]]:
    """The questions that wait; where there are several each has its id, to be answered by."""
    several = len(interrupts) > 1
    return [
        (
            f"{one_line(i.get('node') or 'it')} asks",
            asked_in_words(i.get("value"), i.get("schema")) + (f"  (id {i.get('id')})" if several else ""),
        )
        for i in interrupts
        if isinstance(i, Mapping)
    ]


def asked_in_words(value: Any, schema: Any = None) -> str:
    """A question for people: its words, what was given with it, what an answer looks like, and what stands when none
    comes."""
    if not isinstance(value, Mapping) or not isinstance(value.get("question"), str):
        return value_in_words(value)
    words = value_in_words(value["question"])
    told = ("question", "problem", *(("deadline", "default") if value.get("deadline") else ()))
    beside = {key: given for key, given in value.items() if key not in told}
    words += f"  {value_in_words(beside)}" if beside else ""
    answer = _answer_in_words(schema)
    words += f"  [{answer}]" if answer else ""
    if value.get("problem"):
        words += f"  The last answer did not fit: {one_line(value['problem'])}"
    if value.get("deadline"):
        words += f"  After {value['deadline']} the next resume takes {value_in_words(value.get('default'))}"
    return words


def _answer_in_words(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return ""
    if "enum" in schema:
        return " / ".join(map(value_in_words, schema["enum"]))
    if schema.get("type") == "boolean":
        return "true / false"
    if schema.get("type") == "object":
        return f"{{{', '.join(schema.get('properties', ()))}}}"
    return str(schema.get("const", schema.get("type", "")))


def way_on(
    status: str,
    thread: str,
    interrupts: Sequence[Any],
    db_option: str | None,
    short: str | None = None,
    options: str = "",
) -> str | None:
    """How to go on with a run of that status; None where there is nothing to go on with.

    `short` is what the run had too little of, `options` are those that it takes in any case.
    """
    if status == "failed" and short is not None:
        return f"give it more: {again(thread, db_option, f'{options} --budget {short}=MORE')}"
    if status == "failed":
        return f"mend the cause, then: {again(thread, db_option, options)}"
    if status in ("stopped", "queued") or (status == "interrupted" and not interrupts):
        return again(thread, db_option, options)
    if status == "interrupted":
        answer = "ANSWER" if len(interrupts) == 1 else "'{\"ID\": ANSWER, ...}'"
        return again(thread, db_option, options, answer)
    return None


def again(thread: str, db_option: str | None, options: str = "", answer: str | None = None) -> str:
    """The command that goes on with a thread; options and the answer are put as they are."""
    words = ["dalsegno resume", *([options.strip()] if options.strip() else [])]
    words += [f"--db {quoted(without_password(db_option))}"] if db_option else []
    words += [f"--value {answer}"] if answer else []
    words += [as_typed(thread)]
    return " ".join(words)


def target_option(known: str | None, target: str = "TARGET") -> str:
    """What a run takes whose target the ledger does not know: those that were started from Python."""
    return "" if known else f"--target {quoted(target)}"


def value_in_words(value: Any) -> str:
    """A value for people: text as it is, anything else as JSON, cut when it is long."""
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    text = readable(text)
    return (
        text
        if len(text) <= _LONGEST
        else f"{text[:_LONGEST].rstrip()} … ({len(text)} characters; --json has all)"
    )
