"""Who has which skill: a file or URL that lists agents."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from dalsegno.errors import DalsegnoError, DefinitionError, RegistryUnavailable, UnknownSkill, did_you_mean
from dalsegno.nodes.execution import current_execution
from dalsegno.nodes.policies.case import number
from dalsegno.nodes.policies.clock import SYSTEM, Clock
from dalsegno.nodes.remote.addresses import Guard, guard_of, parsed, shown
from dalsegno.nodes.remote.asking import Headers, asked_of, in_time, revealed
from dalsegno.nodes.remote.plain import read
from dalsegno.nodes.remote.request import Access
from dalsegno.nodes.remote.rotation import Agent, Protocol, Rotation

MAX_BYTES = 2**20


class Registry:
    """Agents and their skills, in a file (YAML, JSON) or at a URL, read again when it changes.

    ::

        agents:
          - name: ada
            url: https://ada.example.org/rpc
            skills: [summarize, translate]
          - name: ben
            url: https://ben.example.org
            protocol: a2a
            skills: [summarize]
            method: brief        # jsonrpc; else the skill's name

    The agents of a skill are asked in turns. One that fails is left out for `cooldown` seconds. A registry that cannot
    be read any more stays as it was last known, and the run tells so (`PolicyActed`, policy ``"registry"``). An entry
    may also say how the agent's process is started (`command`, `health`, `env`; `dalsegno agents up` goes by them):
    who only asks does not read that.

    Parameters
    ----------
    source
        A file's path, or an ``http(s)://`` URL.
    cooldown
        Seconds for which an agent that failed is left out.
    refresh
        Seconds after which a URL is looked at again; a file is looked at each time.
    headers, allow_private, timeout, ca
        As of `remote`, for the URL of the registry itself.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        cooldown: float = 30.0,
        refresh: float = 30.0,
        headers: Headers | None = None,
        allow_private: bool | str | Iterable[str] | Guard = False,
        timeout: float = 10.0,
        ca: str | Path | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        number("Registry(cooldown)", cooldown, least=0)
        number("Registry(refresh)", refresh, least=0)
        number("Registry(timeout)", timeout, above=0)
        self.source = str(source)
        self._is_url = self.source.startswith(("http://", "https://"))
        if self._is_url:
            Agent("registry", self.source).check("Registry")
        self._access = Access(guard_of(allow_private), timeout, MAX_BYTES, None if ca is None else str(ca))
        self._headers = headers
        self._clock = clock
        self._refresh = refresh
        self._rotation = Rotation(clock, cooldown)
        self._agents: tuple[Agent, ...] | None = None
        self._seen: Any = None  # what tells whether it has changed
        self._looked = float("-inf")
        self._looking = threading.Lock()
        self._why = ""  # it is stale, without the node that found it so
        self.stale: DalsegnoError | None = None
        """Why the last look at it failed; None where it did not."""

    def __repr__(self) -> str:
        return f"Registry({self.name!r})"

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return shown(self.source) if self._is_url else self.source

    async def pick(self, skill: str, *, node: str) -> Agent:
        """The agent whose turn it is.

        Raises
        ------
        UnknownSkill
            No agent has the skill.
        RegistryUnavailable
            The registry cannot be read, and never could.
        """
        agents = await self._known(node)
        able = [agent for agent in agents if skill in agent.skills]
        if not able:
            skills = sorted({skill for agent in agents for skill in agent.skills})
            there = (
                f"Its agents have {', '.join(f'`{each}`' for each in skills)}" if skills else "It lists none"
            )
            raise UnknownSkill(
                f"`{node}` needs an agent with the skill `{skill}`, and the registry {self.name} has none"
                f"{did_you_mean(skill, skills) or '.'} {there}.",
                node=node,
                agent="",
                skill=skill,
                registry=self.name,
            )
        return self._rotation.next(skill, able)

    def failed(self, agent: Agent, error: Exception) -> None:
        """An agent failed: it is left out for a while, where that speaks against it."""
        if self._rotation.failed(agent, error):
            _tell("down", agent=agent.name, error=type(error).__name__, seconds=self._rotation.cooldown)

    def worked(self, agent: Agent) -> None:
        """An agent answered."""
        if self._rotation.worked(agent):
            _tell("back", agent=agent.name)

    async def _known(self, node: str) -> tuple[Agent, ...]:
        if self._agents is None:
            await self._look(node)
        elif self._due() and self._looking.acquire(
            blocking=False
        ):  # one looks; the others go on with what is known
            try:
                await self._look(node)
            finally:
                self._looking.release()
        assert self._agents is not None
        return self._agents

    def _due(self) -> bool:
        return not self._is_url or self._clock.now() - self._looked >= self._refresh

    async def _look(self, node: str) -> None:
        """Read it, where it has changed. Where it cannot be read, what was known stays."""
        self._looked = self._clock.now()
        try:
            found = await self._fetched(node) if self._is_url else self._read()
            if found is not None:
                text, seen = found
                self._agents, self._seen = agents_in(text, self.name), seen
            self.stale = None
        except (DalsegnoError, OSError, UnicodeError) as error:
            unavailable = RegistryUnavailable(
                f"`{node}` finds no agents: the registry {self.name} cannot be read ({error}).",
                node=node,
                agent="",
                registry=self.name,
            )
            if self._agents is None:
                raise unavailable from error
            if self.stale is None or self._why != str(error):
                _tell("stale", registry=self.name, error=type(error).__name__, message=str(error))
            self.stale, self._why = unavailable, str(error)

    def _read(self) -> tuple[str, Any] | None:
        path = Path(self.source)
        status = path.stat()
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        return None if seen == self._seen else (path.read_text(encoding="utf-8"), seen)

    async def _fetched(self, node: str) -> tuple[str, Any] | None:
        asked = asked_of(
            self.source, name="", node=node, access=self._access, headers=revealed(self._headers), key=False
        )
        asked.what, asked.agent = "The registry", self.name
        if self._seen is not None and self.stale is None:
            asked.headers.update(self._seen)

        from dalsegno.nodes.remote.clients import check_readable, clients

        check_readable(self.source)

        async def get() -> tuple[str, Any] | None:
            response = await (await clients()).json.get(self.source)
            if response.status_code == 304:
                return None
            if response.status_code != 200:
                raise asked.status(response)
            marks = {"if-none-match": "etag", "if-modified-since": "last-modified"}
            seen = {ask: response.headers[mark] for ask, mark in marks.items() if mark in response.headers}
            return response.content.decode("utf-8"), seen

        return await in_time(asked, get)


