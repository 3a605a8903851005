"""The URL of a PostgreSQL database, as libpq takes it and as people are shown it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from dalsegno.errors import CheckpointError

SCHEMA = "dalsegno"
"""Where the tables are, unless the URL says ``?schema=…``."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Address:
    """A database on a server.

    `url` is what was given, `conninfo` the part of it that libpq takes, `shown` the same without a password.
    """

    url: str
    conninfo: str
    shown: str
    schema: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Take a URL apart.

        Raises
        ------
        CheckpointError
            It cannot be taken apart, or its schema is no plain name.
        """
        try:
            parts = urlsplit(url)
            port, user, host = parts.port, parts.username, parts.hostname
        except ValueError as error:
            raise CheckpointError(
                f"The database's URL cannot be read ({error}): postgresql://user:password@host:5432/database, with "
                "special characters of the password written as %40 and so on.",
                path="postgresql://",
            ) from None
        query = parse_qsl(parts.query, keep_blank_values=True)
        schema = dict(query).get("schema", SCHEMA)
        if not _NAME.fullmatch(schema):
            raise CheckpointError(
                f"schema={schema!r} is no name of a schema: small letters, digits and _, as in schema=dalsegno.",
                path="postgresql://",
            )
        for_libpq = [(key, value) for key, value in query if key != "schema"]
        for_people = [(key, value) for key, value in query if key not in ("password", "sslpassword")]
        place = f"{quote(user)}@" if user else ""
        place += (f"[{host}]" if ":" in (host or "") else host or "") + (f":{port}" if port else "")
        return cls(
            url=url,
            conninfo=urlunsplit(parts._replace(query=urlencode(for_libpq, quote_via=quote))),
            shown=urlunsplit(
                parts._replace(netloc=place, query=urlencode(for_people, safe="/", quote_via=quote))
            ),
            schema=schema,
        )
