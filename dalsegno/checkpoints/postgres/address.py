"""The URL of a PostgreSQL database, as libpq takes it and as people are shown it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

import psycopg

from dalsegno.checkpoints.opening import without_password
from dalsegno.errors import CheckpointError

SCHEMA = "dalsegno"
"""Where the tables are, unless the URL says ``?schema=…``."""

_PARAMETER = "schema="
_HIDDEN = re.compile(r': "(?![a-z_]+")[^"]*"')
"""What libpq repeats of a URL that it cannot read, but for the name of a parameter: a part of the password, mostly."""
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Address:
    """A database on a server.

    `conninfo` is the part of its URL that libpq takes, `shown` is the URL without a password.
    """

    conninfo: str
    shown: str
    schema: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Take a URL apart.

        Raises
        ------
        CheckpointError
            It cannot be taken apart, or its schema is no plain name, or the server's own.
        """
        base, _, query = url.partition("?")
        scheme, colon, place = base.partition(":")
        base = scheme.lower() + colon + place  # libpq knows it in small letters only
        parts = query.split("&") if query else []
        schema = next(
            (unquote(one[len(_PARAMETER) :]) for one in parts if one.startswith(_PARAMETER)), SCHEMA
        )
        if not _NAME.fullmatch(schema):
            raise CheckpointError(
                f"schema={schema!r} is no name of a schema: small letters, digits and _, as in schema=dalsegno.",
                path=without_password(url),
            )
        if schema == "information_schema" or schema.startswith("pg_"):
            raise CheckpointError(
                f"schema={schema!r} is the server's own: a dump of the database leaves out what is in it. Choose "
                "another name, as in schema=dalsegno.",
                path=without_password(url),
            )
        for_libpq = "&".join(one for one in parts if not one.startswith(_PARAMETER))
        conninfo = f"{base}?{for_libpq}" if for_libpq else base
        try:
            port = psycopg.conninfo.conninfo_to_dict(conninfo).get("port", "")
        except psycopg.ProgrammingError as error:
            raise _unreadable(url, _HIDDEN.sub("", " ".join(str(error).split()))) from None
        if not all(one == "" or (one.isdecimal() and int(one) < 65536) for one in str(port).split(",")):
            raise _unreadable(url, "there is no such port")
        return cls(conninfo=conninfo, shown=without_password(url), schema=schema)


def _unreadable(url: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"`{without_password(url)}` cannot be read ({why}). It is postgresql://user:password@host:5432/database, with "
        "special characters of the password written as %40 and so on.",
        path=without_password(url),
    )
