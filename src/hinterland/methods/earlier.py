"""Options of runs that an earlier version made, in today's words and with what they meant then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RENAMED = {("cvbm", "complement", "sigmoid"): "printed"}
_ADDED: dict[str, dict[str, Any]] = {
    "bcp": {"region": "printed"},
    "cvbm": {"region": "printed"},
}


def upgrade_options(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded options of a run with the behaviour they had when it was trained.

    A record holds every option of its method, so that one that is missing is younger than the run.

    >>> upgrade_options("cvbm", {"complement": "sigmoid"})
    {'region': 'printed', 'complement': 'printed'}
    """
    words = {key: _RENAMED.get((method, key, value), value) if isinstance(value, str) else value
             for key, value in options.items()}  # fmt: skip
    return {**_ADDED.get(method, {}), **words}
