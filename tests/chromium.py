"""A real browser: Chromium, without a window, driven through its DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import deque
from pathlib import Path
from threading import Timer
from typing import Any

from tests.running import DEADLINE, eventually

OPTIONS = [
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--remote-debugging-pipe",
]


HEARD = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class Browser:
    """A browser that runs for as long as its `with` block, with what it keeps in a folder.

    Its messages are JSON, each ended by a NUL; one thread calls.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.complaints: list[Any] = []
        """What the pages' consoles show: exceptions, violations of a policy, what could not be loaded."""
        self._calls = 0
        self._rest = b""
        self._messages: deque[bytes] = deque()
        self._reading, its_output = os.pipe()
        its_input, self._writing = os.pipe()
        # It reads from descriptor 3 and writes to 4, which only a shell can give it.
        line = ["bash", "-c", f'exec "$@" 3<&{its_input} 4>&{its_output}', program, program]
        self._process = subprocess.Popen(
            [*line, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(its_input, its_output),
        )
        os.close(its_input)
        os.close(its_output)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(DEADLINE)
        os.close(self._reading)
        os.close(self._writing)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result; the browser is killed if it doesn't answer."""
        self._calls += 1
        request: dict[str, Any] = {"id": self._calls, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session
        os.write(self._writing, json.dumps(request).encode() + b"\0")
        watchdog = Timer(DEADLINE, self._process.kill)
        watchdog.start()
        try:
            while (message := self._next()).get("id") != self._calls:
                if message.get("method") in HEARD:
                    self.complaints.append(message["params"])
        finally:
            watchdog.cancel()
        assert "error" not in message, (method, message["error"])
        return message["result"]

    def page(self, url: str, width: int = 1280, height: int = 800, before: str = "") -> Page:
        """Open a page, in a context of its own: no other shares what it stores. `before` runs before its scripts."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)  # else one of several pages alone is visible
        page.size(width, height)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        page.call("Page.navigate", url=url)
        page.until("document.readyState === 'complete' && location.protocol === 'http:'")
        return page

    def _next(self) -> dict[str, Any]:
        while not self._messages:
            chunk = os.read(self._reading, 1 << 20)
            assert chunk, "the browser has ended"
            *messages, self._rest = (self._rest + chunk).split(b"\0")
            self._messages.extend(messages)
        message: dict[str, Any] = json.loads(self._messages.popleft())
        return message


class Page:
    """One page of a browser, as a tab has it."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol for this page."""
        return self._browser.call(method, self._session, **parameters)

    def close(self) -> None:
        """Close it, and forget what it stored."""
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)

    def js(self, code: str) -> Any:
        """Return what an expression gives there, as if the user had asked for it; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in result, (code, result["exceptionDetails"])
        return result["result"].get("value")

    def until(self, code: str) -> None:
        """Wait until an expression is true there."""

        def failed() -> str:
            return f"{code} is not so: {self.js('document.body.innerText')!r} {self._browser.complaints}"

        eventually(lambda: self.js(f"Boolean({code})"), failed)

    def type(self, selector: str, words: str, enter: bool = True) -> None:
        """Type into the element that a selector finds, and press Enter."""
        self.js(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=words)
        if enter:
            self.key("Enter", 13, text="\r")

    def key(self, key: str, number: int, text: str = "", modifiers: int = 0) -> None:
        """Press and release a key, by its name and number."""
        fields: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **fields, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **fields)

    def click(self, selector: str) -> None:
        """Click the element that a selector finds."""
        self.js(f"document.querySelector({json.dumps(selector)}).click()")

    def size(self, width: int, height: int) -> None:
        """Have a window, or below 600 pixels a phone, of this size."""
        mobile = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def dark(self, on: bool) -> None:
        """Prefer dark colours, or light ones."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def offline(self, on: bool) -> None:
        """Take the network away, or give it back."""
        self.call("Network.emulateNetworkConditions", offline=on, latency=0, downloadThroughput=-1, uploadThroughput=-1)

    def picture(self, path: Path) -> None:
        """Write a picture of it, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
