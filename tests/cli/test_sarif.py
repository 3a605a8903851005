"""What `dalsegno check --format sarif` prints is SARIF 2.1.0.

The package pydantic-sarif holds OASIS's JSON schema as models that were generated from it, every definition
and every property. A generator of models loses what they have no word for: elements that must differ, and
properties of which one must be there. For these, the models below are the objects that are used here,
closed: another property, a wrong type or a repeated element is an error. Where DALSEGNO_SARIF_SCHEMA names
the schema file itself, and jsonschema is installed, the same logs are validated against that too.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dalsegno.cli.sarif import sarif
from dalsegno.graphs.model import START, EdgeSpec, NodeSpec, Place, WorkflowSpec
from dalsegno.graphs.validation import check


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


@pytest.fixture(scope="module")
def endless_log() -> dict[str, Any]:
    """The log of a workflow with a finding at a place."""
    made = WorkflowSpec(
        "endless",
        nodes={"a": NodeSpec("a", where=Place("app.py", 7))},
        edges=(EdgeSpec(START, "a"), EdgeSpec("a", "a")),
    )
    log: dict[str, Any] = sarif([check(made)])
    return log


def test_a_log_has_the_objects_and_properties_of_the_specification(logs: list[dict[str, Any]]) -> None:
    for log in logs:
        Log.model_validate(log)


@pytest.fixture(scope="module")
def schema() -> type[BaseModel]:
    """The root of the models that were generated from the schema of OASIS."""
    generated = importlib.import_module("pydantic_sarif.model")
    found: type[BaseModel] = generated.StaticAnalysisResultsFormatSarifVersion210JsonSchema
    return found


def test_a_log_is_valid_by_the_models_made_from_the_schema_of_oasis(
    logs: list[dict[str, Any]], schema: type[BaseModel]
) -> None:
    for log in logs:
        text = json.dumps(log)
        read = schema.model_validate_json(text, strict=True)
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"$schema": None} == log | {
            "$schema": None  # a URL is written in another way
        }


def result(log: dict[str, Any]) -> Any:
    return log["runs"][0]["results"][0]


SPOILED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no version": lambda log: log.pop("version"),
    "another version": lambda log: log.update(version="2.0.0"),
    "no runs": lambda log: log.pop("runs"),
    "a property that is none": lambda log: log.update(title="check"),
    "a schema that is no URI": lambda log: log.update({"$schema": "sarif"}),
    "no tool": lambda log: log["runs"][0].pop("tool"),
    "a driver without a name": lambda log: log["runs"][0]["tool"]["driver"].pop("name"),
    "a rule without an id": lambda log: log["runs"][0]["tool"]["driver"]["rules"][0].pop("id"),
    "a level that is none": lambda log: result(log).update(level="fatal"),
    "no message": lambda log: result(log).pop("message"),
    "a message that is a text": lambda log: result(log).update(message="text"),
    "a line that is a text": lambda log: result(log)["locations"][0]["physicalLocation"]["region"].update(
        startLine="7"
    ),
    "line 0": lambda log: result(log)["locations"][0]["physicalLocation"]["region"].update(startLine=0),
    "an index below -1": lambda log: result(log).update(ruleIndex=-2),
    "a suppression of no kind": lambda log: result(log).update(suppressions=[{"justification": "known"}]),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_log_is_not(how: str, endless_log: dict[str, Any], schema: type[BaseModel]) -> None:
    schema.model_validate_json(json.dumps(endless_log), strict=True)
    spoiled = copy.deepcopy(endless_log)
    SPOILED[how](spoiled)
    with pytest.raises(ValidationError):
        schema.model_validate_json(json.dumps(spoiled), strict=True)


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
