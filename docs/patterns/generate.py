"""Writes the gallery of patterns, one page each and a page that helps to choose, from docstrings and graphs.

    $ python docs/patterns/generate.py

A test does the same and compares, so that no page can drift.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from dalsegno.graphs.patterns.catalog import Pattern, catalog

HERE = Path(__file__).parent

CHOOSING = {
    "I know the steps": {
        "they always come in the same order": "sequential",
        "most do, and a check selects one of them": "hybrid",
        "they do not need each other": "parallel",
        "there is one for every item of a collection": "map_reduce",
        "the input decides which one is needed": "router",
        "they change the world and must be taken back together": "saga",
        "they react to events, without a conductor": "choreography",
        "one may fail, and another can stand in": "fallback_chain",
        "a human must agree": "approval",
    },
    "A model decides on the steps": {
        "turn by turn, with tools": "react",
        "all of them before the first": "plan_and_execute",
        "some need others, some can go side by side": "planner_executor",
        "which tools, and what to make of their results": "tool_selection",
        "calls that refer to the results of other calls": "function_calls",
        "it writes down its reasoning, then answers": "chain_of_thought",
        "the task falls into smaller ones of its kind": "recursive_decomposition",
    },
    "Several agents work on it": {
        "one of them conducts": "supervisor",
        "so many that conductors need a conductor": "hierarchy",
        "they hand over to each other": "peer_to_peer",
        "experts are asked, and their answers combined": "specialists",
        "several answer the same question, and they are compared": "ensemble",
    },
    "The answer must be good": {
        "a critic says what to do better": "generate_critique_revise",
        "it must have the right format and content": "output_validation",
        "a source must support it": "grounded_answer",
        "two ways are to be compared": "ab_test",
    },
    "It is about the prompt, or the conversation": {
        "a conversation of many turns": "conversation",
        "it grows longer than the model's window": "summarizing_memory",
        "a model writes the next model's prompt": "prompt_generation",
        "a prompt must be improved": "prompt_optimization",
        "intents lead to workflows of their own": "intent_workflows",
    },
}
"""What somebody has before them, in words, and the pattern for it."""

_SESSION = """```console
$ dalsegno patterns
    pattern                   what it does
1   sequential                Run steps one after the other, each fed with what the last one gave.
…
$ dalsegno patterns saga
saga: Do several things in the world, and take back those that are done when one of them fails.
…
A project with it: dalsegno new app --pattern saga
$ dalsegno new app --pattern saga
app: app.py, input.json, test_app.py, pyproject.toml, README.md, .gitignore
…
$ dalsegno run app/app.py:flow --input @app/input.json --quiet
…
  outcome     undone
…
```"""


def pages() -> dict[str, str]:
    """Every page of the gallery by the name of its file."""
    known = catalog()
    return {"README.md": overview(known), **{f"{name}.md": page(entry) for name, entry in known.items()}}


def page(entry: Pattern) -> str:
    """One pattern: diagram, when and when not, the code, the bound, the failure path."""
    example, sections = entry.example(), entry.sections
    flow = example.run()["flow"]
    certificate = flow.validate().certificate
    shown = "".join(f"assert {code} == {value}\n" for code, value in example.shown)
    state = next(p for p in entry.parameters if p.name == "state").default
    parts = [
        f"# {entry.name}",
        f"{entry.purpose}",
        entry.about,
        f"```mermaid\n{flow.to_mermaid().strip()}\n```",
        f"*Every run of this example ends within {certificate.supersteps} supersteps.*",
        f"## When\n\n{sections['When']}",
        f"## When not\n\n{_linked(sections['When not'])}",
        f"## The code\n\n```python\n{example.setup}{shown}```",
        f"```text\n{entry.signature}\n```",
        _parameters(sections["Parameters"]),
        f"The state is `{state.__name__}`: {_keys(state)}",
        f"## The bound\n\n`{entry.formula}` supersteps.\n\n{sections['Bound']}",
        f"## When something fails\n\n{sections['Failure']}",
        f"## More\n\n[`examples/patterns/{entry.name}.py`](../../examples/patterns/{entry.name}.py) does it on real "
        f"input; `dalsegno new app --pattern {entry.name}` starts a project with it. All patterns: "
        f"[which one?](README.md)",
        f"Source: {sections['Source']}",
    ]
    return "\n\n".join(_plain(part) for part in parts if part) + "\n"


def overview(known: dict[str, Pattern]) -> str:
    """The page that helps to choose."""
    parts = [
        "# Patterns: which one?",
        "Each pattern is a function in `dalsegno.graphs.patterns` that returns a `Workflow`. The workflow has a "
        "certificate without waivers, resumes from every commit, and can be a node of any other workflow.",
        "Take the simplest pattern that will do. One with fewer decisions ends sooner, costs less, and is easier to "
        "follow.",
        "`dalsegno patterns` prints the list, and `dalsegno patterns saga` one of them with its diagram; both take "
        "`--json`. `dalsegno new` starts a project that runs, passes its own test and draws itself:",
        _SESSION,
    ]
    for question, answers in CHOOSING.items():
        lines = [f"- {what}: [`{name}`]({name}.md)" for what, name in answers.items() if name in known]
        if lines:
            parts.append(f"## {question}\n\n" + "\n".join(lines))
    rows = [
        f"| {entry.number} | [`{entry.name}`]({entry.name}.md) | {entry.purpose} | `{entry.formula}` |"
        for entry in known.values()
    ]
    parts.append(
        "## All of them\n\n| | pattern | what it does | ends within, supersteps |\n|---|---|---|---|\n"
        + "\n".join(rows)
    )
    parts.append(
        "The bound assumes that each actor is one node. A workflow in a role adds its own bound and one superstep. "
        "`flow.validate().certificate` has the figure for your workflow, with its witness."
    )
    parts.append(
        "To extend a pattern's state, derive a class from it, `class Mine(Memory): ...`, and pass it as `state=`. If "
        "you also derive from another `TypedDict`, take that one from `typing_extensions`, as LangGraph's own states "
        "do: Python does not join those of `typing` with it."
    )
    parts.append(
        "Each role can have its own model. In [two_models.py](../../examples/two_models.py), one model writes and "
        "another one judges, on two servers, with a typed review between them."
    )
    return "\n\n".join(parts) + "\n"


def _parameters(text: str) -> str:
    """numpy's list of parameters as a Markdown list."""
    lines: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            lines.append(f"- **`{line.strip()}`**:")
        elif line.strip():
            lines[-1] += f" {line.strip()}"
    return "\n".join(lines)


def _linked(text: str) -> str:
    """A text in which the name of a pattern leads to its page."""
    names = "|".join(catalog())
    return re.sub(rf"(?<!`)`({names})`(?!`)", r"[`\1`](\1.md)", text)


def _keys(state: type) -> str:
    """What the state's docstring says after "The state:", with its list of keys."""
    return inspect.cleandoc(state.__doc__ or "").partition(":")[2].strip()


def _plain(text: str) -> str:
    """reStructuredText's double backquotes as Markdown's single ones; code blocks have none."""
    return re.sub(r"(?<!`)``(?!`)", "`", text)


if __name__ == "__main__":
    for file, text in pages().items():
        (HERE / file).write_text(text)
    print(f"{len(pages())} pages in {HERE}")
