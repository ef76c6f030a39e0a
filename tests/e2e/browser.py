"""Headless Chromium, driven over the WebDriver protocol."""

import base64
import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port

WIDTH, HEIGHT = 1500, 900
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    f"--window-size={WIDTH},{HEIGHT}",
)
_SECONDS = 120
_ENTER = "\ue007"
"""WebDriver's name of the key."""


class Browser:
    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._session = ""

    def begin(self, profile: Path, *flags: str) -> None:
        options = {"args": [*_FLAGS, *flags, f"--user-data-dir={profile}"], "binary": "/usr/bin/chromium"}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self._session = self._ask("POST", "/session", wanted)["sessionId"]

    def end(self) -> None:
        if self._session:
            self._ask("DELETE", f"/session/{self._session}")

    def open(self, url: str) -> None:
        self._do("url", {"url": url})

    def evaluate(self, script: str) -> Any:
        return self._do("execute/sync", {"script": f"return {script}", "args": []})

    def pretend(self, media: str = "", **features: str) -> None:
        """Set the medium (`print`) and preferences (`prefers_color_scheme="dark"`)."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        given = {"media": media, "features": wanted}
        self._do("goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": given})

    def resize(self, width: int, height: int = HEIGHT) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._do("goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def pages_printed(self) -> bytes:
        """Return the page as PDF."""
        found = self._do("goog/cdp/execute", {"cmd": "Page.printToPDF", "params": {"printBackground": True}})
        return base64.b64decode(found["data"])

    @property
    def text(self) -> str:
        """Return the visible text of the page."""
        return str(self.evaluate("document.body.innerText"))

    def await_text(self, *words: str) -> str:
        """Wait until all these words are on the page, and return its text."""
        deadline = time.monotonic() + _SECONDS
        while missing := [word for word in words if word not in (text := self.text)]:
            assert time.monotonic() < deadline, f"the page never showed {missing}, but:\n{text}"
            time.sleep(0.5)
        return text

    def await_graph(self) -> None:
        """Wait until the canvas of a run's graph is drawn."""
        deadline = time.monotonic() + _SECONDS
        while not self.evaluate("document.querySelectorAll('canvas').length"):
            assert time.monotonic() < deadline, "there is no graph on the page"
            time.sleep(0.5)

    def log_in(self, ui: str, password: str) -> None:
        """Log in to Prefect's UI as a person does: the browser stores the password."""
        self.open(f"{ui}/login")
        self.await_text("Login")
        self.type("input[type=password]", f"{password}{_ENTER}")
        deadline = time.monotonic() + _SECONDS
        while self.evaluate("location.pathname").endswith("/login"):
            assert time.monotonic() < deadline, self.text
            time.sleep(0.5)

    def type(self, selector: str, keys: str) -> None:
        (element,) = self._do("element", {"using": "css selector", "value": selector}).values()
        self._do(f"element/{element}/value", {"text": keys})

    def click(self, words: str) -> None:
        self._with_text(words, "click()")

    def scroll_to(self, words: str) -> None:
        self._with_text(words, "scrollIntoView({block: 'center'})")

    def _with_text(self, words: str, action: str) -> None:
        """Call a function with the first innermost element that has exactly this text."""
        says = f"element => (element.innerText || '').trim() === {json.dumps(words)}"
        innermost = "element => !element.children.length"
        found = f"[...document.querySelectorAll('*')].filter({says}).filter({innermost})[0]"
        assert self.evaluate(f"!!{found}"), f"nothing says {words!r}"
        self.evaluate(f"{found}.{action}")

    def screenshot(self, file: Path) -> bytes:
        image = base64.b64decode(self._ask("GET", f"/session/{self._session}/screenshot"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image)
        return image

    def is_up(self) -> bool:
        try:
            return bool(self._ask("GET", "/status")["ready"])
        except (OSError, ValueError):
            return False

    def _do(self, command: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", f"/session/{self._session}/{command}", body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._driver + path, data, {"Content-Type": "application/json"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_SECONDS) as response:
                return json.loads(response.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')[:2000]}") from None


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """Start Chromium with an empty temporary profile and these flags."""
    with tempfile.TemporaryDirectory(prefix="tls-sync-browser-", ignore_cleanup_errors=True) as folder:
        port, log = free_port(), Path(folder) / "chromedriver.log"
        driver = processes.spawn(["/usr/bin/chromedriver", f"--port={port}"], log, Path(folder))
        found = Browser(f"http://127.0.0.1:{port}")
        try:
            deadline = time.monotonic() + _SECONDS
            while not found.is_up():
                assert driver.poll() is None, processes.tail(log)
                assert time.monotonic() < deadline, processes.tail(log)
                time.sleep(0.1)
            found.begin(Path(folder) / "profile", *flags)
            yield found
        finally:
            try:
                found.end()
            finally:
                processes.stop(driver, grace=5)
