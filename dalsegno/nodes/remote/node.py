"""A node's work done by an agent elsewhere, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig

from dalsegno.errors import DefinitionError, RemoteError, did_you_mean
from dalsegno.nodes.kinds import FLAG, MAPPING, TEXT, check_kinds
from dalsegno.nodes.player import Player
from dalsegno.nodes.policies.case import number
from dalsegno.nodes.prompts import Prompt
from dalsegno.nodes.remote.addresses import guard_of, numeric, parsed, shown
from dalsegno.nodes.remote.asking import Headers, asked_of, in_time, revealed
from dalsegno.nodes.remote.exchange import Exchange, Params, Question
from dalsegno.nodes.remote.registry import Registry, registry_of
from dalsegno.nodes.remote.request import Access, Asked
from dalsegno.nodes.remote.rotation import PROTOCOLS, Agent, Protocol

if TYPE_CHECKING:
    from dalsegno.nodes.remote.a2a import A2A

_KINDS = {"method": TEXT, "name": TEXT, "effect": FLAG, "idempotent": FLAG}


def remote(
    url: str,
    method: str | None = None,
    *,
    params: Params | None = None,
    prompt: Prompt | None = None,
    writes: str | Mapping[str, str] | None = None,
    output: Any = None,
    protocol: Protocol | None = None,
    registry: Registry | str | Path | None = None,
    headers: Headers | None = None,
    allow_private: bool | str | Iterable[str] = False,
    timeout: float = 60.0,
    max_bytes: int = 4 * 2**20,
    ca: str | Path | None = None,
    poll: float = 1.0,
    effect: bool = False,
    idempotent: bool = False,
    name: str | None = None,
) -> Remote:
    """An agent elsewhere, as a node: it is asked over JSON-RPC 2.0 or A2A, and its answer goes into the state.

    It declares ``calls=0``: its models are called elsewhere, not in this process.

    Parameters
    ----------
    url
        Where it is: ``https://…``. For A2A, the address of its card, or the one below which the card is found. Or
        ``"skill:summarize"``: the agents of the `registry` that have this skill take turns.
    method
        The JSON-RPC method. Default: the one that the registry names for the agent, else the skill.
    params
        What it is asked: ``{parameter: state key}`` (dotted if need be; with a question mark if it may be missing), or
        a function of the state. In A2A they are a data part of the message.
    prompt
        A2A: what it is asked in words, like the prompt of an `agent`.
    writes
        The state key for the answer, or ``{state key: field of the answer}``. None: the answer is an object whose
        fields are state keys.
    output
        The type that the answer must have: a pydantic model, a `TypedDict`, a dataclass or any other. None: anything.
    protocol
        ``"jsonrpc"`` or ``"a2a"``. None: what the registry says, else ``"jsonrpc"``.
    registry
        A file (YAML, JSON) or URL of agents and their skills, or a `Registry`.
    headers
        Headers as texts or `SecretStr`, or a function that returns them. They are sent to this agent's origin only, and
        shown nowhere.
    allow_private
        Whether the agent may have a private, loopback or link-local address. Or a list of the hosts, addresses and
        networks that are allowed: ``["agents.internal", "10.1.0.0/16"]``.
    timeout
        Seconds for the whole answer, including the wait for a connection and for a long task.
    max_bytes
        The largest answer, in bytes.
    ca
        A file with the certificates to trust, in place of the usual ones.
    poll
        A2A: seconds between two questions after a task that still goes on.
    effect, idempotent
        As in `Workflow.add_node`. Each request carries an `Idempotency-Key`, which stays the same when the request is
        repeated. An agent that goes by the key is idempotent.
    name
        The node's name, unless `add_node` is given one. Default: the method, the skill or the host.

    Raises
    ------
    DefinitionError
        An option is not valid.
    AddressRefused
        The URL names a private address that is not allowed.
    """
    check_kinds(
        "remote", {"method": method, "name": name, "effect": effect, "idempotent": idempotent}, _KINDS
    )
    if headers is not None and not callable(headers):
        check_kinds("remote", {"headers": headers}, {"headers": MAPPING})
    skill = url.removeprefix("skill:") if isinstance(url, str) and url.startswith("skill:") else None
    number("remote(timeout)", timeout, above=0)
    number("remote(max_bytes)", max_bytes, least=1, whole=True)
    number("remote(poll)", poll, above=0)
    access = Access(guard_of(allow_private), float(timeout), max_bytes, None if ca is None else str(ca))
    if protocol is not None and protocol not in PROTOCOLS:
        raise DefinitionError(
            f"remote(protocol={protocol!r}): it is `jsonrpc` or `a2a`{did_you_mean(str(protocol), PROTOCOLS) or '.'}"
        )
    if (skill is None) != (registry is None):
        raise DefinitionError(
            'remote("skill:NAME", registry=...): a skill is looked up in a registry, and a registry is for a skill. '
            f"Given are {url!r} and registry={registry!r}."
        )
    if not callable(headers):
        revealed(headers)
    exchange = Exchange(params=params, prompt=prompt, writes=writes, output=output)
    agent: Agent | Skill
    if skill is None or registry is None:
        host = parsed(url).hostname or ""
        name = name or method or (host.partition(".")[0] if numeric(host) is None else "agent")
        agent = Agent(name, url, protocol or "jsonrpc", method)
        _check_spoken(agent, exchange)
        _check_literal(agent, access)
    else:
        agent = Skill(skill, registry_of(registry, access), protocol, method)
        name = name or skill
    return Remote(
        agent,
        name=re.sub(r"[:|]", "-", name),
        exchange=exchange,
        access=access,
        headers=headers,
        poll=float(poll),
        effect=effect,
        idempotent=idempotent,
    )


@dataclass(frozen=True, slots=True)
class Skill:
    """Whoever of a registry has a skill; `protocol` and `method` go before what the registry says of an agent."""

    name: str
    registry: Registry
    protocol: Protocol | None
    method: str | None


class Remote(Player):
    """What `remote` returns. `agent` is who is asked: an `Agent`, or a `Skill` that some have."""

    kind = "remote"

    def __init__(
        self,
        agent: Agent | Skill,
        *,
        name: str,
        exchange: Exchange,
        access: Access,
        headers: Headers | None,
        poll: float,
        effect: bool,
        idempotent: bool,
    ) -> None:
        self.agent = agent
        self.name = name
        self._exchange = exchange
        self._access = access
        self._headers = headers
        self._poll = poll
        self._a2a: A2A | None = None
        self._effect = effect
        self._idempotent = idempotent

    def declares(self) -> Mapping[str, Any]:
        """`calls` (none: its models are its own); `reads`, `writes`, `effect`, `idempotent`, where they are known."""
        known = {
            "reads": self._exchange.reads,
            "writes": self._exchange.written,
            "effect": self._effect or None,
            "idempotent": self._idempotent or None,
        }
        return {"calls": 0, **{key: value for key, value in known.items() if value is not None}}

    @property
    def optional(self) -> frozenset[str]:
        """What it may be asked without."""
        return self._exchange.optional

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Ask it, on an event loop that is kept for sync callers."""
        from dalsegno.nodes.remote.clients import for_sync  # httpx is loaded when somebody is asked

        return for_sync(self._asking(input))

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Ask it, in the running event loop."""
        return await self._asking(input)()

    def _asking(self, state: Any) -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
        """The question, read off the state in the caller's own thread, ready to be asked."""
        question = self._exchange.question(state, self.place)
        headers = revealed(self._headers)
        agent = self.agent
        if isinstance(agent, Agent):
            return lambda: self._ask(agent, question, headers)
        return lambda: self._ask_any(agent, question, headers)

    async def _ask_any(self, skill: Skill, question: Question, headers: dict[str, str]) -> dict[str, Any]:
        registry = skill.registry
        agent = await registry.pick(skill.name, node=self.place)
        protocol = skill.protocol or agent.protocol
        method = (skill.method or agent.method or skill.name) if protocol == "jsonrpc" else skill.method
        agent = replace(agent, protocol=protocol, method=method)
        _check_spoken(agent, self._exchange)
        try:
            update = await self._ask(agent, question, headers)
        except Exception as error:
            registry.failed(agent, error)
            raise
        registry.worked(agent)
        return update

    async def _ask(self, agent: Agent, question: Question, headers: dict[str, str]) -> dict[str, Any]:
        from dalsegno.nodes.remote.clients import check_readable

        check_readable(agent.url)
        asked = asked_of(agent.url, name=agent.name, node=self.place, access=self._access, headers=headers)
        if agent.protocol == "a2a":
            from dalsegno.nodes.remote.a2a import A2A

            speaker = self._a2a = self._a2a or A2A(self._poll)
            answer = await in_time(asked, lambda: speaker.call(agent.url, question, asked))
            try:
                return self._exchange.update(answer, asked)
            except RemoteError:
                await speaker.refused(asked)
                raise
        else:
            from dalsegno.nodes.remote import jsonrpc

            method = agent.method or ""
            answer = await in_time(asked, lambda: jsonrpc.call(agent.url, method, question.params, asked))
        return self._exchange.update(answer, asked)


