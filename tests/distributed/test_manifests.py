"""The manifests of the workers are what Kubernetes takes, and say what the documentation says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from dalsegno.cli.worker import command

FOLDER = Path(__file__).parents[2] / "deploy" / "workers"
DOCUMENTS = [
    d for file in ("worker.yaml", "scaling.yaml") for d in yaml.safe_load_all((FOLDER / file).read_text())
]


def of(kind: str) -> dict[str, Any]:
    return next(document for document in DOCUMENTS if document["kind"] == kind)


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if d["kind"] != "ScaledObject"], ids=lambda d: d["kind"]
)
def test_each_fits_kubernetes_own_schema(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.34", strict=True)


def test_a_worker_has_no_inbound_port_and_time_to_hand_over() -> None:
    pod = of("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "ports" not in container
    assert pod["terminationGracePeriodSeconds"] >= 120
    assert of("NetworkPolicy")["spec"]["ingress"] == []


def test_its_command_is_one_that_the_worker_takes() -> None:
    (container,) = of("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["dalsegno", "worker"]
    made = typer.Typer()
    made.command("worker")(command)
    options = {option for p in typer.main.get_command(made).params for option in p.opts}
    assert {argument.partition("=")[0] for argument in container["args"]} <= options


def test_the_autoscaler_looks_at_the_workers_queue() -> None:
    scaled = of("ScaledObject")["spec"]
    deployment = of("Deployment")
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "temporal"
    # The scaler's parameters that have no default: https://keda.sh/docs/latest/scalers/temporal/
    assert {"endpoint", "taskQueue"} <= trigger["metadata"].keys()
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    queue = next(a.partition("=")[2] for a in container["args"] if a.startswith("--queue"))
    assert trigger["metadata"]["taskQueue"].startswith(f"{queue}/")
