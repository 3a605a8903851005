"""A disk that forgets: what may stand in files after a power cut, given what a process did to them.

A file system promises little without `fsync`: what was written since may be there or not, in any order, sector
by sector; so may a new length. A file's name is an entry of its folder, and lasts when the folder was synced
(https://www.sqlite.org/atomiccommit.html, Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
What was not being written is not harmed, as SQLite assumes too (https://www.sqlite.org/psow.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from random import Random
from typing import Literal

SECTORS = (512, 4096)


@dataclass(frozen=True)
class Deed:
    """One thing that a process did to a file; `number` is that of the write, 0 for what counts as none.

    ``"write"`` has `data` and `offset`, ``"length"`` has `size`, ``"note"`` has `data`: it is kept outside of
    the disk, by somebody who looks on.
    """

    what: Literal["write", "sync", "length", "make", "remove", "folder", "note"]
    path: str = ""
    number: int = 0
    offset: int = 0
    data: bytes = b""
    size: int = 0


Image = Mapping[str, bytes | None]
"""What stands on a disk: files with what is in them, and folders (None)."""


@dataclass
class _File:
    kept: bytes = b""
    since: list[tuple[int, bytes] | int] = field(default_factory=list)

    def sync(self) -> None:
        self.kept, self.since = self._with(self.since), []

    def _with(self, changes: Iterable[tuple[int, bytes] | int]) -> bytes:
        content = bytearray(self.kept)
        for change in changes:
            _apply(content, change)
        return bytes(content)

    def torn(self, random: Random) -> bytes:
        """What may be in it after a cut."""
        if not self.since:
            return self.kept
        sector = random.choice(SECTORS)
        content = bytearray(self.kept)
        in_order = random.random() < 0.3
        last = random.randrange(len(self.since) + 1) if in_order else len(self.since)
        chance = 1.0 if in_order else random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for number, change in enumerate(self.since[: last + 1]):
            if isinstance(change, int):
                if random.random() < chance:
                    _apply(content, change)
                continue
            tear = number == last or random.random() < 0.3
            whole = random.random() < chance
            for part in _sectors(change, sector):
                if random.random() < 0.5 if tear else whole:
                    _apply(content, part)
                elif tear and random.random() < 0.1:  # the sector that was under the head
                    _apply(content, (part[0], random.randbytes(len(part[1]))))
            end = change[0] + len(change[1])
            if len(content) < end and random.random() < 0.3:  # the new length is there, the bytes are not
                _apply(content, end)
        return bytes(content)


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    offset, data = change
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _sectors(change: tuple[int, bytes], size: int) -> Iterable[tuple[int, bytes]]:
    offset, data = change
    start = 0
    while start < len(data):
        end = min(len(data), start + size - (offset + start) % size)
        yield offset + start, data[start:end]
        start = end


@dataclass
class _Folder:
    kept: dict[str, _File | _Folder] = field(default_factory=dict)
    since: list[tuple[str, _File | _Folder | None]] = field(default_factory=list)

    def now(self) -> dict[str, _File | _Folder]:
        entries = dict(self.kept)
        for name, entry in self.since:
            _enter(entries, name, entry)
        return entries

    def sync(self) -> None:
        self.kept, self.since = self.now(), []

    def torn(self, random: Random) -> dict[str, _File | _Folder]:
        entries = dict(self.kept)
        for name in dict.fromkeys(name for name, _ in self.since):
            changes = [entry for changed, entry in self.since if changed == name]
            so_far = random.randrange(len(changes) + 1)
            if so_far:
                _enter(entries, name, changes[so_far - 1])
        return entries


def _enter(entries: dict[str, _File | _Folder], name: str, entry: _File | _Folder | None) -> None:
    if entry is None:
        entries.pop(name, None)
    else:
        entries[name] = entry


def path_on(root: str, path: str) -> bool:
    """Whether that path is the folder `root`, or below it."""
    return path == root or path.startswith(root + os.sep)


class Disk:
    """The files below one folder, which is there for good: what is kept of them, and what was done since.

    `image` is what stands there to begin with, all of it kept.
    """

    def __init__(self, root: str, image: Image) -> None:
        self._root = root
        self._top = _Folder()
        for path in sorted(image):
            content = image[path]
            folder, name = self._place(path)
            folder.kept[name] = _Folder() if content is None else _File(content)

    def do(self, deed: Deed) -> None:
        """Do something to a file. What lies elsewhere is left alone."""
        if not path_on(self._root, deed.path):
            return
        if deed.what == "sync":
            found = self._top if deed.path == self._root else self._find(deed.path)
            if found is not None:
                found.sync()
            return
        folder, name = self._place(deed.path)
        match deed.what:
            case "make":
                folder.since.append((name, _File()))
            case "folder":
                folder.since.append((name, _Folder()))
            case "remove":
                folder.since.append((name, None))
            case "write" | "length":
                file = folder.now().get(name)
                if isinstance(file, _File):
                    file.since.append(deed.size if deed.what == "length" else (deed.offset, deed.data))

    def cut(self, random: Random) -> dict[str, bytes | None]:
        """What may stand there when the power comes back."""
        found: dict[str, bytes | None] = {}
        _gather(found, self._root, self._top, random)
        return found

    def _find(self, path: str) -> _File | _Folder | None:
        folder, name = self._place(path)
        return folder.now().get(name)

    def _place(self, path: str) -> tuple[_Folder, str]:
        *folders, name = PurePath(path).relative_to(self._root).parts
        folder = self._top
        for part in folders:
            inner = folder.now().get(part)
            assert isinstance(inner, _Folder), path
            folder = inner
        return folder, name


def _gather(found: dict[str, bytes | None], path: str, folder: _Folder, random: Random) -> None:
    for name, entry in sorted(folder.torn(random).items(), key=lambda item: item[0]):
        inner = os.path.join(path, name)
        if isinstance(entry, _Folder):
            found[inner] = None
            _gather(found, inner, entry, random)
        else:
            found[inner] = entry.torn(random)
