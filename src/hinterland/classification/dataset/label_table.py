"""Read a table of image labels as people have them: any separator, encoding and column names."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hinterland.data.io.csv_text import original
from hinterland.data.io.limits import refuse_irregular
from hinterland.data.io.volume import stem
from hinterland.types import HinterlandError

ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
SEPARATORS = ";,\t|"
PATIENT = re.compile(r"patient|subject|person|case_?group|^pid$|^group$", re.I)
LABEL = re.compile(r"label|class|diagnos|target|finding|pathology|klasse|befund|^y$", re.I)
NEGATIVE = frozenset(
    "0 0.0 no n none normal negative neg healthy absent false control nein gesund".split()  # noqa: SIM905
)
POSITIVE = frozenset(
    "1 1.0 yes y pos positive present true lesion abnormal diseased sick ja krank".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class LabelTable:
    """Rows of image labels, matched to images.

    Attributes:
        rows: case -> column -> text.
        name: the column that holds file names.
        label: the column that holds what is asked, "" where there is none.
        patient: the column that holds patients, "" where there is none.
        unmatched: names in the table without an image.
    """

    rows: dict[str, dict[str, str]]
    columns: tuple[str, ...]
    name: str
    label: str
    patient: str
    separator: str
    encoding: str
    unmatched: tuple[str, ...]

    @property
    def answers(self) -> tuple[str, ...]:
        """The different labels, sorted; empty cells are unknown."""
        return tuple(sorted({r[self.label] for r in self.rows.values() if r[self.label]}))


def read_label_table(
    path: Path, names: Collection[str], *, column: str | None = None, patient: str | None = None
) -> LabelTable:
    """Read a table and find out what its columns are.

    Args:
        path: A CSV file with a header line; separated by semicolons, commas, tabs or bars; in
            UTF-8, UTF-16 or Windows-1252.
        names: Of the images, without ending. The column whose cells name most of them (with or
            without folder and ending, in any case) holds the file names.
        column: What is asked; default, the column called like a label, else the first one with 2 to
            20 different values.
        patient: The column of patients; default, one that is called so, if there is any.

    Returns:
        The label of each image, and what the columns are.

    Raises:
        HinterlandError: The file cannot be read, no column names the images, an image stands there
            twice with different labels, or there is no column of labels.
    """
    lines, separator, encoding = _lines(path)
    header = [original(cell.strip()) for cell in lines[0]]
    if len(set(header)) < len(header):
        raise HinterlandError(f"{path}: two columns have one name ({', '.join(header)}).")
    table = [
        dict(zip(header, (original(c.strip()) for c in line), strict=False)) for line in lines[1:]
    ]
    table = [{c: row.get(c, "") for c in header} for row in table]
    keys = {_key(n): n for n in names}
    hits = {c: sum(_key(row[c]) in keys for row in table) for c in header}
    name = max(header, key=lambda c: hits[c])
    if not hits[name]:
        raise HinterlandError(
            f"{path}: no column names the images. Its columns are {', '.join(header)}, its first "
            f"row is {', '.join(table[0].values()) if table else 'missing'}; the images are called "
            f"{', '.join(sorted(names)[:3])}, ..."
            " Correct the names in one column."
        )
    rows: dict[str, dict[str, str]] = {}
    for row in table:
        case = keys.get(_key(row[name]))
        if case is not None and rows.setdefault(case, row) != row:
            raise HinterlandError(
                f"{path}: the image {case!r} stands there twice, with different rows. Keep one."
            )
    who = patient if patient is not None else _first(PATIENT, header, exclude=[name])
    asked = column or _label_column(header, list(rows.values()), [name, who])
    for wanted in (asked, who):
        if wanted and wanted not in header:
            raise HinterlandError(
                f"{path} has no column {wanted!r}, but {', '.join(header)}. Name one of these."
            )
    if not asked:
        raise HinterlandError(
            f"{path}: none of the columns {', '.join(header)} has 2 to 20 different values; which "
            "one is asked? Name it with --column."
        )
    missing = tuple(row[name] for row in table if row[name] and _key(row[name]) not in keys)
    return LabelTable(rows, tuple(header), name, asked, who, separator, encoding, missing)


def negative(value: str) -> bool:
    """Say whether a label means that nothing was found."""
    return value.strip().lower() in NEGATIVE


def positive(value: str) -> bool:
    """Say whether a label means that something was found, but not what."""
    return value.strip().lower() in POSITIVE


def _lines(path: Path) -> tuple[list[list[str]], str, str]:
    refuse_irregular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HinterlandError(
            f"image labels {path} cannot be read: {error}. Give a CSV file that can be read."
        ) from None
    bom = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ENCODINGS if not bom else ("utf-16",):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise HinterlandError(
            f"image labels {path}: the text is in no known encoding. Save it as UTF-8."
        )
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(SEPARATORS, key=first.count)
    try:
        table = csv.reader(text.splitlines(), delimiter=separator)
        lines = [r for r in table if any(map(str.strip, r))]
    except csv.Error as error:
        raise HinterlandError(
            f"image labels {path}: {error}; expected a CSV file. Save it as CSV again."
        ) from None
    if len(lines) < 2 or len(lines[0]) < 2:
        raise HinterlandError(
            f"image labels {path}: expected a header line, rows, and two columns or more (file "
            "name and label), separated by ; , tab or |."
        )
    return lines, separator, encoding


def _key(text: str) -> str:
    """Reduce a file name to its core: no folder, ending or channel number, small letters."""
    own = stem(text.replace("\\", "/").rsplit("/", 1)[-1])
    return re.sub(r"_0000$", "", own).strip().lower()


def _first(pattern: re.Pattern[str], header: Sequence[str], exclude: Sequence[str]) -> str:
    return next((c for c in header if pattern.search(c) and c not in exclude), "")


def _label_column(
    header: Sequence[str], rows: Sequence[dict[str, str]], exclude: Sequence[str]
) -> str:
    several = [
        c for c in header
        if c not in exclude and 2 <= len({r[c] for r in rows if r[c]}) <= 20
    ]  # fmt: skip
    return _first(LABEL, several, []) or (several[0] if several else "")
