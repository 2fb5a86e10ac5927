"""Headless Chromium, driven through chromedriver's own protocol (plain HTTP)."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--disable-dev-shm-usage",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL, no card
    "--ignore-gpu-blocklist",
)  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ARROW_RIGHT, ARROW_UP, SPACE = "\ue014", "\ue013", " "

PHONE = {"width": 375, "height": 800, "pixelRatio": 2.0}


class Browser:
    """As much of the WebDriver protocol as these tests need."""

    def __init__(
        self, folder: Path, device: dict[str, float] | None = None, flags: tuple[str, ...] = ()
    ) -> None:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        driver = shutil.which("chromedriver")
        if not chromium or not driver:
            pytest.skip("needs Chromium and chromedriver on the PATH")
        log = folder / "chromedriver.log"
        self._output = log.open("w")
        self._process = subprocess.Popen(
            [driver, "--port=0"], stdout=self._output, stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
        self._root = f"http://127.0.0.1:{self._port(log)}"
        options: dict[str, Any] = {
            "binary": chromium,
            "args": [*_FLAGS, *flags, "--window-size=1200,900",
                     f"--user-data-dir={folder / 'profile'}"],
        }  # fmt: skip
        if device:
            options["mobileEmulation"] = {"deviceMetrics": device}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root += f"/session/{answer['sessionId']}"

    @staticmethod
    def _port(log: Path) -> str:
        for _ in range(200):
            found = re.search(r"started successfully on port (\d+)", log.read_text())
            if found:
                return found.group(1)
            time.sleep(0.05)
        raise RuntimeError(f"chromedriver did not start: {log.read_text()}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self._root + path, data, method=method), timeout=60) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def open(self, page: Path) -> None:
        self.visit(page.resolve().as_uri())

    def visit(self, address: str) -> None:
        self._call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script: str, seconds: float = 60) -> Any:
        """Wait until the script returns something true, and return that."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, (script, self.console())
            time.sleep(0.05)
        return found

    def screenshot(self) -> bytes:
        return base64.b64decode(self._call("GET", "/screenshot"))

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/click", {})

    def keys(self, selector: str, text: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def console(self) -> list[str]:
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [f"{e['level']}: {e['message']}" for e in entries if e["level"] != "DEBUG"]

    def close(self) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._output.close()
