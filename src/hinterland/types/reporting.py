"""Name the functions that long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Tick = Callable[[int, int], None]
"""(done, total) -> None."""

Report = Callable[[int, int, str], None]
"""(done, total, message) -> None; the message says what is going on, such as the last loss."""
