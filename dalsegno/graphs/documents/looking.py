"""A reference, and what it leads to: keys of mappings and elements of lists, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dalsegno.errors import ReferenceNotFound, did_you_mean
from dalsegno.graphs.documents.kinds import described, element, kind_of, scalar, size
from dalsegno.graphs.documents.problems import FieldPath, field_text

ROOTS = ("input", "current", "previous", "result", "context")
"""What a reference begins with."""

OF_CONTEXT = ("results", "input", "workflow", "execution_id")
"""What `$context` has."""


@dataclass(frozen=True)
class Scope:
    """What references see: `$input`, `$current`, `$previous`, `$result`, and the results of steps by name."""

    input: Any = None
    current: Any = None
    previous: Any = None
    result: Any = None
    results: Mapping[str, Any] = field(default_factory=dict)
    workflow: str = ""
    execution_id: str | None = None

    def root(self, name: str) -> Any:
        """What a reference that is a root alone leads to."""
        if name == "context":
            results = self.results if type(self.results) is dict else dict(self.results)
            return {
                "results": results,
                "input": self.input,
                "workflow": self.workflow,
                "execution_id": self.execution_id,
            }
        return getattr(self, name)


@dataclass(frozen=True)
class Reference:
    """A reference as it is written: `root` is one of `ROOTS`, `path` the keys and numbers after it.

    `optional`: it may find nothing, and is null then. `where` leads to its text in the value it stands in, and `offset`
    is its first character there.
    """

    root: str
    path: FieldPath = ()
    optional: bool = False
    text: str = field(default="", compare=False)
    where: FieldPath = field(default=(), compare=False)
    offset: int = field(default=0, compare=False)

    @property
    def step(self) -> str | None:
        """The step whose result it is; None where it is no step's."""
        if self.root == "context" and len(self.path) > 1 and self.path[0] == "results":
            return str(self.path[1])
        return None

    @property
    def canonical(self) -> str:
        """Its text, without the dollar sign: ``context.results.check[0]?``."""
        return field_text((self.root, *self.path)) + ("?" if self.optional else "")

    def resolve(self, scope: Scope) -> Any:
        """What it leads to; null where it is optional and leads to nothing.

        Raises
        ------
        ReferenceNotFound
            There is nothing, and it is not optional.
        """
        try:
            return self.find(scope)
        except ReferenceNotFound:
            if self.optional:
                return None
            raise

    def find(self, scope: Scope) -> Any:
        """What it leads to, as if it were not optional.

        Raises
        ------
        ReferenceNotFound
            There is nothing.
        """
        value = scope.root(self.root)
        for place, part in enumerate(self.path):
            kind = kind_of(value)
            if isinstance(part, int):
                if kind == "array" and -size(value) <= part < size(value):
                    value = element(value, part)
                    continue
            elif kind == "object" and dict.__contains__(value, part):
                value = dict.__getitem__(value, part)
                continue
            raise self._not_found(value, place)
        return value

    def _not_found(self, value: Any, place: int) -> ReferenceNotFound:
        """Why there is nothing at that place of the path; what there is is named, and never shown."""
        part, kind = self.path[place], kind_of(value)
        way = f"`${field_text((self.root, *self.path[:place]))}`"
        known: tuple[str, ...] = ()
        if kind == "object":
            known = tuple(scalar(key) for key in dict.keys(value) if kind_of(key) == "string")
        if self.step is not None and place == 1:
            said = f"the step `{part}` has no result: it was skipped, or has not run{did_you_mean(str(part), known)}"
        elif isinstance(part, int) and kind == "array":
            said = f"{way} has {size(value)} element{'' if size(value) == 1 else 's'}, and no [{part}]"
        elif isinstance(part, str) and kind == "object":
            hint = did_you_mean(part, known)
            has = f" It has {listed(known)}." if known else " It is empty."
            said = f"{way} has no `{part}`{hint or '.'}{has if not hint else ''}"
        else:
            wanted = "elements" if isinstance(part, int) else "fields"
            plain = (
                " Functions answer plain data: dictionaries, lists, texts and numbers."
                if kind == "other"
                else ""
            )
            said = f"{way} is {described(value)}, which has no {wanted}.{plain}"
        said = said if said[-1] in ".?" else said + "."
        if "did you mean" not in said:
            optional = replace(self, optional=True).canonical
            said += f" Where it may be missing, write `${{{optional}}}`, which is null then."
        return ReferenceNotFound(
            f"`{self.text or '$' + self.canonical}` leads to nothing: {said}",
            reference=self.text or "$" + self.canonical,
            known=known,
        )


def listed(names: tuple[str, ...], *, dollar: bool = False) -> str:
    """Names in a sentence, the first ten of them."""
    shown = [f"`{'$' if dollar else ''}{short(name)}`" for name in names[:10]]
    if len(names) > 10:
        shown.append(f"{len(names) - 10} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def short(text: str) -> str:
    """The begin of a text."""
    return text if len(text) <= 60 else f"{text[:59]}…"
