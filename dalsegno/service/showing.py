"""Runs and workflows as they are answered: plain data, with every secret masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from dalsegno import viz
from dalsegno.graphs.reading import ROOT
from dalsegno.nodes.schemas import ShownSchema
from dalsegno.nodes.secrets import Secrets, input_shown
from dalsegno.nodes.structured import modern
from dalsegno.observe.plain import plain
from dalsegno.runtime.view import as_it_stands
from dalsegno.service.models import (
    Question,
    Run,
    RunError,
    RunSummary,
    Trouble,
    WorkflowOf,
    WorkflowSummary,
)

if TYPE_CHECKING:
    from dalsegno.checkpoints import Checkpointer, RunRecord
    from dalsegno.checkpoints.requests import Request
    from dalsegno.runtime import Runner
    from dalsegno.service.service import Service


def summaries(service: Service, runs: Sequence[RunRecord]) -> list[RunSummary]:
    """Runs, in a list."""
    return [RunSummary(**_common(as_it_stands(service.ledger, run))) for run in runs]


def whole(service: Service, run: RunRecord) -> Run:
    """A run with what it was given and what it gave."""
    runner = service.runners.get(run.workflow)
    request = service.request(run.run_id)
    error = run.error or {}
    return Run(
        **_common(as_it_stands(service.ledger, run)),
        input=plain(input_shown(run.input, run.shape)),
        output=plain(output(service.kept, runner, run))
        if runner is not None and run.status == "completed"
        else None,
        error=RunError.model_validate({name: error.get(name) for name in RunError.model_fields})
        if error
        else None,
        interrupts=[
            Question(
                id=str(asked.get("id")),
                node=str(asked.get("node")),
                value=plain(asked.get("value")),
                answer_schema=plain(asked.get("schema")),
            )
            for asked in _waiting(service, run)
        ],
        usage=plain(dict(run.usage)),
        problem=_problem(run, request),
    )


def _problem(run: RunRecord, request: Request | None) -> Trouble | None:
    """Why a run is not gone on with by itself; None where it ended, or somebody else has gone on with it since."""
    told = request.problem if request is not None else None
    is_old = not told or told.get("started_at", run.started_at) != run.started_at
    return None if is_old or run.status in ("completed", "cancelled") else Trouble.model_validate(told)


def _waiting(service: Service, run: RunRecord) -> Sequence[Mapping[str, Any]]:
    """The questions of a run that can be answered: none of one that was given up for another on its thread."""
    return run.interrupts if run.interrupts and not service.stands(run.run_id)[1] else ()


def output(kept: Checkpointer, runner: Runner, run: RunRecord) -> Any:
    """The output keys of the state in which a run ended; all of a state that has no keys."""
    config: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    found = next(iter(kept.list(config, filter={"run_id": run.run_id}, limit=1)), None)
    if found is None:
        return None
    values = found.checkpoint["channel_values"]
    if not runner.spec.state:
        return values.get(ROOT, {})
    secrets = Secrets(runner.schemas)
    secrets.learn(values)
    shown = secrets.shown(secrets.state({k: v for k, v in values.items() if k in runner.spec.outputs}))
    return dict(shown)


def workflow_summary(runner: Runner) -> WorkflowSummary:
    """A workflow, in a list."""
    return WorkflowSummary(**_workflow(runner))


def workflow(runner: Runner) -> WorkflowOf:
    """A workflow with what it takes, gives, and what was proved of it."""
    certificate = runner.report.certificate
    return WorkflowOf(
        **_workflow(runner),
        input_schema=_schema(runner.input_schema),
        outputs=sorted(runner.spec.outputs),
        certificate=plain(certificate.to_dict()) if certificate else None,
        mermaid=viz.to_mermaid(runner.spec),
    )


def json_of(model: BaseModel) -> bytes:
    """The JSON of an answer; a lone surrogate, which UTF-8 does not have, as a question mark."""
    import json

    text = json.dumps(model.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _common(run: RunRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: getattr(run, name)
        for name in ("run_id", "thread", "workflow", "version", "status", "supersteps", "resumes")
    }
    for name in ("created_at", "started_at", "updated_at", "finished_at"):
        at = getattr(run, name)
        fields[name] = datetime.fromtimestamp(at, UTC) if at is not None else None
    return fields


def _workflow(runner: Runner) -> dict[str, Any]:
    certificate, spec = runner.report.certificate, runner.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "nodes": len(spec.nodes),
        "supersteps": certificate.supersteps if certificate else None,
    }


def _schema(of: Any) -> dict[str, Any] | None:
    try:
        return TypeAdapter(modern(of)).json_schema(schema_generator=ShownSchema)
    except (PydanticUserError, TypeError, NameError):
        return None  # a type that JSON Schema has no words for
