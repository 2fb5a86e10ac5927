"""Write tables as CSV in which a spreadsheet finds no formula, and read names back as they were.

A case may be called `=HYPERLINK(...)`: opened in a spreadsheet, such a cell would run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet runs; apostrophes: written by us
_MARKED = re.compile(r"^'(?='*[=+\-@\t\r])")


def neutral(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would take for a formula.

    Args:
        value: A cell; anything but text is returned as it is.

    Examples:
        >>> neutral("=1+1"), neutral("a"), neutral(-5)
        ("'=1+1", 'a', -5)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def original(value: Any) -> Any:
    """Take the apostrophe of `neutral` away.

    Args:
        value: A cell; anything but text is returned as it is.

    Examples:
        >>> original("'=1+1"), original("'a"), original(-5)
        ('=1+1', "'a", -5)
    """
    return _MARKED.sub("", value) if isinstance(value, str) else value


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `neutral` text, also in its header; numbers stay as they are."""
    text = table.select_dtypes(["object", "string", "category"]).columns
    return table.assign(**{c: table[c].map(neutral) for c in text}).rename(columns=neutral)


def with_original_text(table: pd.DataFrame) -> pd.DataFrame:
    """Undo `without_formulas` in a table that was read from a file."""
    text = table.select_dtypes(["object", "string"]).columns
    return table.assign(**{c: table[c].map(original) for c in text}).rename(columns=original)


def csv_text(table: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a table as CSV, without its index and without formulas.

    Args:
        table: Any table with names for columns.
        float_format: As `%.5f`; default, all digits.
    """
    return without_formulas(table).to_csv(index=False, float_format=float_format)
