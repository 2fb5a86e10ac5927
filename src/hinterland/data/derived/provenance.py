"""Where support labels of a data set came from, and under which licence."""

from __future__ import annotations

from pathlib import Path

SHEETS = "supports"
"""The folder inside a data set with provenance.json, quality.csv and quality.json."""
_EARLIER_SHEETS = "auxiliary"  # as the folder was called by earlier versions
PROVENANCE = "provenance.json"


def provenance_of(root: Path) -> Path | None:
    """Find the provenance of supports that were added to a data set, also by earlier versions.

    Args:
        root: The folder of a data set.

    Returns:
        The JSON file, or None where no supports were added to this data set.
    """
    files = [root / folder / PROVENANCE for folder in (SHEETS, _EARLIER_SHEETS)]
    return next((file for file in files if file.is_file()), None)
