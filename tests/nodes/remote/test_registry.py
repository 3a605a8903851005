"""A skill of a registry: whose turn it is, who rests, and what happens when the registry changes or is gone."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from pathlib import Path
from typing import Any, TypedDict

import pytest
import yaml

from dalsegno import END, START, RetryPolicy, Runner, Workflow
from dalsegno.errors import (
    AddressRefused,
    DefinitionError,
    RegistryUnavailable,
    RemoteError,
    RemoteFault,
    RemoteStatus,
    UnknownSkill,
)
from dalsegno.nodes.policies import ManualClock
from dalsegno.nodes.remote import Registry, remote
from dalsegno.nodes.remote.registry import agents_in, entries_in


class State(TypedDict, total=False):
    text: str
    summary: Any


@pytest.fixture(params=["sync", "async"])
def summarize(request: pytest.FixtureRequest) -> Any:
    """Has a text summarized by an agent of a registry."""

    def call(registry: Any, skill: str = "summarize", **options: Any) -> Any:
        usual = {"params": {"text": "text"}, "writes": "summary", "allow_private": True, "timeout": 10}
        player = remote(f"skill:{skill}", registry=registry, **usual | options)
        state = {"text": "long"}
        return (player.invoke(state) if request.param == "sync" else asyncio.run(player.ainvoke(state)))[
            "summary"
        ]

    return call


@pytest.fixture
def named(agent: Any, say: Any) -> Any:
    """An agent that answers with its name."""
    return lambda name: agent(lambda request, _: say.result(request, name))


def written(path: Path, *agents: dict[str, Any]) -> Path:
    """A registry's file, which replaces the one before as a whole."""
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({"agents": [{"skills": ["summarize"], **each} for each in agents]}))
    os.replace(fresh, path)
    return path


def test_the_agents_of_a_skill_are_asked_in_turns(named: Any, summarize: Any, tmp_path: Path) -> None:
    ada, ben, eva = named("ada"), named("ben"), named("eva")
    registry = written(
        tmp_path / "agents.yaml",
        {"name": "ada", "url": ada.url},
        {"name": "eva", "url": eva.url, "skills": ["translate"]},
        {"name": "ben", "url": ben.url, "skills": ["translate", "summarize"], "method": "brief"},
    )
    assert [summarize(registry) for _ in range(4)] == ["ada", "ben", "ada", "ben"]
    assert summarize(registry, "translate") == "eva"
    assert {request.rpc["method"] for request in ada.requests} == {"summarize"}
    assert {request.rpc["method"] for request in ben.requests} == {"brief"}
    assert summarize(registry, method="mine") in ("ada", "ben")


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_registry_is_yaml_or_json_a_list_or_an_object(
    named: Any, summarize: Any, tmp_path: Path, suffix: str
) -> None:
    agents = [{"url": named("ada").url, "skills": ["summarize"], "note": "whatever else it says"}]
    dump = json.dumps if suffix == "json" else yaml.safe_dump
    for document in (agents, {"agents": agents}):
        path = tmp_path / f"{type(document).__name__}.{suffix}"
        path.write_text(dump(document))
        assert summarize(str(path)) == "ada"


def test_an_agent_that_fails_rests_and_comes_back(
    named: Any, summarize: Any, say: Any, tmp_path: Path
) -> None:
    ada, ben = named("ada"), named("ben")
    well, clock = ada.answer, ManualClock()
    path = written(tmp_path / "agents.yaml", {"url": ada.url}, {"url": ben.url})
    registry = Registry(path, cooldown=30, clock=clock)
    ada.answer = lambda *_: say.http("down", status="503 Service Unavailable", kind="text/plain")
    with pytest.raises(RemoteStatus):
        summarize(registry)
    assert [summarize(registry) for _ in range(3)] == ["ben"] * 3
    clock.advance(29)
    assert summarize(registry) == "ben"
    ada.answer = well
    clock.advance(1)
    assert {summarize(registry), summarize(registry)} == {"ada", "ben"}


