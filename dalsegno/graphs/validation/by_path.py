"""How often each node runs at most, by its path, also inside of subworkflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property


class ByPath(Mapping[str, int]):
    """Counts by path (``"sub/write"``), multiplied where they are asked for: a subworkflow that stands twice at each
    of 20 levels has a million paths.

    `own` are the counts of a workflow's own nodes, `inner` those within its subworkflows, once they are entered.
    """

    def __init__(self, own: Mapping[str, int], inner: Mapping[str, Mapping[str, int]]) -> None:
        self.own = dict(own)
        self.inner = dict(inner)

    def __getitem__(self, path: str) -> int:
        if path in self.own:
            return self.own[path]
        for name, counts in self.inner.items():
            if path.startswith(f"{name}/") and (rest := path[len(name) + 1 :]) in counts:
                return self.own[name] * counts[rest]
        raise KeyError(path)

    def __iter__(self) -> Iterator[str]:
        for name in self.own:
            yield name
            for path in self.inner.get(name, ()):
                yield f"{name}/{path}"

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _length(self) -> int:
        return len(self.own) + sum(map(len, self.inner.values()))

    def __repr__(self) -> str:
        return f"ByPath({self.own!r}, {self.inner!r})"
