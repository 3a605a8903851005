"""Two models in one workflow: one writes, another judges, and what stands between them is structured.

Each role of a pattern may be played by another model of another provider. Here two servers on loopback speak the OpenAI
API from a script, so nothing leaves this machine and no real model answers; the client is the real one. What they are
given to read is Python's own documentation. With ``--writer`` and ``--critic`` real models play.

    $ python examples/two_models.py
    two_models: every run ends within 9 supersteps, with at most 16 model calls.
    writer was asked 2 times, critic 2 times.
    0.4: Name the statement that manages the context.
    0.9: Good.
    good: A context manager sets up and tears down what the block of a `with` statement needs.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import httpx
from langchain_openai import ChatOpenAI

from dalsegno import Runner, Workflow
from dalsegno.graphs.patterns import Node, generate_critique_revise
from dalsegno.runtime.events import CallFinished, Event
from dalsegno.testing import ScriptedServer

GIVEN = {"request": f"In one sentence, what is a context manager?\n\n{topics['context-managers']}"}

DRAFTS = [
    "A context manager sets up and tears down what a block of code needs.",
    "A context manager sets up and tears down what the block of a `with` statement needs.",
]
REVIEWS = [
    '{"score": 0.4, "comments": "Name the statement that manages the context."}',
    '{"score": 0.9, "comments": "Good."}',
]


def flow(writer: Any, critic: Any) -> Workflow:
    """One model writes and revises, another one judges; a `Review` with a score goes from one to the other."""
    return generate_critique_revise(writer, Node(critic), writer, name="two_models")


def client(server: ScriptedServer, model: str, stack: ExitStack) -> ChatOpenAI:
    """The real OpenAI client, for a server on loopback."""
    http = stack.enter_context(httpx.Client(trust_env=False))
    return ChatOpenAI(model=model, base_url=server.url, api_key="none", http_client=http, max_retries=0)  # type: ignore[arg-type]


def main() -> None:
    """Play it, and say what each model was asked."""
    options = argparse.ArgumentParser()
    options.add_argument("--writer", metavar="PROVIDER:NAME")
    options.add_argument("--critic", metavar="PROVIDER:NAME")
    asked = options.parse_args()
    calls: list[CallFinished] = []

    def heard(event: Event) -> None:
        if isinstance(event, CallFinished):
            calls.append(event)

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        models: dict[str, Any] = {"writer": asked.writer, "critic": asked.critic}
        for role, script in (("writer", DRAFTS), ("critic", REVIEWS)):
            if models[role] is None:
                models[role] = client(stack.enter_context(ScriptedServer(script)), role, stack)
        made = flow(models["writer"], models["critic"])
        certificate = made.validate().certificate
        assert certificate is not None
        print(
            f"{made.name}: every run ends within {certificate.supersteps} supersteps, "
            f"with at most {certificate.model_calls} model calls."
        )
        runner = stack.enter_context(Runner(made, db=Path(folder) / "runs.db", on_event=heard))
        with runner:
            reviews: list[Any] = []
            stream = runner.stream(dict(GIVEN), stream_mode="updates")
            for update in stream:
                reviews += [part["review"] for part in update.values() if part and "review" in part]
        asked_of = {role: sum(call.name == role for call in calls) for role in ("writer", "critic")}
        print(f"writer was asked {asked_of['writer']} times, critic {asked_of['critic']} times.")
        for review in reviews:
            print(f"{review['score']}: {review['comments']}")
        assert stream.result is not None
        output = stream.result.raise_for_status().output
        print(f"{output['outcome']}: {output['draft']}")


if __name__ == "__main__":
    main()