def test_where_all_have_failed_the_one_that_rested_longest_is_asked(
    named: Any, summarize: Any, say: Any, tmp_path: Path
) -> None:
    ada, ben, clock = named("ada"), named("ben"), ManualClock()
    registry = Registry(written(tmp_path / "a.yaml", {"url": ada.url}, {"url": ben.url}), clock=clock)
    well = ada.answer
    ada.answer = ben.answer = lambda *_: say.http("down", status="500 Oh", kind="text/plain")
    for _ in range(2):
        with pytest.raises(RemoteStatus):
            summarize(registry)
        clock.advance(1)
    ada.answer = well
    assert summarize(registry) == "ada"


def test_what_speaks_against_the_question_does_not_let_an_agent_rest(
    named: Any, summarize: Any, say: Any, tmp_path: Path
) -> None:
    ada, ben = named("ada"), named("ben")
    registry = Registry(written(tmp_path / "a.yaml", {"url": ada.url}, {"url": ben.url}))
    well = ada.answer
    ada.answer = lambda request, _: say.fault(request, -32602, "no text")
    with pytest.raises(RemoteFault):
        summarize(registry)
    ada.answer = well
    assert [summarize(registry), summarize(registry)] == ["ben", "ada"]


def test_a_retry_asks_the_next_agent_and_the_run_tells_who_was_down(
    named: Any, say: Any, tmp_path: Path
) -> None:
    ada, ben = named("ada"), named("ben")
    ada.answer = lambda *_: say.http("down", status="502 Bad Gateway", kind="text/plain")
    path = written(tmp_path / "agents.yaml", {"name": "ada", "url": ada.url}, {"name": "ben", "url": ben.url})
    player = remote("skill:summarize", registry=path, writes="summary", allow_private=True)
    assert player.name == "summarize"
    flow = Workflow("brief", State).add_node(player, retry=RetryPolicy(clock=ManualClock()))
    flow.add_edge(START, "summarize").add_edge("summarize", END)
    told: list[Any] = []
    with Runner(flow, db=str(tmp_path / "runs.db"), on_event=told.append) as runner:
        assert runner.run({"text": "long"}).output["summary"] == "ben"
    acted = [(e.policy, e.what, e.detail.get("agent")) for e in told if hasattr(e, "policy")]
    assert acted == [("registry", "down", "ada"), ("retry", "again", None)]
    keys = {request.headers["idempotency-key"] for request in (*ada.requests, *ben.requests)}
    assert len(keys) == 1


def test_nodes_that_name_the_same_registry_share_what_is_known_of_its_agents(
    named: Any, summarize: Any, say: Any, tmp_path: Path
) -> None:
    ada, ben = named("ada"), named("ben")
    path = written(tmp_path / "agents.yaml", {"url": ada.url}, {"url": ben.url})
    well = ada.answer
    ada.answer = lambda *_: say.http("down", status="500 Oh", kind="text/plain")
    with pytest.raises(RemoteStatus):
        summarize(str(path))
    ada.answer = well
    assert [summarize(path) for _ in range(2)] == ["ben", "ben"]


def test_a_file_that_changes_is_read_again(named: Any, summarize: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "agents.yaml", {"url": named("ada").url})
    assert summarize(path) == "ada"
    written(path, {"url": named("ben").url})
    assert summarize(path) == "ben"


@pytest.mark.parametrize("harm", ["gone", "broken", "no agents"])
def test_a_registry_that_is_gone_stays_as_it_was_last_known(named: Any, tmp_path: Path, harm: str) -> None:
    path = written(tmp_path / "agents.yaml", {"url": named("ada").url})
    registry = Registry(path)
    player = remote("skill:summarize", registry=registry, writes="summary", allow_private=True)
    flow = Workflow("brief", State).add_node(player).add_edge(START, "summarize").add_edge("summarize", END)
    told: list[Any] = []
    with Runner(flow, db=str(tmp_path / "runs.db"), on_event=told.append) as runner:
        runner.run({})
        assert registry.stale is None
        if harm == "gone":
            path.unlink()
        else:
            path.write_text("{[" if harm == "broken" else "agents: none")
        for _ in range(2):
            assert runner.run({}).output["summary"] == "ada"
        acted = [(e.policy, e.what) for e in told if hasattr(e, "policy")]
        assert acted == [("registry", "stale")]
        assert registry.stale is not None
        written(path, {"url": named("ben").url})
        assert runner.run({}).output["summary"] == "ben"
        assert registry.stale is None


