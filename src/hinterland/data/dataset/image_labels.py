"""Image-level labels from a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from hinterland.data.integrity.problems import Problem
from hinterland.data.io.csv_text import original
from hinterland.data.io.formats import stem
from hinterland.data.io.limits import read_text
from hinterland.labels import LabelTree
from hinterland.types import HinterlandError

ImageLabels = Mapping[str, int | str]
_BINARY = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def read_image_labels(path: Path, tree: LabelTree) -> dict[str, ImageLabels]:
    """Read an image-label file by its first column: a case's (or its file's) or a patient's name.

    CSV in UTF-8, separated by commas, semicolons or tabs.

    A column named like a node of the tree holds 1 (some voxel of the class is there), 0 (none is)
    or nothing (unknown: left out of the result). Any other column is a free class, kept as text.

    Raises:
        HinterlandError: an unreadable file, a name twice, another value than 0 / 1 in a node's
            column.
    """
    rows = _rows(path)
    if not rows:
        raise HinterlandError(f"image labels {path} are empty; expected a header line and rows.")
    columns = [original(c.strip()) for c in rows[0]]
    result: dict[str, ImageLabels] = {}
    for line in rows[1:]:
        name = stem(original(line[0].strip()))
        if name in result:
            raise HinterlandError(f"{path}: {name!r} stands there twice; keep one row for each.")
        if len(line) != len(columns):
            raise HinterlandError(
                f"{path}: the row of {name!r} has {len(line)} cells; expected {len(columns)}."
            )
        cells = zip(columns[1:], (original(c.strip()) for c in line[1:]), strict=True)
        result[name] = {c: _value(path, tree, name, c, v) for c, v in cells if v}
    return result


def _rows(path: Path) -> list[list[str]]:
    """Return the rows of cells of a table without empty rows.

    The separator is whichever of comma, semicolon and tab is most frequent in the header.
    """
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise HinterlandError(f"image labels {path} are a spreadsheet; save them as CSV (UTF-8).")
    try:
        text = read_text(path)
        mark = max(",;\t", key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        return [r for r in lines if any(c.strip() for c in r)]
    except UnicodeDecodeError:
        raise HinterlandError(
            f"image labels {path} are not in UTF-8 (some spreadsheet programs write other "
            "encodings). Save them as `CSV UTF-8`."
        ) from None
    except (OSError, csv.Error) as error:
        raise HinterlandError(
            f"image labels {path} cannot be read: {error} Give a CSV file in UTF-8."
        ) from None


def _value(path: Path, tree: LabelTree, name: str, column: str, text: str) -> int | str:
    if column not in tree:
        return text
    if text not in _BINARY:
        raise HinterlandError(
            f"{path}: {name!r} has {text!r} for the class {column!r}; expected 1 (present), "
            "0 (absent) or an empty cell (unknown)."
        )
    return _BINARY[text]


def unknown_names(
    path: Path, rows: Mapping[str, ImageLabels], names: Iterable[str]
) -> list[Problem]:
    """Return a warning where rows belong to no case and no patient.

    Args:
        path: the file of image labels.
        rows: name -> labels, as read from it.
        names: those of cases and patients.

    Returns:
        At most one warning.
    """
    wrong = sorted(set(rows) - set(names))
    if not wrong:
        return []
    return [
        Problem("warning", "image-labels-unknown-case", "",
                f"{path.name} has {len(wrong)} row(s) for no case or patient of the data set: "
                f"{', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}. Correct the names in "
                "its first column, or remove the rows.")
    ]  # fmt: skip
