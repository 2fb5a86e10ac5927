"""One process for a whole data set: a foreign tool is loaded once and asked case by case.

Requests come as JSON lines on standard input, answers go as JSON lines to what standard output was
at the start; whatever the tool itself prints ends up on standard error. Needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


class Refused(Exception):
    """An error that the user can mend: told in one message, without a traceback."""


def serve(handlers: dict[str, Callable[..., Any]]) -> None:
    """Answer `{"do": NAME, ...}` by `handlers[NAME](**rest)` until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": handlers[request.pop("do")](**request)}
        except Refused as error:
            answer = {"refused": str(error)}
        except KeyboardInterrupt:
            return
        except BaseException as error:  # tools call sys.exit, too
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def device(wanted: str | None) -> str:
    """Return `cuda`, `mps` or `cpu`; None: the first that is there."""
    import torch

    if wanted:
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
