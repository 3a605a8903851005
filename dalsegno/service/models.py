"""What is sent and what is answered: these models validate requests, write answers, and make the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from dalsegno.checkpoints.steps import SEEN

Status = Literal["queued", "running", "completed", "failed", "interrupted", "stopped", "cancelled"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
"""A name; with a NUL, which PostgreSQL's text cannot hold, it is none."""
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=0, le=2**53), BeforeValidator(_whole)]
Amount = Annotated[float, Field(ge=0, le=1e15)]


class _Asked(BaseModel):
    """What a client sends: nothing that is not known, and no text taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class BudgetOf(_Asked):
    """What the run may spend, where it differs from the workflow's own budget."""

    supersteps: Count | None = None
    model_calls: Count | None = None
    tokens: Count | None = None
    seconds: Amount | None = None
    cost: Amount | None = Field(default=None, description="Money, in the unit of the workflow's prices.")


class StartRun(_Asked):
    """A run to start."""

    workflow: Text = Field(description="Its name, as `GET /v1/workflows` lists it.")
    input: dict[str, Any] = Field(default_factory=dict, description="State keys and values.")
    thread: Text | None = Field(
        default=None,
        description="The thread to run on; made up when left out. The same request for the same thread again gives "
        "the run that is there.",
    )
    context: dict[str, Any] | None = Field(
        default=None, description="The runtime context of the nodes; it is kept."
    )
    budget: BudgetOf | None = None
    abandon: bool = Field(default=False, description="Give up pending work of an earlier run on the thread.")


class ResumeRun(_Asked):
    """How a run is to go on: with an answer, or with answers by their ids, or without."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["answer", "answers"]}})

    answer: Any = Field(default=None, description="The answer to the one question that waits.")
    answers: dict[str, Any] | None = Field(
        default=None, description="Answers by the ids of the questions, where several wait."
    )
    accept_changes: bool = Field(
        default=False, description="Go on although the graph changed in a way that the run can notice."
    )
    budget: BudgetOf | None = None

    @model_validator(mode="after")
    def _answers_in_one_way(self) -> Self:
        if {"answer", "answers"} <= self.model_fields_set:
            words = "Send `answer` for the one question that waits, or `answers` by their ids."
            raise PydanticCustomError("two_answers", words)
        return self


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WhichRuns(_Query):
    """Which runs are listed."""

    status: Status | None = None
    workflow: Text | None = None
    thread: Text | None = None
    before: RunId | None = Field(default=None, description="Only runs recorded before this one.")
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class HowLong(_Query):
    """How long an answer may wait."""

    wait: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0, description="Seconds to wait until the run ends or waits for somebody."
    )


class Nothing(_Query):
    """No parameters."""


class FollowRun(_Query):
    """Parameters of a run's events."""

    after: Annotated[str, StringConstraints(pattern=f"^{SEEN.pattern}$")] = Field(
        default="0", description="The id of the last event that was seen, as `Last-Event-ID` has it."
    )


class RunError(BaseModel):
    """What failed, and where."""

    type: str
    message: str
    node: str | None = None
    attempt: int | None = None


class Question(BaseModel):
    """A question that waits for an answer."""

    id: str
    node: str
    value: Any = None
    answer_schema: Any = Field(
        default=None, description="The JSON Schema of the answer, where one was declared."
    )


class Trouble(BaseModel):
    """Why a run is not gone on with by itself."""

    type: str
    message: str


class RunSummary(BaseModel):
    """A run, in a list."""

    run_id: RunId
    thread: str
    workflow: str
    version: str
    status: Status
    created_at: datetime
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    supersteps: int
    resumes: int


class Run(RunSummary):
    """A run: how it stands, and what it gave."""

    input: Any = None
    output: Any = Field(default=None, description="The output keys of the state of a completed run.")
    error: RunError | None = None
    interrupts: list[Question] = Field(
        default_factory=list, description="What can be answered now; nothing of a run that was given up."
    )
    usage: dict[str, Any] = Field(default_factory=dict)
    problem: Trouble | None = None


class Runs(BaseModel):
    """Runs, newest first; `next` is the `before` of the next page."""

    runs: list[RunSummary]
    next: RunId | None = None


class WorkflowSummary(BaseModel):
    """A workflow, in a list; `supersteps` is the most that a run of it takes, where that is proved."""

    name: str
    version: str
    nodes: int
    supersteps: int | None = None


class WorkflowOf(WorkflowSummary):
    """A workflow: what it takes, what it gives, and what was proved of it."""

    input_schema: dict[str, Any] | None = None
    outputs: list[str] = Field(default_factory=list)
    certificate: dict[str, Any] | None = None
    mermaid: str = Field(description="The graph as a Mermaid flowchart.")


class Workflows(BaseModel):
    """What can be started."""

    workflows: list[WorkflowSummary]


class Cancelled(BaseModel):
    """What became of a request to cancel."""

    run_id: RunId
    status: Literal["asked", "cancelled"] = Field(
        description="`asked`: it is in progress and stops after its superstep."
    )


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether runs can be accepted: every check says `ok`, or why not."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


class FieldError(BaseModel):
    """What is wrong with one field: `body.input.topic`, `query.limit`, `header.Idempotency-Key`."""

    field: str
    message: str


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field(description="`urn:dalsegno:…`, one for each kind of problem.")
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)
