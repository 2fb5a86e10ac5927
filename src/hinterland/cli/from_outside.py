"""What other packages add to the registries, for the help of a command."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distributions


def from_outside(*kinds: str) -> str:
    """Name what other packages declare, without importing it, as the end of a help text.

    Args:
        kinds: entry-point groups without `hinterland.`, such as "methods".

    Returns:
        " Installed: NAME, NAME."; empty where there is nothing.
    """
    groups = {f"hinterland.{kind}" for kind in kinds}
    names = sorted({name for group, name in _declared() if group in groups})
    return f" Installed: {', '.join(names)}." if names else ""


@cache
def _declared() -> tuple[tuple[str, str], ...]:
    """Look through all installed packages, once: that takes some hundredths of a second."""
    points = (point for package in distributions() for point in package.entry_points)
    return tuple((point.group, point.name) for point in points)
