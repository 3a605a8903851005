"""What the states of the patterns are made of: reducers, failures, scores, and how a user's own state is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import Field
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.declarations import schema_keys
from dalsegno.nodes.execution import masked_here
from dalsegno.nodes.policies.words import words_of

T = TypeVar("T")

Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A number from 0 to 1; NaN is none."""


class Failure(TypedDict):
    """What went wrong in a role that was allowed to fail: which one, the error's class, and what it said."""

    name: str
    error: str
    message: str


def failure(name: str, error: BaseException) -> Failure:
    """An error as it is kept in the state: in a run without the secrets in it.

    >>> failure("fetch", ValueError("no page"))
    {'name': 'fetch', 'error': 'ValueError', 'message': 'no page'}
    """
    return {"name": name, "error": type(error).__name__, "message": masked_here(words_of(error))}


def merged(old: Mapping[str, T] | None, new: Mapping[str, T] | None) -> dict[str, T]:
    """A reducer for mappings: both, the newer value where a key is in both.

    >>> merged({"a": 1}, {"b": 2})
    {'a': 1, 'b': 2}
    """
    return {**(old or {}), **(new or {})}


def read(state: Any, key: str, default: Any = None) -> Any:
    """A key of a state, which is a mapping or an object; `default` where it is not there.

    An object has all its keys: one that nobody has written yet is None.

    >>> read({"n": 1}, "n"), read({}, "n", 0)
    (1, 0)
    """
    if isinstance(state, Mapping):
        return state.get(key, default)
    value = getattr(state, key, None)
    return default if value is None else value


def check_state(pattern: str, given: Any, base: Any) -> None:
    """Refuse a state that lacks what the pattern keeps in it.

    Raises
    ------
    DefinitionError
        It is no schema, lacks a key of `base`, or has one without the reducer that the pattern counts on.
    """
    if given is base:
        return
    keys, wanted = schema_keys(given), schema_keys(base) or {}
    if keys is None:
        raise DefinitionError(
            f"{pattern}(state={given!r}): a TypedDict, a dataclass or a pydantic class with the keys of "
            f"`{base.__name__}` is needed. Extend it: class Mine({base.__name__}): ..."
        )
    for key, hint in wanted.items():
        if key not in keys:
            raise DefinitionError(
                f"{pattern}(state={given.__name__}): `{key}` is missing{did_you_mean(key, keys) or '.'} The pattern "
                f"keeps it in the state; extend `{base.__name__}`, or add the key."
            )
        if reducer_of(hint) is not reducer_of(keys[key]):
            raise DefinitionError(
                f"{pattern}(state={given.__name__}): `{key}` needs the reducer of `{base.__name__}.{key}`, "
                f"for several nodes write it: {hint!r}."
            )


def reducer_of(hint: Any) -> Any:
    """The reducer of a key, from its annotation; None where the newest value counts."""
    while getattr(get_origin(hint), "_name", None) in ("Required", "NotRequired"):
        hint = get_args(hint)[0]
    return next((extra for extra in getattr(hint, "__metadata__", ()) if callable(extra)), None)
