"""What `dalsegno check --format sarif` prints is SARIF 2.1.0.

The models below are the objects of the specification that are used here, closed: another property, a wrong
type or a repeated element is an error. Where DALSEGNO_SARIF_SCHEMA names OASIS's own schema file, and
jsonschema is installed, the same logs are validated against that too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def unique(items: list[Any]) -> list[Any]:
    assert len({repr(item) for item in items}) == len(items), "an element is repeated"
    return items


def uri_reference(text: str) -> str:
    assert text.isascii()
    assert not set(text) & set(' "<>\\^`{|}\n')
    urlsplit(text)
    return text


Uri = Annotated[str, AfterValidator(uri_reference)]
Level = Literal["none", "note", "warning", "error"]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Message(Closed):  # 3.11
    text: str


class Configuration(Closed):  # 3.50
    level: Level


class Rule(Closed):  # 3.49
    id: str
    shortDescription: Message
    fullDescription: Message
    defaultConfiguration: Configuration


class Driver(Closed):  # 3.19
    name: str
    version: str
    rules: Annotated[list[Rule], AfterValidator(unique)]


class Tool(Closed):  # 3.18
    driver: Driver


class ArtifactLocation(Closed):  # 3.4
    uri: Uri
    uriBaseId: str | None = None


class Notification(Closed):  # 3.58
    level: Level
    message: Message


class Invocation(Closed):  # 3.20
    executionSuccessful: bool
    toolExecutionNotifications: list[Notification] = []


class Region(Closed):  # 3.30
    startLine: Annotated[int, Field(ge=1)]


class PhysicalLocation(Closed):  # 3.29
    artifactLocation: ArtifactLocation
    region: Region


class LogicalLocation(Closed):  # 3.33
    name: str
    fullyQualifiedName: str


class Location(Closed):  # 3.28
    logicalLocations: Annotated[list[LogicalLocation], AfterValidator(unique)] = []
    physicalLocation: PhysicalLocation | None = None


class Suppression(Closed):  # 3.35
    kind: Literal["inSource", "external"]
    justification: str


class Result(Closed):  # 3.27
    ruleId: str
    ruleIndex: Annotated[int, Field(ge=0)]
    level: Level
    message: Message
    locations: Annotated[list[Location], AfterValidator(unique)] = []
    suppressions: Annotated[list[Suppression], AfterValidator(unique)] = []


class Run(Closed):  # 3.14
    tool: Tool
    invocations: list[Invocation]
    originalUriBaseIds: dict[str, ArtifactLocation]
    results: list[Result]


class Log(Closed):  # 3.13
    schema_: str = Field(alias="$schema")
    version: Literal["2.1.0"]
    runs: Annotated[list[Run], Field(min_length=1)]


HOSTILE = """
def hostile(name):
    odd = 'b\\n"<script>&\\u202e| é'.replace("|", "")
    made = Workflow(name, Article).add_node(write).add_node(odd, review).add_edge(START, "write")
    return made.add_edge("write", odd).add_edge(odd, "write")

strange = hostile("strange\\n<b>")
waived = hostile("waived")
waived.waive("T101", "write", "known, and 'quoted'")
"""


@pytest.fixture
def logs(dalsegno: Any, folder: Path) -> list[dict[str, Any]]:
    """Logs of sound, endless, oddly named and waived workflows, and of a file that cannot be loaded."""
    with (folder / "app.py").open("a") as file:
        file.write(HOSTILE)
    (folder / "broken é.py").write_text("import dalsegno\nflow = dalsegno.nothing()\n")
    (folder / "elsewhere é").mkdir()
    targets = [("app.py:flow",), ("app.py:endless",), ("app.py:strange", "app.py:waived"), (".",)]
    return [json.loads(dalsegno("check", *names, "--format", "sarif").out) for names in targets]


def test_a_log_has_the_objects_and_properties_of_the_specification(logs: list[dict[str, Any]]) -> None:
    for log in logs:
        Log.model_validate(log)


def test_a_result_points_to_its_rule(logs: list[dict[str, Any]]) -> None:
    for log in logs:
        (run,) = log["runs"]
        for result in run["results"]:
            assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_what_is_waived_is_a_suppressed_result(logs: list[dict[str, Any]]) -> None:
    suppressed = [r for r in logs[2]["runs"][0]["results"] if "suppressions" in r]
    assert [(r["ruleId"], r["suppressions"][0]["justification"]) for r in suppressed] == [
        ("T101", "known, and 'quoted'")
    ]


def test_a_log_is_valid_by_the_schema_of_oasis(logs: list[dict[str, Any]]) -> None:
    schema = os.environ.get("DALSEGNO_SARIF_SCHEMA")
    if not schema:
        pytest.skip("DALSEGNO_SARIF_SCHEMA names no sarif-schema-2.1.0.json")
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(Path(schema).read_text())
    validator = jsonschema.validators.validator_for(document)(document)
    for log in logs:
        assert [error.message for error in validator.iter_errors(log)] == []
