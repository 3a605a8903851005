"""The three documents are proved to end, say what they are, and ask only agents of their registry."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dalsegno.graphs.definition import read_definition, walk
from dalsegno.nodes.remote.local import local_agents_in

DOMAINS = Path(__file__).parents[2] / "examples" / "domains"
BOUNDS = {"diagnosis": 9, "loan": 16, "content": 37}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_document_is_proved_to_end_without_a_model_call(name: str) -> None:
    report = read_definition(DOMAINS / f"{name}.yaml").workflow().validate()
    assert report.ok
    assert report.certificate is not None
    assert (report.certificate.supersteps, report.certificate.model_calls) == (BOUNDS[name], 0)


@pytest.mark.parametrize("name", BOUNDS)
def test_every_skill_that_a_document_asks_for_is_one_of_an_agent_that_is_started(name: str) -> None:
    text = (DOMAINS / "agents.yaml").read_text()
    skills = {
        skill
        for local in local_agents_in(text, "agents.yaml")
        if local.command
        for skill in local.agent.skills
    }
    calls = [
        call for step, _ in walk(read_definition(DOMAINS / f"{name}.yaml").steps) for call in step.agent_calls
    ]
    asked = [each.skill for call in calls for each in (call, call.compensation) if each is not None]
    assert asked
    assert skills >= set(asked)


def test_each_says_what_it_is_not() -> None:
    said = {name: read_definition(DOMAINS / f"{name}.yaml").description or "" for name in BOUNDS}
    assert "no medical statement" in said["diagnosis"]
    assert "no advice about money" in said["loan"]
    assert "no language model writes" in said["content"]


def test_one_agent_speaks_a2a_and_no_port_is_named_twice() -> None:
    entries = yaml.safe_load((DOMAINS / "agents.yaml").read_text())["agents"]
    assert [entry["name"] for entry in entries if entry.get("protocol") == "a2a"] == ["treatment-planner"]
    assert len({entry["url"].rstrip("/") for entry in entries}) == len(entries) == 14
