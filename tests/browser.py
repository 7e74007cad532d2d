"""Chromium without a window, driven through a pipe: real keys, real clicks, any width, pictures."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38, "ArrowDown": 40, "ArrowRight": 39, "ArrowLeft": 37, "Backspace": 8}


class Browser:
    """One page of one browser.

    Args:
        profile: an empty folder.
        width: of the page in CSS pixels.
        height: of what is seen of it.
        dark: what it says the user prefers.
    """

    def __init__(self, profile: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        (reads, theirs_in), (theirs_out, writes) = os.pipe(), os.pipe()
        self._number, self._left = 0, b""
        self._events: list[dict[str, Any]] = []
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ]
        words = [str(CHROMIUM), *flags, "--remote-debugging-pipe", "about:blank"]
        script = f'exec "$@" 3<&{theirs_out} 4>&{theirs_in}'  # what Chromium reads from, and writes to
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *words],
            pass_fds=(theirs_out, theirs_in),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._reads, self._writes, self._session = reads, writes, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        if dark:
            self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._reads)
        os.close(self._writes)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command of the DevTools protocol, and waits for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self._events.append(told)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            part = os.read(self._reads, 1 << 16)
            assert part, "Chromium has stopped"
            self._left += part
        line, _, self._left = self._left.partition(b"\0")
        return json.loads(line)

    def resize(self, width: int, height: int) -> None:
        """Makes the page as wide, on screens too that are narrower than any window may be."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url: str) -> None:
        """Goes there, until a script says that the page is ready."""
        self.call("Page.navigate", url=url)
        self.until("document.documentElement?.dataset.ready")

    def value(self, expression: str) -> Any:
        """What JavaScript says, as JSON."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, expression: str, seconds: float = 120) -> None:
        """Waits for something true."""
        end = time.monotonic() + seconds
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < end, f"never: {expression}\n{self.value('document.body.innerText')}\n{self.complaints()}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Clicks with the mouse on the middle of an element."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{found}.scrollIntoView({{block: 'center'}})")
        place = self.value(
            f"(({{x, y, width, height}}) => ({{x: x + width / 2, y: y + height / 2}}))({found}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key, so many times."""
        for _ in range(times):
            more = {"text": "\r"} if key == "Enter" else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=KEYS[key], **more)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(told["data"]))

    def complaints(self) -> list[str]:
        """Uncaught errors, and what the console and the browser had to say; refused requests aside."""
        self.value("0")
        names = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
        told = [event["params"] for event in self._events if event.get("method") in names]
        return [json.dumps(one) for one in told if one.get("entry", {}).get("source") != "network"]

    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        self.value("0")
        sent = (event for event in self._events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]
