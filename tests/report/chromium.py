"""A page as headless Chromium shows it, over the DevTools protocol by pipe: no driver and no port are needed.

https://chromedevtools.github.io/devtools-protocol/
"""

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

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60  # seconds for any one answer


class Chromium:
    """One tab of a browser of its own; `events` holds all that it reported."""

    def __init__(self):
        assert PROGRAM is not None
        self.events: list[dict[str, Any]] = []
        self._received, self._number = b"", 0
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # Chromium reads from 3 and writes to 4; by way of 8 and 9, for either pipe may itself be 3 or 4.
        command = 'exec 8<&"$0" 9>&"$1"; shift; exec 3<&8 4>&9; exec "$@"'
        arguments = [PROGRAM, *OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, str(their_in), str(their_out), *arguments],
            pass_fds=(their_in, their_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        targets = self._ask("Target.getTargets")["targetInfos"]
        target = next(of["targetId"] for of in targets if of["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._out)
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._in)
        self._profile.cleanup()

    def open(self, page: Path, width: int, height: int = 900, reduced_motion: bool = False) -> None:
        """Load a page in a window of this size in CSS pixels, and wait until it has loaded."""
        self.events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else ""}
        self.ask("Emulation.setEmulatedMedia", features=[motion])
        self.ask("Page.navigate", url=page.resolve().as_uri())
        self._wait(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to the tab."""
        return self._ask(method, self._session, **parameters)

    @property
    def requests(self) -> list[str]:
        """Addresses asked for since the page was opened, its own among them; not what stands in the page itself."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [of["request"]["url"] for of in sent if not of["request"]["url"].startswith("data:")]

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console, of the browser about the page, and exceptions."""
        said = []
        for event in self.events:
            of = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                said.append(json.dumps(of["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and of["type"] in ("error", "warning", "assert"):
                said.append(json.dumps(of["args"]))
            elif event["method"] == "Log.entryAdded" and of["entry"]["level"] in ("error", "warning"):
                said.append(of["entry"]["text"])
        return said

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        number = self._number
        answer = self._wait(lambda message: message.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def _wait(self, wanted) -> dict[str, Any]:
        """The first message that is wanted; events on the way are kept."""
        until = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._received:
                text, _, self._received = self._received.partition(b"\0")
                message = json.loads(text)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
            ready, _, _ = select.select([self._in], [], [], max(0, until - time.monotonic()))
            assert ready, "Chromium does not answer"
            content = os.read(self._in, 1 << 20)
            assert content, "Chromium has ended"
            self._received += content
