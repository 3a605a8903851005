"""Documents ask agents over HTTP: with the references filled in, the policies around them, and one key for a request
however often it is made."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.graphs.definition import WorkflowDefinition
from dalsegno.graphs.documents.calls import Call, Place, Settings
from dalsegno.graphs.documents.scopes import View
from dalsegno.graphs.loading import load_target
from dalsegno.nodes.remote.clients import close
from dalsegno.testing import crash_test
from tests.graphs.documents.conftest import Write
from tests.nodes.remote.conftest import Loopback, Request, fault, http, result


class Bank:
    """An agent with a book, in which a key stands once; methods named in `refuses` are refused, in `down` fail."""

    def __init__(self) -> None:
        self.book: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.refuses: set[str] = set()
        self.down: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Request, _: Any) -> bytes:
        asked = request.rpc
        method, key = asked["method"], request.headers.get("idempotency-key", "")
        with self._lock:
            self.asked.append((method, asked.get("params")))
            if self.down[method] > 0:
                self.down[method] -= 1
                return http("busy", status="503 Busy", kind="text/plain")
            if method in self.refuses:
                return fault(request, -32001, "refused")
            entry = self.book.setdefault(
                key, {"id": f"{method} 1", "method": method, "params": asked["params"]}
            )
        return result(request, entry)

    @property
    def entries(self) -> list[str]:
        return [entry["method"] for entry in self.book.values()]


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def server(bank: Bank) -> Iterator[Loopback]:
    server = Loopback(bank)
    yield server
    close()
    server.close()


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("hi", "hi"),
        ({"a": [True, None]}, '{"a": [true, null]}'),
        (True, "true"),
        (1.5, "1.5"),
        (None, "null"),
    ],
)
def test_a_prompt_that_is_a_reference_alone_is_text_as_it_is_inside_a_longer_one(
    value: Any, asked: str
) -> None:
    def prompt(text: str) -> str:
        call = {"agent_url": "http://127.0.0.1:9/", "protocol": "a2a", "prompt": text}
        said = {"name": "w", "allow_private": True, "steps": [{"name": "a", "agent_calls": [call]}]}
        definition = WorkflowDefinition.model_validate(said)
        player = Call(
            definition.steps[0].agent_calls[0],
            name="a",
            view=View("w"),
            place=Place("current"),
            settings=Settings.of(definition, None),
            seconds=1.0,
        )
        return player.prompt({"current": value})

    assert (prompt("$current"), prompt("Say $current")) == (asked, f"Say {asked}")
    assert prompt("${current.nothing?}") == ""


LOAN = """
name: loan
input: {who: string, amount: number}
registry: agents.json
allow_private: true
defaults: {timeout: 20, retry: {max_attempts: 3, initial_interval: 0.01, jitter: false}, idempotent: true}
steps:
  - name: greeting
    agent_calls:
      - {skill: greet, params: {text: "Dear $input.who, ${input.amount} it is: $$."}}
  - name: loan
    strategy: saga
    agent_calls:
      - skill: check
        params: {who: $input.who}
        output: {type: object, required: [id], properties: {id: {type: string}}}
        compensation: {skill: release, params: {check: $result.id}}
      - skill: approve
        params: {check: $previous.id, amount: $input.amount}
        compensation: {skill: cancel, params: {loan: $result.id, was: $previous.id}}
      - skill: pay
        params: {loan: $previous.id}