def agents_in(text: str, name: str) -> tuple[Agent, ...]:
    """The agents of a registry's text.

    Raises
    ------
    DefinitionError
        It is no registry.
    """
    return tuple(_agent(entry, place) for place, entry in enumerate(entries_in(text), 1))


def entries_in(text: str) -> list[Any]:
    """What a registry's text lists, as it stands there. Raises as `agents_in` does."""
    document = read(text)
    listed = document.get("agents") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise DefinitionError("it has no list `agents`")
    return listed


def _agent(entry: Any, place: int) -> Agent:
    what = f"agent {place}"
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        raise DefinitionError(f"{what} has no `url`")
    skills, method = entry.get("skills"), entry.get("method")
    name, protocol = entry.get("name"), entry.get("protocol", "jsonrpc")
    if isinstance(skills, str) or not isinstance(skills, list) or not all(isinstance(s, str) for s in skills):
        raise DefinitionError(
            f"{what} has no list `skills`{did_you_mean('skills', entry) if skills is None else ''}"
        )
    if method is not None and not isinstance(method, str):
        raise DefinitionError(f"{what} has a `method` that is no text")
    # Told before anything is said of it: a few lines of YAML can be a list that no memory has room for.
    if name is not None and not isinstance(name, str | int):
        raise DefinitionError(f"{what} has a `name` that is no text")
    if not isinstance(protocol, str):
        raise DefinitionError(f"{what} has a `protocol` that is no text: it is `jsonrpc` or `a2a`")
    agent = Agent(
        name=str(name or shown(parsed(entry["url"], what=what).geturl())),
        url=entry["url"],
        protocol=cast(Protocol, protocol),
        method=method,
        skills=tuple(skills),
    )
    agent.check(what)
    return agent


def registry_of(given: Registry | str | Path, access: Access) -> Registry:
    """`registry=` as given: nodes that name the same one share it, with what is known of its agents' health."""
    if isinstance(given, Registry):
        return given
    key = (str(given), access.guard, access.ca)
    with _sharing:
        if key not in _shared:
            _shared[key] = Registry(given, allow_private=access.guard, ca=access.ca)
        return _shared[key]


def _tell(what: str, **detail: Any) -> None:
    execution = current_execution()
    if execution is not None and execution.context is not None:
        execution.context.acted(execution, "registry", what, detail)


_shared: dict[Any, Registry] = {}
_sharing = threading.Lock()
