"""The tables of a schema, as numbered migrations: LangGraph's for the checkpoints, and ours beside them.

Every process that opens a database comes here. One does the work, in one transaction under an advisory lock, and
the others find it done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.postgres.base import MIGRATIONS as LANGGRAPHS
from psycopg import sql

from dalsegno.checkpoints.postgres.failures import FENCED
from dalsegno.errors import DatabaseInvalid

if TYPE_CHECKING:
    from psycopg import Connection

    from dalsegno.checkpoints.postgres.address import Address

_LEDGER = (
    """CREATE TABLE runs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id text NOT NULL UNIQUE, thread_id text NOT NULL,
        workflow text NOT NULL, version text NOT NULL, fingerprint text NOT NULL, target text,
        status text NOT NULL,
        created_at double precision NOT NULL, started_at double precision NOT NULL,
        updated_at double precision NOT NULL, finished_at double precision,
        input_type text NOT NULL, input bytea NOT NULL,
        interrupts_type text, interrupts bytea,
        error text, supersteps bigint NOT NULL DEFAULT 0, usage text, resumes bigint NOT NULL DEFAULT 0,
        certificate text, shape text, code text, process text, cancel_by text)""",
    "CREATE INDEX runs_thread ON runs (thread_id, id)",
    """CREATE TABLE leases (
        thread_id text NOT NULL PRIMARY KEY, run_id text NOT NULL, token text NOT NULL,
        host text NOT NULL, boot text NOT NULL, namespace text NOT NULL,
        pid bigint NOT NULL, started text NOT NULL,
        since double precision NOT NULL, expires_at double precision NOT NULL, owner text)""",
    """CREATE TABLE claims (
        thread_id text NOT NULL PRIMARY KEY, owner text NOT NULL, begun double precision NOT NULL,
        attempt bigint NOT NULL)""",
    """CREATE TABLE effects (
        key text NOT NULL, name text NOT NULL, run_id text NOT NULL, thread_id text NOT NULL,
        type text NOT NULL, value bytea NOT NULL, recorded_at double precision NOT NULL,
        PRIMARY KEY (key, name))""",
    "CREATE INDEX effects_thread ON effects (thread_id)",
    """CREATE TABLE executions (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id text NOT NULL, superstep bigint NOT NULL, node text NOT NULL,
        occurrence text NOT NULL, idx bigint, attempt bigint NOT NULL, status text NOT NULL,
        started_at double precision NOT NULL, seconds double precision NOT NULL, targets text NOT NULL,
        error text)""",
    "CREATE INDEX executions_run ON executions (run_id, id)",
)

# Who may write to a thread: in the writer's own transaction, and nobody takes the thread over before its end. A write
# under a lease must be the present one's; a write under none must not come between those of a run of another process.
_GUARD = (
    f"""CREATE FUNCTION guard(thread text, lease text, mine text[]) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE held text;
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/' || thread, 0));
        SELECT l.token INTO held FROM leases l WHERE l.thread_id = thread;
        IF lease IS NOT NULL AND held IS DISTINCT FROM lease
            OR lease IS NULL AND held IS NOT NULL AND NOT held = ANY (mine) THEN
            RAISE EXCEPTION 'thread % is another one''s', thread USING ERRCODE = '{FENCED}';
        END IF;
    END $$""",
)

_REQUESTS = (
    """CREATE TABLE requests (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id text NOT NULL UNIQUE, thread_id text NOT NULL, workflow text NOT NULL,
        service text NOT NULL, client text NOT NULL, key text, digest text NOT NULL,
        due double precision, stamp bigint NOT NULL DEFAULT 0, deaths bigint NOT NULL DEFAULT 0,
        context_type text, context bytea, wanted_type text, wanted bytea, problem text)""",
    "CREATE UNIQUE INDEX requests_key ON requests (service, client, key) WHERE key IS NOT NULL",
    "CREATE INDEX requests_due ON requests (service, due) WHERE due IS NOT NULL",
    "CREATE INDEX requests_thread ON requests (thread_id)",
)

_BREAKERS = (
    "CREATE TABLE breakers (key text NOT NULL PRIMARY KEY, opened_at double precision, "
    "changed_at double precision NOT NULL)",
)

# When the last calls under the name of a rate limit began, as JSON: what only a server's processes share.
_TURNS = ("CREATE TABLE turns (name text NOT NULL PRIMARY KEY, begun text NOT NULL)",)

_RESUMED = ("ALTER TABLE runs ADD COLUMN resumed text",)

_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("0001_ledger", _LEDGER),
    ("0002_guard", _GUARD),
    ("0003_requests", _REQUESTS),
    ("0004_breakers", _BREAKERS),
    ("0005_turns", _TURNS),
    ("0006_resumed", _RESUMED),
)

VERSION = len(_STEPS)
"""The number of the last migration that this release knows."""

_VERSIONS = (
    "SELECT to_regclass('dalsegno_migrations') IS NOT NULL, to_regclass('checkpoint_migrations') IS NOT NULL, "
    "current_setting('server_encoding'), current_setting('server_version_num')::int"
)
_OLDEST = 130_000


def prepare(connection: Connection[Any], address: Address) -> None:
    """Make the schema hold the tables of this version; the connection is in no transaction, and led to the schema.

    Raises
    ------
    DatabaseInvalid
        The schema comes from a newer version; the server is older than PostgreSQL 13, or keeps no UTF-8.
    """
    if _versions(connection, address) == (VERSION, len(LANGGRAPHS)):
        return
    with connection.transaction():
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('dalsegno ' || %s, 1))", (address.schema,)
        )
        # Asked first: IF NOT EXISTS takes the right to make a schema also where there is one.
        if connection.execute("SELECT to_regnamespace(%s)", (address.schema,)).fetchone() == (None,):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
        ours, langgraphs = _versions(connection, address)
        for number, statement in enumerate(LANGGRAPHS):
            if number >= langgraphs:
                # CONCURRENTLY is for tables in use, cannot be undone half way, and waits for whoever waits for us.
                connection.execute(statement.replace("CONCURRENTLY", ""))
                connection.execute("INSERT INTO checkpoint_migrations (v) VALUES (%s)", (number,))
        if not ours:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS dalsegno_migrations (number integer PRIMARY KEY, name text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for number, (name, statements) in enumerate(_STEPS, 1):
            if number > ours:
                for statement in statements:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO dalsegno_migrations (number, name) VALUES (%s, %s)", (number, name)
                )


def _versions(connection: Connection[Any], address: Address) -> tuple[int, int]:
    """How many migrations of ours, and of LangGraph's, the schema has seen."""
    found = connection.execute(_VERSIONS).fetchone()
    assert found is not None
    has_ours, has_langgraphs, encoding, server = found
    if encoding != "UTF8" or server < _OLDEST:
        what = f"keeps its texts in {encoding}" if encoding != "UTF8" else f"is of version {server // 10_000}"
        raise DatabaseInvalid(
            f"`{address.shown}` {what}; a database in UTF8 on PostgreSQL 13 or later is needed.",
            path=address.shown,
        )
    ours = langgraphs = 0
    if has_ours:
        (ours,) = connection.execute(
            "SELECT coalesce(max(number), 0) FROM dalsegno_migrations"
        ).fetchone() or (0,)
    if has_langgraphs:
        # Numbered from 0.
        (langgraphs,) = connection.execute(
            "SELECT coalesce(max(v), -1) + 1 FROM checkpoint_migrations"
        ).fetchone() or (0,)
    if ours > VERSION or langgraphs > len(LANGGRAPHS):
        whose, what = (
            ("Dalsegno", "dalsegno") if ours > VERSION else ("LangGraph's", "langgraph-checkpoint-postgres")
        )
        raise DatabaseInvalid(
            f"`{address.shown}` was written by a newer {whose} (migration {max(ours, langgraphs)}). It was left as "
            f"it is: upgrade with `pip install -U {what}`, or name another schema (`?schema=…`).",
            path=address.shown,
        )
    return int(ours), int(langgraphs)
