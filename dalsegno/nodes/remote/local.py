"""Agents of this machine: what a registry says of how they are started."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.nodes.remote.addresses import parsed, shown
from dalsegno.nodes.remote.registry import agents_in, entries_in
from dalsegno.nodes.remote.rotation import Agent

HOSTS = ("127.0.0.1", "localhost", "::1")
"""Where a process that was started here can be asked."""
HEALTH = {"jsonrpc": "/health", "a2a": "/.well-known/agent-card.json"}
"""What is looked at to see whether an agent is well, where its registry says nothing else."""

_FIELDS = ("name", "url", "protocol", "method", "skills", "command", "health", "env")
_LIKELY = ("command", "health", "env")


@dataclass(frozen=True, slots=True)
class Local:
    """An agent, and how its process is started: `command` None where it runs elsewhere, or somebody else starts it.

    `health` is the path that answers with status 2xx once it is well, `env` what is added to the environment.
    """

    agent: Agent
    command: tuple[str, ...] | None = None
    health: str = "/health"
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Its host, without brackets."""
        return parsed(self.agent.url).hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        url = parsed(self.agent.url)
        return url.port or (443 if url.scheme == "https" else 80)

    def words(self) -> list[str]:
        """The command as it is executed: `{host}`, `{port}` and `{url}` filled in, `python` being this one."""
        filled = {"{host}": self.host, "{port}": str(self.port), "{url}": self.agent.url}
        words = []
        for word in self.command or ():
            for place, value in filled.items():
                word = word.replace(place, value)
            words.append(word)
        return [sys.executable, *words[1:]] if words[:1] in (["python"], ["python3"]) else words


def local_agents_in(text: str, name: str) -> tuple[Local, ...]:
    """All agents of a registry's text, those that are started here and those that are not.

    Raises
    ------
    DefinitionError
        It is no registry, or an agent cannot be started as it says.
    """
    agents = agents_in(text, name)
    return tuple(_local(entry, agent) for entry, agent in zip(entries_in(text), agents, strict=True))


def _local(entry: Mapping[str, Any], agent: Agent) -> Local:
    for key in entry:
        meant = did_you_mean(str(key), _LIKELY) if key not in _FIELDS else ""
        if meant:
            raise DefinitionError(f"agent `{agent.name}` has a `{key}`{meant}")
    given, env = entry.get("command"), entry.get("env") or {}
    health = entry.get("health", HEALTH[agent.protocol])
    if given is None:
        return Local(agent)
    if not isinstance(health, str) or not health.startswith("/"):
        raise DefinitionError(
            f"agent `{agent.name}` has a `health` that is no path. It looks like {HEALTH['jsonrpc']}."
        )
    if not isinstance(env, dict):
        raise DefinitionError(f"agent `{agent.name}` has an `env` that is no names and values")
    for key, value in env.items():
        if value is None or isinstance(value, dict | list):
            raise DefinitionError(
                f"agent `{agent.name}` has an `env` whose `{key}` is no text. An empty one is ''."
            )
    local = Local(agent, _words(given, agent), health, {str(key): _text(value) for key, value in env.items()})
    url = parsed(agent.url)
    if url.scheme != "http" or local.host not in HOSTS or url.port is None:
        raise DefinitionError(
            f"agent `{agent.name}` has a `command`, but its URL is {shown(agent.url)}. What is started here needs a "
            "URL like http://127.0.0.1:PORT."
        )
    return local


def _words(given: Any, agent: Agent) -> tuple[str, ...]:
    words: Any = given
    if isinstance(given, str):
        try:
            words = shlex.split(given)
        except ValueError as error:
            raise DefinitionError(
                f"agent `{agent.name}` has a `command` that cannot be read: {error}"
            ) from None
    if not isinstance(words, list) or not words or not all(isinstance(word, str | int) for word in words):
        raise DefinitionError(
            f"agent `{agent.name}` has a `command` that cannot be run. It is a text, or a list: "
            "python agents/desk.py --port {port}"
        )
    return tuple(str(word) for word in words)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
