"""A real headless Chromium, driven through the DevTools protocol on a pipe: no port, no driver, no network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LIMIT = 60.0
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--mute-audio", "--use-mock-keychain",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-pipe",
)  # fmt: skip

# Chromium reads its commands from descriptor 3 and answers on 4.
_BEGIN = """
import fcntl, os, sys
there, back = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])
os.dup2(there, 3)
os.dup2(back, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str | None:
    """Where the browser is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """The browser, or a script in it, failed."""


class Browser:
    """One browser process with one tab."""

    def __init__(self, executable: str, home: Path) -> None:
        there, self._write = os.pipe()
        self._read, back = os.pipe()
        command = [sys.executable, "-IS", "-c", _BEGIN, str(there), str(back), executable, *_FLAGS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={home}", "about:blank"],
            pass_fds=(there, back),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """Ends the process."""
        try:
            self._session = None
            self._call("Browser.close")
        except (BrowserError, OSError):
            self._process.kill()
        finally:
            os.close(self._write)
            os.close(self._read)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Opens a file, and waits until its scripts have run."""
        self.events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", media="", features=scheme)
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=path.absolute().as_uri())
        ready = "document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'"
        self.wait(f"location.href.startsWith('file:') && {ready}")

    def run(self, script: str) -> Any:
        """The value of an expression; what it throws is a `BrowserError`."""
        # The page's policy forbids `eval`, which the protocol's own evaluation is not.
        done = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return done["result"].get("value")

    def wait(self, script: str, limit: float = _LIMIT) -> Any:
        """Polls until an expression is true."""
        until = time.monotonic() + limit
        while True:
            try:
                found = self.run(script)
            except BrowserError as error:  # the page is on its way to another
                found, why = None, str(error)
            else:
                why = repr(found)
            if found:
                return found
            if time.monotonic() > until:
                raise BrowserError(f"not true within {limit} s: {script} ({why})")
            select.select([], [], [], 0.02)

    def press(self, key: str) -> None:
        """A key of the keyboard: ``ArrowDown``, ``Enter``, ``a``."""
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        name = " " if key == "Space" else key
        for kind in ("keyDown", "keyUp"):
            told = {"text": text} if text and kind == "keyDown" else {}
            self._call("Input.dispatchKeyEvent", type=kind, key=name, code=key, **told)

    def type(self, text: str) -> None:
        """A text, into what has the focus."""
        self._call("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """An event of the mouse: ``mouseMoved``, ``mousePressed``, ``mouseReleased``, ``mouseWheel``."""
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of an element."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, in pixels."""
        box = self.run(f"(({_BOX})(document.querySelector({json.dumps(selector)})))")
        return box[0], box[1]

    def print_as(self, media: str) -> None:
        """Shows the page as on that medium: ``print``, ``screen``."""
        self._call("Emulation.setEmulatedMedia", media=media, features=[])

    def pdf(self) -> bytes:
        """The page as it would be printed."""
        return base64.b64decode(self._call("Page.printToPDF", printBackground=True)["data"])

    def screenshot(self) -> bytes:
        """What is to be seen, as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """Errors of scripts, refusals of the content policy, and requests to anything but a file."""
        found = []
        for event in self.events:
            given = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(given["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                found.append(given["entry"]["text"])
            elif event["method"] == "Network.requestWillBeSent":
                url = given["request"]["url"]
                if not url.startswith(("file:", "about:", "data:")):
                    found.append(f"asked for {url}")
        return found

    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + _LIMIT
        while True:
            heard = self._hear(until - time.monotonic(), method)
            if heard.get("id") != self._last:
                self.events.append(heard)
                continue
            if "error" in heard:
                raise BrowserError(f"{method}: {heard['error']['message']}")
            result: dict[str, Any] = heard["result"]
            return result

    def _hear(self, limit: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if limit <= 0 or not select.select([self._read], [], [], limit)[0]:
                raise BrowserError(f"{method}: no answer within {_LIMIT} s")
            heard = os.read(self._read, 1 << 16)
            if not heard:
                raise BrowserError(f"{method}: the browser has ended")
            self._buffer += heard
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


_BOX = "e => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }"
