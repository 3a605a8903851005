"""Headers of requests to agents: a credential is in the environment, and only its variable's name in the document."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Discriminator, SecretStr, StringConstraints, Tag

from dalsegno.errors import DefinitionError
from dalsegno.graphs.documents.policies import Part, by_kind

_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"}
)


class FromEnvironment(Part):
    """The value of an environment variable."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
    """The variable's name; it is read whenever the agent is asked."""
    prefix: str = ""
    """What stands before the value, such as `"Bearer "`."""


HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", max_length=100)]
HeaderGiven = Annotated[
    Annotated[str, Tag("(short)")] | Annotated[FromEnvironment, Tag("(options)")], Discriminator(by_kind)
]
Headers = dict[HeaderName, HeaderGiven]
"""A text that is no secret, or where it is read from, by the header's name."""


def sent(headers: Mapping[str, str | FromEnvironment]) -> dict[str, SecretStr]:
    """The headers as they are sent now.

    Raises
    ------
    DefinitionError
        A variable is not in the environment.
    """
    return {name: SecretStr(_value(name, given)) for name, given in headers.items()}


def _value(name: str, given: str | FromEnvironment) -> str:
    if isinstance(given, str):
        return given
    value = os.environ.get(given.env)
    if value is None:
        raise DefinitionError(
            f"The header `{name}` is read from the environment variable `{given.env}`, which is not set. Set it where "
            "the run goes on, and resume."
        )
    return f"{given.prefix}{value}"


def wrong_in(headers: Mapping[str, str | FromEnvironment]) -> Iterator[tuple[str, str]]:
    """The names of headers that cannot be sent, or should not stand there, and what is wrong with each."""
    from dalsegno.nodes.remote.asking import revealed  # a definition is read without what asks agents

    for name, given in headers.items():
        if isinstance(given, str) and name.lower() in _CREDENTIALS:
            yield (
                name,
                (
                    "A credential does not stand in a document. Put it into an environment variable, and name that: "
                    f"`{name}: {{env: …}}`."
                ),
            )
        elif isinstance(given, str) and "$" in given:
            yield (
                name,
                "No reference is read in a header, nor in the environment: `{env: NAME}` reads a variable.",
            )
        else:
            try:
                revealed({name: given if isinstance(given, str) else given.prefix})
            except DefinitionError as error:
                yield name, str(error).partition("}: ")[2].capitalize()
