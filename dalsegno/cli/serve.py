"""`dalsegno serve`: workflows over HTTP."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, FAILED, STOPPED, UsageError, reporting
from dalsegno.errors import WorkflowInvalid
from dalsegno.observe.extras import wanted

if TYPE_CHECKING:
    from dalsegno.service.settings import Settings
    from dalsegno.service.tokens import Tokens


@reporting
def command(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET…", help="path/to/file.py:name, package.module:name or file.yaml; one or more."
        ),
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=65535, help="The port to listen on; 0 takes any that is free."),
    ] = 8742,
    db: options.Db = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The clients' tokens, one NAME=TOKEN a line. DALSEGNO_TOKENS adds more."
        ),
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Serve other machines without tokens. Everybody may do everything."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Without tokens: a host name that clients may use. Repeatable."),
    ] = None,
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", help="Serve /metrics without a token.")
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The name of the service. Processes of one name share the work of a database.",
        ),
    ] = "default",
    runs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs in progress at once. More have to wait.")
    ] = 8,
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs that may wait. More are answered 503.")
    ] = 1000,
    client_runs: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Runs of one client, waiting or in progress. More are answered 429."
        ),
    ] = 100,
    rate: Annotated[
        float, typer.Option(metavar="N", min=0.1, help="Requests that one client may make in a second.")
    ] = 50.0,
    streams: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs that one client may watch at once.")
    ] = 20,
    deaths: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="How often in a row its process may die before a run is not resumed."
        ),
    ] = 5,
    patience: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="How long a client may take to send its request."),
    ] = 10.0,
    body: Annotated[
        int, typer.Option(metavar="BYTES", min=1, help="The largest body of a request.")
    ] = 1_000_000,
    grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="How long supersteps may take to end after SIGTERM."),
    ] = 25.0,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> int:
    """Serve workflows over HTTP: start, resume, cancel and watch runs.

    A run is in the database before it is accepted. After SIGTERM, the supersteps in flight may end. Runs that were
    stopped so, or left by a crash, go on at the next start. /openapi.json describes every route.

    Exit: 0 every run was stopped at a mark, 143 some were given up in a superstep (they go on at the next start
    too), 1 a workflow has errors, 2 it cannot be served.
    """
    from dalsegno.cli.loading import load
    from dalsegno.cli.screen import Screen

    screen = Screen(sys.stderr)
    tokens = _tokens(token_file)
    for module in ("starlette", "sse_starlette", "uvicorn"):
        wanted(module, by="`dalsegno serve`", extra="serve")
    from dalsegno.service.server import is_loopback, listen, serve

    if not tokens and not is_loopback(host) and not no_token:
        raise UsageError(
            f"--host {host}: other machines reach it, and there is no token, so everybody could run your workflows. "
            "Give --token-file or DALSEGNO_TOKENS; --no-token if that is meant."
        )
    settings = _settings(
        name=name, runs=runs, queue=queue, client_runs=client_runs, rate=rate, burst=max(int(2 * rate), 1), body=body,
        grace=grace, streams=streams, patience=patience, deaths=deaths,
    )  # fmt: skip
    loaded = [load(target) for target in targets]
    from dalsegno.service import Service, asgi
    from dalsegno.service.metrics import Metrics
    from dalsegno.service.pages import Pages

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.ERROR if quiet else logging.WARNING,
        format="%(levelname)s %(message)s",
    )
    logging.getLogger("asyncio").setLevel(
        logging.ERROR
    )  # else each event to a client that has gone is a line
    # Else each attempt to reach a server that is away is two; /ready says so, and what cannot wait is logged by us.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    metrics = Metrics()
    with listen(host, port) as at:
        try:
            service = Service(loaded, _database(db), settings, on_event=(metrics,))
        except WorkflowInvalid as error:
            from dalsegno.cli.reports import print_report

            print_report(screen, error.report)
            return FAILED
        pages = Pages(service)
        hosts = {"localhost", "127.0.0.1", "::1", host, *(allow_host or ())}
        app = asgi(
            service, tokens=tokens, hosts=hosts, metrics=metrics, pages=pages, open_metrics=open_metrics
        )

        def started(address: str) -> None:
            if not quiet:
                names = ", ".join(service.runners)
                screen.line(f"serving {names} at {address}, for {_whose(tokens)}")

        def stopping() -> None:
            active = service.dispatcher.active
            ends = "run ends its superstep" if active == 1 else "runs end their superstep"
            if not quiet:
                with contextlib.suppress(OSError):  # who read it may be gone
                    screen.line(f"stopping: {active} {ends}; again to stop at once")

        if serve(service, app, pages, at, started=started, stopping=stopping):
            return COMPLETED
    with contextlib.suppress(OSError):
        screen.line("stopped; what had not ended its superstep is done again at the next start")
        sys.stderr.flush()
    os._exit(STOPPED)  # its threads cannot be stopped


def _tokens(file: Path | None) -> Tokens:
    from dalsegno.service.tokens import Tokens, read_tokens

    text = ""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(f"--token-file {file}: it cannot be read: {why}.") from None
    found = Tokens(read_tokens(text, os.environ, f"--token-file {file}"))
    os.environ.pop("DALSEGNO_TOKENS", None)  # not for the programs that nodes start
    if file is not None and not found:
        raise UsageError(f"--token-file {file}: there is no token in it. A line is NAME=TOKEN.")
    return found


def _settings(**given: Any) -> Settings:
    from dalsegno.service.settings import Settings

    return Settings(**given)


def _database(db: str | None) -> str:
    return str(options.database(db))


def _whose(tokens: Tokens) -> str:
    return "those who have a token" if tokens else "everybody who reaches it"