output: {loan: "$context.results.loan[1].id", paid: "$context.results.loan[2].id"}
"""
SKILLS = ["greet", "check", "approve", "pay", "release", "cancel"]


@pytest.fixture
def loan(write: Write, server: Loopback) -> Path:
    write(json.dumps({"agents": [{"name": "bank", "url": server.url, "skills": SKILLS}]}), "agents.json")
    return write(LOAN)


def test_agents_are_asked_with_what_the_references_lead_to(loan: Path, bank: Bank) -> None:
    with Runner(load_target(str(loan)).graph, db=":memory:") as runner:
        output = runner.run({"who": "Ada", "amount": 7}).output
    assert bank.asked == [
        ("greet", {"text": "Dear Ada, 7 it is: $."}),
        ("check", {"who": "Ada"}),
        ("approve", {"check": "check 1", "amount": 7}),
        ("pay", {"loan": "approve 1"}),
    ]
    assert (output["output"], output["outcome"]) == ({"loan": "approve 1", "paid": "pay 1"}, "done")


def test_a_refused_call_takes_back_what_was_done(loan: Path, bank: Bank) -> None:
    bank.refuses.add("pay")
    with Runner(load_target(str(loan)).graph, db=":memory:") as runner:
        output = runner.run({"who": "Ada", "amount": 7}).output
    assert bank.asked[-2:] == [
        ("cancel", {"loan": "approve 1", "was": "check 1"}),
        ("release", {"check": "check 1"}),
    ]
    assert (output["output"], output["outcome"]) == (None, "undone")
    assert output["failures"][0]["name"] == "loan.pay"


def test_an_agent_that_is_busy_is_asked_again_with_the_same_key(
    loan: Path, bank: Bank, server: Loopback
) -> None:
    bank.down["approve"] = 2
    with Runner(load_target(str(loan)).graph, db=":memory:") as runner:
        assert runner.run({"who": "Ada", "amount": 7}).status == "completed"
    keys = [r.headers["idempotency-key"] for r in server.requests if r.rpc["method"] == "approve"]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_an_answer_that_does_not_fit_its_schema_is_no_answer(loan: Path, bank: Bank) -> None:
    text = loan.read_text().replace("required: [id]", "required: [score]")
    loan.write_text(text)
    with Runner(load_target(str(loan)).graph, db=":memory:") as runner:
        output = runner.run({"who": "Ada", "amount": 7}).output
    assert output["failures"][0]["error"] == "RemoteAnswerInvalid"
    assert "'score' is a required property" in output["failures"][0]["message"]


def test_a_fallback_a_breaker_and_a_cache_stand_around_calls(
    write: Write, bank: Bank, server: Loopback
) -> None:
    bank.refuses.add("first")
    write(
        f"""
        name: a
        allow_private: true
        input: {{items: array}}
        steps:
          - name: m
            strategy: map_reduce
            over: $input.items
            max: 10
            max_concurrency: 1
            agent_calls:
              - agent_url: {server.url}
                method: first
                params: {{q: $current}}
                breaker: {{failures: 2, recovery: 600}}
                fallback: {{agent_url: "{server.url}", method: second, params: {{q: $current}}}}
          - name: c
            strategy: parallel
            max_concurrency: 1
            agent_calls:
              - {{agent_url: "{server.url}", method: third, params: {{q: 1}}}}
              - {{agent_url: "{server.url}", method: fourth, params: {{q: 1}}, timeout: {{attempt: 5, total: 9}}}}
          - name: l
            strategy: loop
            max: 3
            agent_calls:
              - {{agent_url: "{server.url}", method: fifth, params: {{q: same}}, cache: {{ttl: 60}}}}
        """
    )
    with Runner(load_target("flow.yaml").graph, db=":memory:") as runner:
        result = runner.run({"items": [1, 2, 3, 4]})
    assert result.status == "completed"
    asked = Counter(method for method, _ in bank.asked)
    assert asked == {"first": 2, "second": 4, "third": 1, "fourth": 1, "fifth": 1}


def test_a_private_address_is_refused_where_nothing_allows_it(write: Write, server: Loopback) -> None:
    from dalsegno.errors import DalsegnoError

    write(f"name: a\nsteps: [{{name: s, agent_calls: [{{agent_url: '{server.url}', method: m}}]}}]")
    with pytest.raises(DalsegnoError, match=r"flow\.yaml:2:\d+: steps\[0\].*allow_private"):
        load_target("flow.yaml")


@pytest.mark.parametrize(
    ("refused", "at"), [(set(), [2, 5, 8, 11]), ({"pay"}, "every commit")], ids=["done", "undone"]
)
def test_a_loan_that_is_killed_at_any_commit_asks_for_nothing_twice(
    loan: Path, bank: Bank, refused: set[str], at: Any
) -> None:
    bank.refuses |= refused
    report = crash_test(load_target(str(loan)).graph, {"who": "Ada", "amount": 7}, at=at, profile="fast")
    report.raise_for_failures()
    assert report.kills >= 8 if refused else 4
    done = Counter(bank.entries)
    runs = done["greet"]
    assert runs > len(report.points)
    wanted = (
        ["greet", "check", "approve", "cancel", "release"]
        if refused
        else ["greet", "check", "approve", "pay"]
    )
    assert done == dict.fromkeys(wanted, runs), (
        "every run leaves one entry of each, however often it was killed"
    )


TOKEN = "a-token-that-nobody-sees"
ASKED = """
name: asked
allow_private: true
defaults: {timeout: 20, headers: {Authorization: {env: BANK_TOKEN, prefix: "Bearer "}, X-Tenant: acme}}
steps:
  - name: one
    agent_calls: [{agent_url: URL, method: greet, params: {}}]
  - name: other
    agent_calls: [{agent_url: URL, method: check, params: {}, headers: {X-Api-Key: {env: BANK_KEY}}}]
"""


@pytest.fixture
def asked(write: Write, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BANK_TOKEN", TOKEN)
    monkeypatch.setenv("BANK_KEY", "a-key")
    return write(ASKED.replace("URL", server.url))


def test_an_agent_is_sent_headers_whose_secrets_are_in_the_environment(asked: Path, server: Loopback) -> None:
    with Runner(load_target(str(asked)).graph, db=":memory:") as runner:
        assert runner.run({}).status == "completed"
    first, second = (request.headers for request in server.requests)
    assert (first["authorization"], first["x-tenant"]) == (f"Bearer {TOKEN}", "acme")
    assert second["x-api-key"] == "a-key"
    assert not {"authorization", "x-tenant"} & second.keys()


def test_what_is_in_the_environment_is_kept_and_shown_nowhere(
    asked: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    bank.refuses.add("greet")
    flow = load_target(str(asked)).graph
    with Runner(flow, db="runs.db") as runner:
        failed = runner.run({}, thread="t")
    assert TOKEN not in f"{failed}{flow.spec}{flow.definition!r}{flow.definition.to_yaml()}"
    assert not any(TOKEN.encode() in file.read_bytes() for file in folder.glob("runs.db*"))


def test_a_variable_that_is_not_set_is_told_and_read_again_when_the_run_goes_on(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BANK_TOKEN")
    with Runner(load_target(str(asked)).graph, db=":memory:") as runner:
        failed = runner.run({}, thread="t")
        assert failed.error is not None
        assert "`Authorization` is read from the environment variable `BANK_TOKEN`" in failed.error["message"]
        monkeypatch.setenv("BANK_TOKEN", TOKEN)
        assert runner.resume("t").status == "completed"
