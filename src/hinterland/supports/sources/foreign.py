"""Foreign tools run in a process of their own, if need be with the Python of another environment.

Their packages pull versions of torchvision that break Lightning, print, change torch's settings and
call exit; none of that reaches this process.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hinterland.types import HinterlandError

log = logging.getLogger(__name__)
_TAIL = 6  # lines of the tool's own words in a message
_PATIENCE = 20.0  # seconds to end by itself


def interpreter(variable: str, package: str, install: str) -> str:
    """Return the Python that has `package`: that of the environment variable, else this one.

    Args:
        variable: of the environment, which may name a Python.
        package: that it must import.
        install: what pip is given to get it, for the message.

    Returns:
        The path of the Python.

    Raises:
        HinterlandError: there is none; the message says how to get one.
    """
    chosen = os.environ.get(variable)
    if chosen:
        if not Path(chosen).is_file():
            raise HinterlandError(f"{variable} names {chosen}, which is not there. Correct it.")
        return chosen
    if importlib.util.find_spec(package):
        return sys.executable
    raise HinterlandError(
        f"{package} is not installed. Best give it an environment of its own: python -m venv "
        f"{package.lower()}; {package.lower()}/bin/pip install {install}; export "
        f"{variable}=$PWD/{package.lower()}/bin/python."
    )


class Worker:
    """A script of `supports/scripts` that answers requests; see scripts/serve.py."""

    def __init__(self, python: str, script: str) -> None:
        self.name = script
        self._words = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        path = Path(__file__).parents[1] / "scripts" / f"ask_{script}.py"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        try:
            self._process = subprocess.Popen(
                [python, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                text=True,
                encoding="utf-8",
                env=environment | {"PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            self._words.close()
            raise HinterlandError(f"{python} could not be run: {error.strerror}.") from error

    def ask(self, do: str, **request: Any) -> Any:
        """Send a request and wait for its answer.

        Raises:
            HinterlandError: the tool refused, failed or died; with its last words.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        try:
            reply = json.loads(line)
        except json.JSONDecodeError:
            code = self._process.wait()
            raise HinterlandError(
                f"{self.name} ended (exit {code}) while it was asked to {do}. "
                f"{'Most likely memory ran out. ' if code in (-9, 137) else ''}{self._tail()}"
            ) from None
        if "refused" in reply:
            raise HinterlandError(reply["refused"])
        if "failed" in reply:
            raise HinterlandError(f"{self.name} failed: {reply['failed']}. {self._tail()}")
        return reply["answer"]

    def _tail(self) -> str:
        self._words.seek(0)
        lines = [line.rstrip() for line in self._words.read().splitlines() if line.strip()]
        return "It said last:\n" + "\n".join(lines[-_TAIL:]) if lines else "It said nothing."

    def close(self) -> None:
        """End the process; kills one that does not end by itself."""
        if self._words.closed:
            return
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()
