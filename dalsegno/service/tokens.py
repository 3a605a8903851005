"""Bearer tokens: whose they are, compared in a time that tells nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from dalsegno.errors import DefinitionError

SHORTEST = 16
"""Characters of a token, at least: a shorter one can be guessed."""


class Tokens:
    """The tokens that are accepted, and the clients whose they are. They are kept as hashes only.

    Parameters
    ----------
    lines
        One token each, ``NAME=TOKEN`` or a token alone; empty lines and those that begin with ``#`` are left out.
        Several tokens may have one name, so that a token can be replaced without a pause. In a mapping the keys say
        where each line is.

    Raises
    ------
    DefinitionError
        A token is too short, or holds what no HTTP header can, or its name is none. The message says which line it is,
        and does not repeat it.

    Example
    -------
    >>> tokens = Tokens(["ci=0123456789abcdef"])
    >>> tokens.client("Bearer 0123456789abcdef"), tokens.client("Bearer wrong")
    ('ci', None)
    """

    def __init__(self, lines: Iterable[str] | Mapping[str, str] = ()) -> None:
        self._clients: dict[bytes, str] = {}
        placed = (
            lines if isinstance(lines, Mapping) else {f"Line {n}": line for n, line in enumerate(lines, 1)}
        )
        for place, line in placed.items():
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, _, token = text.partition("=")
            is_alone = not token.strip("= ")  # after it there may be the padding of base64
            name, token = ("", text) if is_alone else (name.strip(), token.strip())
            if not (is_alone or _is_name(name)) or not _is_token(token):
                raise DefinitionError(
                    f"{place}: this is no token. A line is NAME=TOKEN; the name has letters, digits, `-` and `_`, the "
                    f"token {SHORTEST} or more printable ASCII characters and no space. "
                    "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one."
                )
            hashed = _hashed(token)
            self._clients[hashed] = name or f"token-{hashed.hex()[:8]}"

    def __bool__(self) -> bool:
        return bool(self._clients)

    def __repr__(self) -> str:
        return f"Tokens({len(self._clients)})"

    def client(self, authorization: str | None, *, basic: bool = False) -> str | None:
        """Whose token a header carries; None for none, a wrong one or another scheme.

        With `basic` it may be the password of HTTP Basic, which is what a browser asks for and sends.
        """
        scheme, _, given = (authorization or "").partition(" ")
        token = given.strip()
        if basic and scheme.lower() == "basic":
            try:
                token = base64.b64decode(token, validate=True).decode("latin-1").partition(":")[2]
            except (binascii.Error, ValueError):
                token = ""
        elif scheme.lower() != "bearer":
            token = ""
        hashed, found = _hashed(token), None
        for known, client in self._clients.items():  # each is compared, whichever it is
            if hmac.compare_digest(known, hashed):
                found = client
        return found


def read_tokens(text: str, environment: Mapping[str, str], file: str = "the token file") -> Mapping[str, str]:
    """The lines of a token file's text and of ``DALSEGNO_TOKENS`` (separated by commas or lines), by where they are."""
    others = environment.get("DALSEGNO_TOKENS", "").replace(",", "\n")
    return {
        **{f"{file}, line {number}": line for number, line in enumerate(text.splitlines(), 1)},
        **{f"DALSEGNO_TOKENS, token {number}": line for number, line in enumerate(others.splitlines(), 1)},
    }


def _is_name(name: str) -> bool:
    return name.replace("-", "").replace("_", "").isalnum()


def _is_token(token: str) -> bool:
    return len(token) >= SHORTEST and token.isascii() and token.isprintable() and " " not in token


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
