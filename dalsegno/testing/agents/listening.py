"""What processes print: read as it comes, the last lines kept."""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable

LINES = 40
"""Lines of a process that are kept."""
_LONGEST = 4096


class Output:
    """What one process printed last. `whole` once everything has come."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.last: deque[str] = deque(maxlen=LINES)
        self.whole = threading.Event()
        self._on_line = on_line
        self._rest = b""

    def take(self, data: bytes) -> None:
        """More of it; nothing is its end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > _LONGEST):
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            text = line[:_LONGEST].decode("utf-8", "replace").rstrip()
            self.last.append(text)
            self._on_line(text)
        if not data:
            self.whole.set()


class Listener:
    """One thread that reads the pipes of many processes."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waking, self._wake = os.pipe()
        self._selector.register(self._waking, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read, name="output of agents", daemon=True)
        self._thread.start()

    def listen(self, pipe: int, output: Output) -> None:
        """Read this end of a pipe until it ends; it is closed then."""
        self._selector.register(pipe, selectors.EVENT_READ, output)
        os.write(self._wake, b"+")

    def close(self) -> None:
        """Stop reading; what has not come yet is lost."""
        os.write(self._wake, b"-")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                self._end(key.fd, key.data)
        self._selector.close()
        os.close(self._waking)
        os.close(self._wake)

    def _read(self) -> None:
        while True:
            for key, _ in self._selector.select():
                data = os.read(key.fd, 65536)
                if key.data is None:
                    if b"-" in data:
                        return
                elif data:
                    key.data.take(data)
                else:
                    self._end(key.fd, key.data)

    def _end(self, pipe: int, output: Output) -> None:
        self._selector.unregister(pipe)
        os.close(pipe)
        output.take(b"")