def _check_spoken(agent: Agent, exchange: Exchange) -> None:
    """Refuse what the protocol has no place for."""
    if agent.protocol == "jsonrpc" and agent.method is None:
        raise DefinitionError(
            f'remote({shown(agent.url)!r}): which method? remote(url, "answer"); or protocol="a2a", which has none.'
        )
    if agent.protocol == "jsonrpc" and exchange.has_prompt:
        raise DefinitionError(
            'remote(prompt=...): JSON-RPC is asked with `params`; a prompt is for protocol="a2a".'
        )
    if agent.protocol == "a2a" and agent.method is not None:
        raise DefinitionError(
            f"remote(method={agent.method!r}): A2A has no methods. Say what is asked with `prompt`."
        )
    if agent.protocol == "a2a" and not (exchange.has_prompt or exchange.has_params):
        raise DefinitionError(
            'remote(protocol="a2a"): what is it asked? `prompt="… {field} …"`, `params`, or both.'
        )


def _check_literal(agent: Agent, access: Access) -> None:
    """Refuse a private address that is in the URL itself, before anything runs."""
    host = parsed(agent.url).hostname or ""
    address = numeric(host)
    what = None if address is None else access.guard.refuses(host, address)
    if address is not None and what is not None:
        raise Asked(f"`{agent.name}` at {shown(agent.url)}", agent.name, access).refused(host, address, what)
