"""What answers each route: it reads a request, asks the service, and writes the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from dalsegno.checkpoints.steps import SEEN, Seen, Steps
from dalsegno.errors import InputInvalid
from dalsegno.service import models as m
from dalsegno.service import pages, showing, watching
from dalsegno.service.bodies import body_of, query_of
from dalsegno.service.limits import Open, whole_seconds
from dalsegno.service.problems import refused
from dalsegno.service.service import Service

JSON = "application/json"
_PING = 15
_STUCK = 30.0
"""Seconds after which a client that takes no more of a stream is let go."""


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def _client(request: Request) -> str:
    found: str = request.scope["dalsegno.client"]
    return found


def _json(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(showing.json_of(model), status, headers, JSON)


async def _body(request: Request, model: type[Any]) -> Any:
    settings = _service(request).settings
    return await body_of(request, model, most=settings.body, patience=settings.patience)


async def _changed(request: Request, change: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """What a change of the database gives, which may have to wait for it: in a lane where nobody waits who reads."""
    lane = request.app.state.changing
    return await asyncio.get_running_loop().run_in_executor(lane, partial(change, *given, **named))


# --- workflows ---


async def list_workflows(request: Request) -> Response:
    """What can be started."""
    query_of(request, m.Nothing)
    runners = _service(request).runners.values()
    return _json(m.Workflows(workflows=[showing.workflow_summary(runner) for runner in runners]))


async def get_workflow(request: Request) -> Response:
    """A workflow: its input, its outputs, its certificate."""
    query_of(request, m.Nothing)
    runner = _service(request).runner(request.path_params["workflow"])
    return _json(showing.workflow(runner))


async def draw_workflow(request: Request) -> Response:
    """The picture of a workflow."""
    query_of(request, m.Nothing)
    drawn = await asyncio.to_thread(request.app.state.pages.workflow, request.path_params["workflow"])
    return Response(drawn, headers=pages.SAFE, media_type=pages.SVG)


# --- runs ---

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def start_run(request: Request) -> Response:
    """Start a run. Once this is answered, the run is in the database and is not lost."""
    query_of(request, m.Nothing)
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise refused(
            422,
            "does-not-fit",
            "A key is 1 to 255 printable ASCII characters, and has no space.",
            field="header.Idempotency-Key",
        )
    asked = await _body(request, m.StartRun)
    service = _service(request)
    run_id, _ = await _changed(request, service.start, asked, client=_client(request), key=key)
    return await _accepted(service, run_id)


async def list_runs(request: Request) -> Response:
    """Runs, newest first."""
    asked = query_of(request, m.WhichRuns)
    given = asked.model_dump(exclude={"limit"})
    ledger, before = _service(request).ledger, asked.before
    found = await asyncio.to_thread(ledger.runs, **given, limit=asked.limit + 1)
    if before and not found and await asyncio.to_thread(ledger.one, before, plain=True) is None:
        raise refused(  # else it would look like the last page
            404,
            "unknown-run",
            f"There is no run `{before}` any more, so what came before it is not known. Begin with the newest.",
            field="query.before",
        )
    shown = await asyncio.to_thread(showing.summaries, _service(request), found[: asked.limit])
    return _json(m.Runs(runs=shown, next=shown[-1].run_id if len(found) > asked.limit else None))


async def get_run(request: Request) -> Response:
    """A run: how it stands, and what it gave."""
    asked = query_of(request, m.HowLong)
    service, run_id = _service(request), request.path_params["run_id"]
    run = await asyncio.to_thread(service.run, run_id)
    if asked.wait:
        with _streams(request).one(_client(request)):
            await watching.settled(service, run_id, asked.wait)
        run = await asyncio.to_thread(service.run, run_id)
    return _json(await asyncio.to_thread(showing.whole, service, run))


async def resume_run(request: Request) -> Response:
    """Go on with a run: after a failure, or with the answer to its question."""
    query_of(request, m.Nothing)
    service, run_id = _service(request), request.path_params["run_id"]
    asked = await _body(request, m.ResumeRun)
    try:
        await _changed(request, service.resume, run_id, asked, client=_client(request))
    except InputInvalid as error:
        place = "body.answers" if asked.answers is not None else "body.answer"
        where = f"{place}.{error.key}" if error.key else place
        raise refused(422, "input-invalid", str(error), field=where) from error
    return await _accepted(service, run_id)


async def cancel_run(request: Request) -> Response:
    """Cancel a run; one that is in progress stops after its superstep."""
    query_of(request, m.Nothing)
    run_id = request.path_params["run_id"]
    done = await _changed(request, _service(request).cancel, run_id)
    return _json(m.Cancelled(run_id=run_id, status=done), 202)


async def _accepted(service: Service, run_id: str) -> Response:
    run = await asyncio.to_thread(service.run, run_id)
    shown = await asyncio.to_thread(showing.whole, service, run)
    return _json(shown, 202, {"location": f"/v1/runs/{run_id}"})


# --- watching ---


def _streams(request: Request) -> Open:
    found: Open = request.app.state.streams
    if found.is_full(_client(request)):
        raise refused(
            429,
            "too-many-streams",
            "You watch as many runs as one client may; close one first.",
            retry_after=5,
        )
    return found


async def follow_run(request: Request) -> Response:
    """The events of a run, as server-sent events; with `Last-Event-ID` those after it."""
    asked = query_of(request, m.FollowRun)
    service, run_id = _service(request), request.path_params["run_id"]
    _, is_over = await asyncio.to_thread(service.stands, run_id)
    last = request.headers.get("last-event-id", "").strip()
    if last and not SEEN.fullmatch(last):
        raise refused(
            422,
            "does-not-fit",
            "`Last-Event-ID` is the `id` of the last event that you saw, such as `17` or `17.3`. Without it you get "
            "all events.",
            field="header.Last-Event-ID",
        )
    seen = Seen.of(last or asked.after)
    streams = _streams(request)

    async def told() -> Any:
        with streams.one(_client(request)):
            async for event in watching.events(service, run_id, seen):
                yield event

    if last and is_over and not await asyncio.to_thread(Steps(service.ledger, run_id, seen).more, 1):
        return Response(status_code=204)  # it has seen the end: a browser stops coming back
    if request.method == "HEAD":  # who asks for no events waits for none
        return Response(media_type="text/event-stream")
    return EventSourceResponse(told(), ping=_PING, send_timeout=_STUCK, headers={"cache-control": "no-store"})


async def show_run(request: Request) -> Response:
    """The page of a run, which follows it while it goes on."""
    query_of(request, m.Nothing)
    run = await asyncio.to_thread(_service(request).run, request.path_params["run_id"])
    text = await asyncio.to_thread(request.app.state.pages.page, run)
    return Response(text, media_type="text/html")


async def news_of_run(request: Request) -> Response:
    """What the page of a run reads while the run goes on."""
    run = await asyncio.to_thread(_service(request).run, request.path_params["run_id"])
    text = await asyncio.to_thread(request.app.state.pages.news, run)
    return Response(text, media_type="text/javascript")


async def draw_run(request: Request) -> Response:
    """The picture of a run over its graph."""
    query_of(request, m.Nothing)
    run = await asyncio.to_thread(_service(request).run, request.path_params["run_id"])
    drawn = await asyncio.to_thread(request.app.state.pages.run, run)
    return Response(drawn, headers=pages.SAFE, media_type=pages.SVG)


# --- the process ---


async def health(request: Request) -> Response:
    """Whether the process answers."""
    return _json(m.Health())


async def ready(request: Request) -> Response:
    """Whether runs are accepted: the database can be written, runs are taken, and the service does not stop."""
    checks = await request.app.state.readiness()
    is_ready = all(said == "ok" for said in checks.values())
    found = m.Ready(status="ready" if is_ready else "not ready", checks=checks)
    return _json(
        found, 200 if is_ready else 503, None if is_ready else {"retry-after": str(whole_seconds(5))}
    )


async def metrics(request: Request) -> Response:
    """Counters of runs, nodes, models and requests, in Prometheus's text format."""
    text, kind = await asyncio.to_thread(request.app.state.metrics.text)
    return Response(text, media_type=kind)


async def openapi(request: Request) -> Response:
    """This document."""
    return Response(request.app.state.document, media_type=JSON)
