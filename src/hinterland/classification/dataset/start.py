"""Make a data set of a folder of images, some masks, and a table of image labels."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hinterland.classification.dataset.label_table import (
    LabelTable,
    negative,
    positive,
    read_label_table,
)
from hinterland.data.dataset.plain import plain_layout
from hinterland.data.dataset.read import read_dataset
from hinterland.data.dataset.splits import draw_groups, groups_of
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import file_ending, label_ending, read_label, stem, write_label
from hinterland.labels import LabelTree
from hinterland.types import Case, HinterlandError

MASK_FOLDER = re.compile(r"^(masks?|labels?|labelsTr|segmentations?|annotations?|gt|seg)$", re.I)
MASK_NAME = re.compile(r"[ _-]+(mask|seg|segmentation|label|gt|lesion)([ _-]?[0-9]+)?$", re.I)
TEST_SHARE = VALIDATION_SHARE = 0.2
LABELS_FILE, TABLE_FILE, SPLITS_FILE = "labels.yaml", "image_labels.csv", "splits.json"


@dataclass(frozen=True)
class Started:
    """The data set that was made: its folder, what was understood, and what to do next."""

    root: Path
    understood: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """Images by case, and the masks that belong to them."""

    images: Mapping[str, tuple[Path, ...]]
    masks: Mapping[str, tuple[Path, ...]]


def start(
    folder: Path,
    table: Path,
    *,
    out: Path | None = None,
    column: str | None = None,
    patient: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Started:
    """Find images and masks, and write labels.yaml, image_labels.csv and splits.json.

    A mask is a file in a folder called masks, labels, ..., or one whose name ends in _mask, _seg,
    ...; it belongs to the image of the same name. Where the column that is asked names types of
    lesion and the masks have one value, a mask shows the type of its image.

    Args:
        folder: Images and masks; as `images/` and `masks/`, or anywhere below.
        table: CSV file with a row per image; see `read_label_table`.
        out: Folder of the data set. Default: `folder` itself, where it has `images/`; else
            FOLDER-dataset beside it. Files are linked, not copied.
        column: What is asked; see `read_label_table`.
        patient: The column that says whose an image is.
        seed: Of the split.
        overwrite: Replace labels.yaml, image_labels.csv and splits.json.

    Returns:
        Where the data set is, and what was found.

    Raises:
        HinterlandError: No image is found, or the table does not fit.
    """
    if not folder.is_dir():
        raise HinterlandError(f"there is no folder {folder}; expected one with images.")
    found = _find(folder)
    in_place = out is None and _has_layout(folder, found)
    root = folder if in_place else out or folder.with_name(f"{folder.resolve().name}-dataset")
    there = [root / n for n in (LABELS_FILE, TABLE_FILE, SPLITS_FILE) if (root / n).exists()]
    if there and not overwrite:
        raise HinterlandError(f"{there[0]} exists already. Give --overwrite, or another --out.")
    for file in there:
        file.unlink()
    labels = read_label_table(table, found.images, column=column, patient=patient)
    if not in_place:
        _link(found, root)
    spec, lesion, notes = _labels(found, labels)
    nodes = LabelTree(spec["tree"]).nodes
    rows = [_row(case, labels, lesion, nodes) for case in found.images]
    write_text(root / TABLE_FILE, csv_text(pd.DataFrame(rows)))
    write_text(root / LABELS_FILE, yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
    parts = _split(root, labels, seed)
    return Started(
        root,
        (*_understood(found, labels, parts), *notes),
        _commands(root, found, labels, lesion),
    )


def _find(folder: Path) -> _Found:
    """Sort the image files below a folder into images and masks."""
    if (folder / "images").is_dir():
        images = {case.name: case.images for case in plain_layout(folder).cases}
        others = [p for p in _files(folder) if p.parent != folder / "images"]
        masks = [p for p in others if _is_mask(p, folder)]
    else:
        files = _files(folder)
        masks = [p for p in files if _is_mask(p, folder)]
        plain = [p for p in files if p not in set(masks)]
        names = [stem(p) for p in plain]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise HinterlandError(
                f"{folder}: several images are called {twice[0]!r} ({len(twice)} such names). "
                "Cases are told apart by name: rename them."
            )
        images = {stem(p): (p,) for p in plain}
    if not images:
        raise HinterlandError(
            f"{folder} holds no image that can be read (png, jpg, tif, bmp, nii.gz, mha, nrrd)."
            " Convert the images, or give their folder."
        )
    by_name = {name.lower(): name for name in images}
    pairs: dict[str, tuple[Path, ...]] = {}
    for path in masks:
        case = by_name.get(MASK_NAME.sub("", stem(path)).lower(), by_name.get(stem(path).lower()))
        if case is not None:
            pairs[case] = (*pairs.get(case, ()), path)
    return _Found(images, {case: pairs[case] for case in images if case in pairs})


def _has_layout(folder: Path, found: _Found) -> bool:
    """Say whether a folder is a data set as it is: images/ and masks/, with the same names."""
    masks = [(case, path) for case, paths in found.masks.items() for path in paths]
    return (folder / "images").is_dir() and all(
        stem(path) == case and path.parent in (folder / "masks", folder / "labels")
        for case, path in masks
    )


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and file_ending(p))


def _is_mask(path: Path, folder: Path) -> bool:
    above = path.relative_to(folder).parts[:-1]
    return any(MASK_FOLDER.match(part) for part in above) or bool(MASK_NAME.search(stem(path)))


def _link(found: _Found, root: Path) -> None:
    for case, paths in found.images.items():
        for path in paths:
            ending = file_ending(path)
            number = stem(path)[len(case) :] if stem(path).startswith(case) else ""
            _symlink(path, root / "images" / f"{case}{number}{ending}")
    for case, paths in found.masks.items():
        target = root / "masks" / f"{case}{label_ending(file_ending(paths[0]))}"
        if len(paths) == 1:
            _symlink(paths[0], target)
            continue
        volumes = [read_label(path) for path in paths]
        if len({v.array.shape for v in volumes}) > 1:
            raise HinterlandError(
                f"the masks of {case!r} have different sizes: {paths[0]}, ..."
                " Draw them on one image again, or remove the wrong one."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        merged = np.maximum.reduce([v.array[0] for v in volumes])
        write_label(target, merged, like=volumes[0], overwrite=True)


def _symlink(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        target.unlink()
    target.symlink_to(path.resolve())


def _labels(found: _Found, table: LabelTable) -> tuple[dict[str, Any], str, list[str]]:
    """Make the content of labels.yaml, the node that any lesion is, and notes on both."""
    masks = [path for paths in found.masks.values() for path in paths]
    values = sorted({int(v) for path in masks for v in np.unique(read_label(path).array)})
    if len(values) > 12:
        raise HinterlandError(
            f"the masks have {len(values)} different values ({', '.join(map(str, values[:6]))}, "
            "...): they are no label images (perhaps grey levels of a JPEG). Save them as PNG with "
            "one value per class."
        )
    shown = [v for v in values if v] or [1]
    types = {_node(v): v for v in table.answers if not negative(v) and not positive(v)}
    content: dict[str, Any] = {"tree": {"background": {}, "lesion": {}}, "target": ["lesion"]}
    notes = []
    if len(shown) == 1 and len(types) > 1:
        content["tree"]["lesion"] = {t: {} for t in types}
        content["target"] = list(types)
        content["schemes"] = {t: {0: "background", shown[0]: t} for t in types}
        of_value = {v: t for t, v in types.items()}
        schemes = {
            case: of_value.get(table.rows.get(case, {}).get(table.label, ""), next(iter(types)))
            for case in found.masks
        }
        content["cases"] = {glob.escape(case): {"scheme": n} for case, n in schemes.items()}
        notes.append(f"a mask shows the type of its image: {', '.join(types)}, each a lesion")
    else:
        if len(shown) > 1:
            content["tree"]["lesion"] = {f"class{v}": {} for v in shown}
            content["target"] = [f"class{v}" for v in shown]
        names = {v: f"class{v}" if len(shown) > 1 else "lesion" for v in shown}
        content["schemes"] = {"full": {0: "background", **names}}
        text = ", ".join(f"{v} is {n}" for v, n in names.items())
        notes.append(f"in a mask 0 is background, {text}; rename the classes in labels.yaml")
    content["image_labels"] = TABLE_FILE
    return content, "lesion" if any(map(negative, table.answers)) else "", notes


def _node(value: str) -> str:
    """Turn a label into the name of a class."""
    text = re.sub(r"[^\w.-]+", "_", value.strip()).strip("_")
    return text if text and not text.isdecimal() and text != "any" else f"class{text}"


def _row(case: str, table: LabelTable, lesion: str, nodes: Sequence[str]) -> dict[str, str]:
    """Make a row of image_labels.csv: what the table says, and whether there is a lesion."""
    own = table.rows.get(case, {})
    value = own.get(table.label, "")
    row = {"case": case}
    if lesion:
        row[lesion] = "" if not value else str(int(not negative(value)))
    for node in [_node(v) for v in table.answers if _node(v) in nodes]:
        row[node] = "" if not value else str(int(_node(value) == node))
    kept = [c for c in table.columns if c not in (table.name, table.patient, "case", lesion)]
    # a column that is called like a class would be read as "is it there?"
    return row | {f"{c}_text" if c in nodes else c: own.get(c, "") for c in kept}


def _split(root: Path, table: LabelTable, seed: int) -> dict[str, list[str]]:
    """Draw and write a split: by patient, stratified by the asked label and by who has a mask."""
    cases = []
    for case in read_dataset(root).cases:
        row = table.rows.get(case.name, {})
        known = {"label": row[table.label]} if row.get(table.label) else {}
        who = row.get(table.patient, "") if table.patient else ""
        cases.append(replace(case, group=who or case.name, image_labels=known))
    groups = groups_of([c for c in cases if c.image_labels])
    count = len(groups)
    if count < 10:
        raise HinterlandError(
            f"only {count} images or patients have a label; training, validation and test need at "
            "least 10."
            " Add labels."
        )
    test = draw_groups(groups, max(1, round(TEST_SHARE * count)), seed)
    rest = {g: members for g, members in groups.items() if g not in test}
    val = draw_groups(rest, max(1, round(VALIDATION_SHARE * count)), seed)
    part_of = {c.name: _part(c, test, val) for c in cases}
    parts: dict[str, Any] = {
        part: [n for n, p in part_of.items() if p == part] for part in ("train", "val", "test")
    }
    written = dict(parts)
    if table.patient:
        written["cases"] = {c.name: {"patient": c.group} for c in cases}
    write_text(root / SPLITS_FILE, json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    return parts


def _part(case: Case, test: set[str], val: set[str]) -> str:
    """Find the split of a case; one of which nothing is known is learnt from, or left out."""
    group = case.group or case.name
    if not case.image_labels:
        return "train" if case.labelled and group not in test | val else ""
    return "test" if group in test else "val" if group in val else "train"


def _understood(found: _Found, table: LabelTable, parts: Mapping[str, Sequence[str]]) -> list[str]:
    separator = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}[table.separator]
    known = sum(bool(r[table.label]) for r in table.rows.values())
    counts = pd.Series([r[table.label] for r in table.rows.values()]).value_counts()
    lines = [
        f"{len(found.images)} images, {len(found.masks)} of them with a mask",
        f"the table is separated by {separator} ({table.encoding}); {table.name!r} names the "
        f"images, {table.label!r} is asked: "
        + ", ".join(f"{n} {v or 'unknown'}" for v, n in counts.items()),
        f"patients are in {table.patient!r}" if table.patient
        else "no column says whose an image is: each counts as a patient of its own",
        ", ".join(f"{len(names)} {part}" for part, names in parts.items())
        + " cases, of each label its share"
        + (", no patient in two of them" if table.patient else ""),
    ]  # fmt: skip
    if known < len(found.images):
        lines.append(f"{len(found.images) - known} images have no label and are judged nowhere")
    if table.unmatched:
        lines.append(
            f"{len(table.unmatched)} row{'s' * (len(table.unmatched) > 1)} without an image: "
            + ", ".join(table.unmatched[:3])
            + (", ..." if len(table.unmatched) > 3 else "")
        )
    return lines


def _commands(root: Path, found: _Found, table: LabelTable, lesion: str) -> tuple[str, ...]:
    """Write the next three commands."""
    known = [v for v in table.answers if not negative(v)]
    task = lesion or (f"{table.label}={known[-1]}" if len(table.answers) == 2 else table.label)
    task = f"'{task}'" if re.search(r"[^\w.=-]", task) else task
    name = f"'{root}'" if re.search(r"[^\w./-]", str(root)) else str(root)
    if len(found.masks) < 2:
        return (
            f"hinterland classify train {name} --task {task} --by resnet50 --out classifier",
            "hinterland classify evaluate classifier",
            "hinterland classify predict classifier NEW_IMAGES answers",
        )
    return (
        f"hinterland train {name} --method supervised --on leaves --fold fixed "
        "--set optimiser.optimiser=adam --set optimiser.lr=1e-3 --set validation.select=auroc "
        "--out segmentation",
        f"hinterland classify train segmentation --task {task} --by rule --out classifier",
        "hinterland classify evaluate classifier",
    )
