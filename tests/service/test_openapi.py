"""The OpenAPI document says what the running service does: requests made up from it are answered as it says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.service.conftest import TOKEN, Serve, Served

METHODS = ("get", "post", "put", "patch", "delete")


def test_every_route_is_in_it_and_every_error_is_a_problem(service: Served) -> None:
    document: dict[str, Any] = service.client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    operations = [one for path in document["paths"].values() for name, one in path.items() if name in METHODS]
    assert len(operations) == 16
    assert len({one["operationId"] for one in operations}) == 16
    for one in operations:
        assert one["summary"]
        for status, answer in one["responses"].items():
            if status.startswith(("4", "5")) and one["operationId"] != "ready":
                assert list(answer["content"]) == ["application/problem+json"]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "basic"}


def test_what_is_public_asks_for_no_token_and_all_else_does(service: Served) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    free = {
        path for path, found in paths.items() if "security" not in found["get" if "get" in found else "post"]
    }
    assert free == {"/health", "/ready", "/openapi.json"}


def test_requests_made_up_from_it_are_answered_as_it_says(serve: Serve) -> None:
    _tried(serve, "--max-examples", "8", "--phases", "examples,coverage,fuzzing")


@pytest.mark.torture
def test_many_requests_made_up_from_it_are_answered_as_it_says(serve: Serve) -> None:
    _tried(serve, "--max-examples", "150", "--phases", "coverage,fuzzing,stateful")


def _tried(serve: Serve, *options: str) -> None:
    many = "100000"
    limits = ("--rate", many, "--client-runs", many, "--queue", many, "--streams", many)
    service = serve(
        *limits, targets=("app.py:article",)
    )  # without questions: a run that waits has no end to read
    known = service.ended(service.start(topic="known")["run_id"])["run_id"]
    (service.folder / "hooks.py").write_text(HOOKS.format(known=known))
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{service.address}/openapi.json", "--checks", "all",
        "--header", f"Authorization: Bearer {TOKEN}", "--generation-deterministic", "--no-color",
        "--request-timeout", "20", "--max-failures", "10", *options,
    ]  # fmt: skip
    path = os.pathsep.join([str(service.folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        cwd=service.folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": path, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert service.client.get("/ready").json()["status"] == "ready"
    assert "Traceback" not in service.log.read_text()


HOOKS = '''
import schemathesis


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Half of the requests name something that is there."""
    if path_parameters and len(str(path_parameters)) % 2:
        if "run_id" in path_parameters:
            path_parameters["run_id"] = "{known}"
        if "workflow" in path_parameters:
            path_parameters["workflow"] = "article"
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    """What a workflow takes is in a schema of its own, at `/v1/workflows/…`."""
    if isinstance(body, dict) and isinstance(body.get("input"), dict):
        body["input"] = {{"topic": "made up"}}
    if isinstance(body, dict) and isinstance(body.get("workflow"), str) and len(body["workflow"]) % 2:
        body["workflow"] = "article"
    return body
'''
