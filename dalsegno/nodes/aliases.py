"""What aliases of types stand for: ``type Route = Literal["a", "b"]``, or `TypeAliasType` before Python 3.12; and types
without what only qualifies a key.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin


def is_alias(annotation: Any) -> bool:
    """Whether it is an alias of a type, or one with its parameters filled in."""
    # Two classes go by that name: that of `typing` and, for older Pythons, that of `typing_extensions`.
    return type(get_origin(annotation) or annotation).__name__ == "TypeAliasType"


def meant(annotation: Any) -> Any:
    """What an alias stands for; anything else as it is, and so is an alias with a name that cannot be resolved.

    >>> import typing, typing_extensions
    >>> meant(typing_extensions.TypeAliasType("Route", typing.Literal["a", "b"]))
    typing.Literal['a', 'b']
    """
    opened: list[Any] = []
    while is_alias(annotation) and not any(annotation is one for one in opened):
        opened.append(annotation)
        try:
            annotation = _value(annotation)
        except (NameError, AttributeError):
            break
    return annotation


def qualifier(annotation: Any) -> str | None:
    """What only says something of a key, at the outside of its type: `Required`, `NotRequired` or `ReadOnly`."""
    name = getattr(get_origin(annotation), "_name", None)
    return name if name in ("Required", "NotRequired", "ReadOnly") else None


def unqualified(annotation: Any) -> Any:
    """The type of a key without what is said of the key: `Required`, `NotRequired`, `ReadOnly`.

    >>> import typing
    >>> unqualified(typing.Required[int])
    <class 'int'>
    """
    while qualifier(annotation) is not None:
        annotation = get_args(annotation)[0]
    return annotation


def _value(alias: Any) -> Any:
    origin = get_origin(alias)
    if origin is None:
        return alias.__value__
    given = dict(zip(origin.__type_params__, get_args(alias), strict=False))
    value = origin.__value__
    wanted = getattr(value, "__parameters__", ())
    if not wanted:
        return given.get(value, value) if value in origin.__type_params__ else value
    return value[tuple(given.get(each, each) for each in wanted)]
