"""Drive a headless Chromium over its DevTools protocol on two pipes, without network, driver or library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIETLY = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
_PATIENCE = 60.0  # seconds for one answer


class Browser:
    """One browser with one page. Runs between `with Browser() as browser:` and the end of the block.

    Attributes:
        complaints: the messages in the page's console, including policy violations.
        asked: every address that the page requested.
    """

    def __init__(self) -> None:
        """Start it."""
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="onramp-chromium-", ignore_cleanup_errors=True)
        self._number = 0
        self._session = ""
        self._rest = b""
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        self._process = subprocess.Popen(
            [str(FOUND), *_QUIETLY, f"--user-data-dir={self._profile.name}", "about:blank"],
            pass_fds=(3, 4),
            preexec_fn=lambda: _place(to_read, to_write),  # noqa: PLW1509  (it only moves descriptors)
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)

    def __enter__(self) -> Browser:  # noqa: PYI034  (typing.Self is newer than Python 3.10)
        """Open a page."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the browser."""
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def open(self, file: Path, width: int, height: int = 900) -> None:
        """Open a file at a width in CSS pixels."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self._ask("Page.navigate", url=file.resolve().as_uri())
        deadline = time.monotonic() + _PATIENCE
        ready = f'document.readyState === "complete" && location.href === {json.dumps(file.resolve().as_uri())}'
        while not self.run(ready):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{file} was not loaded")
            time.sleep(0.01)

    def media(self, kind: str = "screen", **features: str) -> None:
        """Emulate a medium: `media("print")`, `media(prefers_color_scheme="dark")`."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._ask("Emulation.setEmulatedMedia", media=kind, features=named)

    def run(self, script: str) -> Any:
        """Run a script in the page, and return its value. Wait for it if it is a promise."""
        done = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:1000])
        return done["result"].get("value")

    def picture(self, file: Path, height: int) -> None:
        """Write the top of the page as a PNG."""
        width = self.run("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        done = self._ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(done["data"]))

    def pages(self) -> int:
        """Print the page, and return the number of sheets."""
        done = base64.b64decode(self._ask("Page.printToPDF")["data"])
        return done.count(b"/Type /Page\n") or done.count(b"/Type/Page/") or done.count(b"/Type /Page")

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        content = memoryview(json.dumps(message).encode() + b"\0")
        while content:
            content = content[os.write(self._write, content) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        found = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            self.complaints.append(found["entry"]["text"])
        if event.get("method") == "Network.requestWillBeSent":
            self.asked.append(found["request"]["url"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], _PATIENCE)[0]:
                raise TimeoutError("Chromium does not answer")
            got = os.read(self._read, 1 << 16)
            if not got:
                raise ConnectionError("Chromium ended")
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


def _place(to_read: int, to_write: int) -> None:
    """Give the browser's ends of the pipes the descriptors that it expects: 3 and 4."""
    reads, writes = os.dup(to_read), os.dup(to_write)
    high = (os.dup2(reads, 63), os.dup2(writes, 64))
    os.dup2(high[0], 3)
    os.dup2(high[1], 4)
    os.set_inheritable(3, True)
    os.set_inheritable(4, True)
