"""A labels.yaml to begin with: from the integers in the masks, and what somebody says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hinterland.data.dataset.files import is_listed
from hinterland.data.dataset.label_spec import find_values
from hinterland.data.dataset.layout import find_files
from hinterland.labels import LabelError, LabelSpec
from hinterland.labels.strict_yaml import parse_yaml
from hinterland.types import HinterlandError

IGNORED = 255
"""What this integer means beside several classes, unless it is named."""


@dataclass(frozen=True)
class Found:
    """What a data set's masks hold: the integers, names proposed for them, and the case names."""

    values: tuple[int, ...]
    names: Mapping[int, str]
    cases: tuple[str, ...]


def look(root: Path) -> Found:
    """Look for the integers of a data set's masks.

    Args:
        root: The folder of the data set.

    Returns:
        The integers and a name for each: of dataset.json, else background, foreground or classN;
        `any` (ignored) for 255 beside several classes.

    Raises:
        HinterlandError: It is no data set, has no masks, or these hold grey levels.
    """
    layout = find_files(root)
    values = find_values(layout)
    named = _named(layout.dataset_json)
    classes = [v for v in values if v != IGNORED or len(values) <= 2]
    names = {v: named.get(v) or _proposed(v, classes) for v in classes}
    if len(classes) < len(values):
        names[IGNORED] = named.get(IGNORED, "any")
    return Found(tuple(values), names, tuple(c.name for c in layout.cases))


def _named(content: Mapping[str, Any] | None) -> dict[int, str]:
    labels = (content or {}).get("labels")
    if not isinstance(labels, Mapping):
        return {}
    return {v: "any" if n == "ignore" else str(n) for n, v in labels.items() if isinstance(v, int)}


def _proposed(value: int, classes: Sequence[int]) -> str:
    if value == min(classes):
        return "background"
    return "foreground" if len(classes) == 2 else f"class{value}"


def labels_text(
    names: Mapping[int, str], target: Sequence[str] = (), group_pattern: str = ""
) -> str:
    """Write the labels.yaml of these classes.

    Classes that are not asked for are put under the background as its support structures, beside
    the remainder `rest`; so a binary question and one on all classes are the same tree.

    Args:
        names: Integer -> class; the smallest integer is the background, `any` is ignored.
        target: The classes that are asked for; none: all but the background.
        group_pattern: What finds the patient in a case name.

    Returns:
        The text; it reads back as a specification.

    Raises:
        LabelError: A name stands twice, or a target is no class.
    """
    zero = min(names)
    background = names[zero]
    classes = [n for v, n in names.items() if v != zero and n != "any"]
    unknown = [n for n in target if n not in classes]
    if unknown or len({background, *classes}) < len(classes) + 1 or not classes:
        raise LabelError(
            f"target {', '.join(target) or 'all'} of the classes {', '.join(classes) or '(none)'} "
            f"beside {background}: expected names of their own, and targets among them. Correct "
            "the names."
        )
    asked = list(target) or classes
    supports = [n for n in classes if n not in asked]
    meaning = dict(names)
    lines = ["tree:"]
    if supports:
        rest = "rest" if background != "rest" else "remainder"
        meaning[zero] = rest
        lines.append(f"  {_word(background)}:")
        lines += [f"    {_word(n)}: {{}}" for n in [*supports, rest]]
    else:
        lines.append(f"  {_word(background)}: {{}}")
    lines += [f"  {_word(n)}: {{}}" for n in asked]
    lines.append(f"target: [{', '.join(map(_word, asked))}]")
    integers = ", ".join(f"{v}: {_word(n)}" for v, n in sorted(meaning.items()))
    lines.append(f"schemes: {{full: {{{integers}}}}}")
    if group_pattern:
        lines.append(f"group_pattern: {_quoted(group_pattern)}")
    text = "\n".join(lines) + "\n"
    LabelSpec.from_dict(parse_yaml(text))
    return text


def _word(name: str) -> str:
    """Write a name so that YAML reads a text: as it is, or quoted."""
    plain = name.replace("_", "").replace(" ", "").isalpha() and name == name.strip()
    return name if plain and name.lower() not in _NO_TEXT else _quoted(name)


_NO_TEXT = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def refuse_existing(file: Path, overwrite: bool) -> None:
    """Refuse to replace a labels.yaml.

    Raises:
        HinterlandError: There is one, and not `overwrite`.
    """
    if is_listed(file) and not overwrite:
        raise HinterlandError(
            f"{file} exists already. Look at it: hinterland check {file.parent}. To write it anew "
            "give --overwrite, or another --out."
        )
