"""The folder of one run at a time: its disk, and beside it what the kit notes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

from dalsegno.testing.crash_kit.disk import Deed, Disk, Image
from dalsegno.testing.crash_kit.kills import Kill
from dalsegno.testing.crash_kit.watching import Watch


class Place:
    """The folder of a run: its database, its notes, what it printed. Gone afterwards."""

    def __init__(self, folder: Path) -> None:
        # Whoever watches what is done to files hears of them by their real names.
        self.folder = folder = folder.resolve()
        self.database = folder / "disk" / "runs.db"
        self.log = folder / "notes"
        self.output = folder / "printed"
        self._known = b""

    def printed(self, lines: int = 20) -> str:
        """The last lines that the processes printed."""
        if not self.output.exists():
            return ""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    def watch(self, kill: Kill | None, *, record: bool = False) -> Watch:
        """A watch over a process that runs here."""
        return Watch(kill, self.log, self.output, record=record)

    def after_power_cut(self, kill: Kill, deeds: Sequence[Deed], image: Image) -> Image:
        """Put here what `kill` may leave of a process that did all that on a disk with `image` on it; gives that.

        What it noted by then stays: whoever was told of a commit knows of it, power or not.
        """
        disk = Disk(str(self.folder), image)
        notes = self._known
        for deed in deeds:
            number = kill.write or 0
            if deed.number > number or (deed.number == number and kill.side == "halfway"):
                if deed.number == number and deed.what != "sync":
                    disk.do(deed)  # it may have got so far, or not: nobody knows without a sync
                break
            if deed.what == "note":
                notes += deed.data
            else:
                disk.do(deed)
        self._known = notes
        left = disk.cut(Random(kill.draw))
        self.put(left)
        self.log.write_bytes(notes)
        return left

    def put(self, image: Image) -> None:
        """Have just that stand here."""
        shutil.rmtree(self.database.parent, ignore_errors=True)
        for path, content in image.items():
            if content is None:
                os.makedirs(path, exist_ok=True)
            elif not path.endswith("-shm"):  # memory that processes share: it does not outlive the machine
                Path(path).write_bytes(content)

    def __enter__(self) -> Place:
        self.folder.mkdir(exist_ok=True)
        self._known = b""
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