def test_a_registry_that_never_was_there_is_an_error(summarize: Any, tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="cannot be read") as caught:
        summarize(tmp_path / "none.yaml")
    assert caught.value.retryable
    assert pickle.loads(pickle.dumps(caught.value)).registry == str(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{[", "neither YAML nor JSON"),
        ("agents: 3", "no list `agents`"),
        ("- 3", "agent 1 has no `url`"),
        ("- {url: 'https://a.example.org', skils: [x]}", "did you mean `skils`"),
        ("- {url: 'https://a.example.org', skills: x}", "no list `skills`"),
        ("- {url: 'ftp://a.example.org', skills: [x]}", "begins with https"),
        ("- {url: 'https://a.example.org', skills: [x], protocol: soap}", "soap"),
        ("- {url: 'https://a.example.org', skills: [x], method: 3}", "method"),
        ("- {url: 'https://[', skills: [x]}", "agent 1.*Invalid IPv6 URL"),
        ("- {url: 'https://a.example.org', skills: [x], name: [ada]}", "a `name` that is no text"),
        ("- {url: 'https://a.example.org', skills: [x], protocol: [a2a]}", "a `protocol` that is no text"),
    ],
)
def test_what_is_no_registry_is_told_by_its_place(
    summarize: Any, tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(text)
    with pytest.raises(RegistryUnavailable, match=why):
        summarize(path)


def test_words_of_a_registry_are_texts_as_they_are_written() -> None:
    words = [
        "no",
        "on",
        "y",
        "1.10",
        "010",
        "0x1F",
        "12:30",
        "1_000",
        "1e3",
        ".inf",
        "2026-11-21",
        "2026-13-32",
    ]
    (agent,) = agents_in(f"- {{url: 'https://a.example.org', name: 1.10, skills: [{', '.join(words)}]}}", "r")
    assert agent.skills == tuple(words)
    assert agent.name == "1.10"
    (entry,) = entries_in("[{a: true, b: null, c: ~, d: , e: 7, f: -3, g: &g {h: 1}, i: {<<: *g}, '5': x}]")
    assert entry == {
        "a": True, "b": None, "c": None, "d": None, "e": 7, "f": -3, "g": {"h": 1}, "i": {"h": 1}, "5": "x"
    }  # fmt: skip


def test_json_is_read_however_it_is_written() -> None:
    listed = [{"url": "https://a.example.org", "name": "🎼", "skills": ["x"], "since": 1.5}]
    assert entries_in(json.dumps(listed, indent="\t")) == listed


@pytest.mark.parametrize("field", ["name", "protocol"])
def test_a_few_lines_that_would_fill_the_memory_are_told_at_once(
    summarize: Any, tmp_path: Path, field: str
) -> None:
    lists = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "agents.yaml"
    entry = f"agents: [{{url: 'https://a.example.org', skills: [x], {field}: *x11}}]"
    path.write_text("\n".join(["x0: &x0 [x, x]", *lists, entry]))
    with pytest.raises(RegistryUnavailable, match=f"a `{field}` that is no text"):
        summarize(path)


def test_a_skill_that_nobody_has_is_named_with_what_is_meant(
    named: Any, summarize: Any, tmp_path: Path
) -> None:
    path = written(tmp_path / "agents.yaml", {"url": named("ada").url, "skills": ["summarize", "translate"]})
    with pytest.raises(UnknownSkill, match="did you mean `translate`") as caught:
        summarize(path, "transalte")
    assert caught.value.skill == "transalte"
    assert "`summarize`, `translate`" in str(caught.value)
    assert not caught.value.retryable


def test_an_agent_of_a_registry_is_held_to_the_same_addresses(
    named: Any, summarize: Any, tmp_path: Path
) -> None:
    ada = named("ada")
    path = written(tmp_path / "agents.yaml", {"url": ada.url})
    with pytest.raises(AddressRefused):
        summarize(path, allow_private=False)
    assert ada.connections == 0


@pytest.mark.parametrize(
    "options", [{"cooldown": -1}, {"refresh": "x"}, {"timeout": 0}, {"allow_private": [3]}]
)
def test_what_cannot_be_meant_of_a_registry_is_refused(options: Any) -> None:
    with pytest.raises(DefinitionError):
        Registry("agents.yaml", **options)


class Listed:
    """A registry at a URL: what it lists, and what it was asked."""

    def __init__(self, agent: Any, say: Any, *agents: dict[str, Any]) -> None:
        self.agents = agents
        self.mark = '"1"'
        self.broken = False
        self._say = say
        self.server = agent(self._answer)
        self.clock = ManualClock()
        self.registry = Registry(
            self.server.url, allow_private=True, refresh=30, headers={"X-Key": "sesame"}, clock=self.clock
        )

    def _answer(self, request: Any, _: Any) -> bytes:
        if self.broken:
            return self._say.http("<p>sorry</p>", status="502 Bad Gateway", kind="text/html")
        if request.headers.get("if-none-match") == self.mark:
            return self._say.http("", status="304 Not Modified")
        listed = [{"skills": ["summarize"], **each} for each in self.agents]
        return self._say.http(json.dumps({"agents": listed}), ETag=self.mark)


def test_a_registry_can_be_at_a_url_that_is_looked_at_now_and_then(
    named: Any, agent: Any, say: Any, summarize: Any
) -> None:
    ada, ben = named("ada"), named("ben")
    listed = Listed(agent, say, {"url": ada.url})
    assert [summarize(listed.registry) for _ in range(3)] == ["ada"] * 3
    assert len(listed.server.requests) == 1
    assert listed.server.requests[0].headers["x-key"] == "sesame"
    assert "x-key" not in ada.requests[0].headers
    listed.clock.advance(30)
    assert summarize(listed.registry) == "ada"
    assert listed.server.requests[1].headers["if-none-match"] == '"1"'
    listed.agents, listed.mark = ({"url": ben.url},), '"2"'
    listed.clock.advance(30)
    assert summarize(listed.registry) == "ben"


def test_a_url_that_fails_leaves_what_was_last_known_and_is_looked_at_again(
    named: Any, agent: Any, say: Any, summarize: Any
) -> None:
    listed = Listed(agent, say, {"url": named("ada").url})
    assert summarize(listed.registry) == "ada"
    listed.broken = True
    for _ in range(2):
        listed.clock.advance(30)
        assert summarize(listed.registry) == "ada"
        assert "502" in str(listed.registry.stale)
    listed.broken, listed.agents = False, ({"url": named("ben").url},)
    listed.clock.advance(30)
    assert summarize(listed.registry) == "ben"
    assert listed.registry.stale is None


def test_a_url_that_never_answered_is_an_error(agent: Any, say: Any, summarize: Any) -> None:
    listed = Listed(agent, say)
    listed.broken = True
    with pytest.raises(RegistryUnavailable, match="HTTP status 502"):
        summarize(listed.registry)


def test_a_registrys_url_is_held_to_addresses_too(agent: Any, summarize: Any) -> None:
    with pytest.raises(RegistryUnavailable, match="a loopback address") as caught:
        summarize(agent().url, allow_private=False)
    assert isinstance(caught.value.__cause__, AddressRefused)


def test_an_agent_of_a_registry_may_speak_a2a(agent: Any, say: Any, summarize: Any, tmp_path: Path) -> None:
    server = agent(lambda *_: say.http("no card here", status="404 Not Found", kind="text/plain"))
    path = written(tmp_path / "agents.yaml", {"url": f"{server.url}", "protocol": "a2a"})
    with pytest.raises(RemoteError):
        summarize(path)
    assert server.requests[0].path == "/rpc/.well-known/agent-card.json"
    with pytest.raises(DefinitionError, match="what is it asked"):
        summarize(path, params=None)


def test_what_is_said_in_words_is_not_lost_on_an_agent_that_takes_none(
    named: Any, summarize: Any, tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError, match="asked with `params`"):
        summarize(written(tmp_path / "agents.yaml", {"url": named("ada").url}), prompt="Sum up {text}")
