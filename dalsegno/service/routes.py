"""The routes: all that is known of them, to the router and to the OpenAPI document alike.

What is ours is under ``/v1``, so that another interface can stand beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from dalsegno.service import handlers as h
from dalsegno.service import models as m
from dalsegno.service import pages


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation: its handler, and what the OpenAPI document says of it.

    `answers` are its good answers, a model or a media type by status; `problems` the statuses of the others, without
    those that every route has. `is_public` needs no token.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    body: type[BaseModel] | None = None
    query: type[BaseModel] = m.Nothing
    headers: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    is_public: bool = False

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.handler.__name__


_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_KEYED = {"Idempotency-Key": "The same key again gives the run that it started the first time."}
_LAST = {"Last-Event-ID": "The id of the last event that was seen; a browser sends it when it comes back."}
_RUN = "/v1/runs/{run_id}"
_STARTING = (400, 404, 408, 409, 413, 415, 422, 503)

ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/v1/workflows", handler=h.list_workflows, summary="List what can be started",
          answers={200: m.Workflows}, problems=(422,)),
    Route(method="GET", path="/v1/workflows/{workflow}", handler=h.get_workflow, summary="Look at a workflow",
          answers={200: m.WorkflowOf}, problems=(404, 422)),
    Route(method="GET", path="/v1/workflows/{workflow}/picture", handler=h.draw_workflow, summary="Draw a workflow",
          answers={200: pages.SVG}, problems=(404, 422, 501)),
    Route(method="POST", path="/v1/runs", handler=h.start_run, summary="Start a run", body=m.StartRun,
          answers={202: m.Run}, headers=_KEYED, problems=_STARTING),
    Route(method="GET", path="/v1/runs", handler=h.list_runs, summary="List runs", query=m.WhichRuns,
          answers={200: m.Runs}, problems=(404, 422)),
    Route(method="GET", path=_RUN, handler=h.get_run, summary="Look at a run, or wait for it", query=m.HowLong,
          answers={200: m.Run}, problems=(404, 422)),
    Route(method="POST", path=f"{_RUN}/resume", handler=h.resume_run, summary="Go on with a run", body=m.ResumeRun,
          answers={202: m.Run}, problems=_STARTING),
    Route(method="POST", path=f"{_RUN}/cancel", handler=h.cancel_run, summary="Cancel a run",
          answers={202: m.Cancelled}, problems=(404, 409, 422, 503)),
    Route(method="GET", path=f"{_RUN}/events", handler=h.follow_run, summary="Follow a run", query=m.FollowRun,
          answers={200: "text/event-stream", 204: ""}, headers=_LAST, problems=(404, 422)),
    Route(method="GET", path=f"{_RUN}/page", handler=h.show_run, summary="A page that follows a run",
          answers={200: _HTML}, problems=(404, 422, 501)),
    Route(method="GET", path=f"{_RUN}/{pages.LIVE}", handler=h.news_of_run, summary="What that page reads",
          answers={200: _SCRIPT}, problems=(404, 501)),
    Route(method="GET", path=f"{_RUN}/picture", handler=h.draw_run, summary="Draw a run over its graph",
          answers={200: pages.SVG}, problems=(404, 422, 501)),
    Route(method="GET", path="/health", handler=h.health, summary="Whether the process answers",
          answers={200: m.Health}, is_public=True),
    Route(method="GET", path="/ready", handler=h.ready, summary="Whether runs are accepted",
          answers={200: m.Ready, 503: m.Ready}, is_public=True),
    Route(method="GET", path="/metrics", handler=h.metrics, summary="Metrics",
          answers={200: "text/plain"}, problems=(501,)),
    Route(method="GET", path="/openapi.json", handler=h.openapi, summary="This document",
          answers={200: h.JSON}, is_public=True),
)  # fmt: skip
