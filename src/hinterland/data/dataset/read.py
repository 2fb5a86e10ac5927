"""From a folder to a `Dataset`: which cases there are, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from hinterland.data.dataset.files import CaseFiles, Layout
from hinterland.data.dataset.image_labels import ImageLabels, read_image_labels, unknown_names
from hinterland.data.dataset.label_spec import find_spec, labels_file
from hinterland.data.dataset.layout import find_files
from hinterland.data.dataset.splits_file import SplitsFile, read_splits
from hinterland.data.integrity.problems import Findings, Problem
from hinterland.data.io.formats import is_flat
from hinterland.labels import UNLABELLED, LabelError, LabelSpec
from hinterland.types import Case, Dataset, HinterlandError


def read_dataset(path: Path | str, labels: Path | str | LabelSpec | None = None) -> Dataset:
    """Read a data set: nnU-Net's raw layout, or plain `images/` and `masks/` folders.

    What the label values mean says `labels` (a labels.yaml or a specification), else labels.yaml
    in the folder, else dataset.json; plain masks without any are read as in `find_spec`.
    splits.json gives each case its split and the cases their order; without it imagesTr (or
    images/) is train and imagesTs is test. A case without a label file is unlabelled (scheme
    `none`). The patient (group) of a case is what labels.yaml says, else splits.json, else the
    case itself. A listed case without a label file is one if an image label is known of it. 2D
    image formats carry no spacing: distances are then in pixels.

    Only names and small text files are read here; `check_dataset` looks into the images.

    Args:
        path: The folder of the data set.
        labels: A labels.yaml elsewhere, or a specification.

    Returns:
        The cases in training order, with what their labels mean.

    Raises:
        HinterlandError: The message lists all that is wrong.

    Examples:
        >>> import tempfile
        >>> from hinterland.phantoms.dataset import make_phantoms
        >>> place = tempfile.TemporaryDirectory()
        >>> folder = make_phantoms(Path(place.name) / "set", (2, 1, 1), dims=2, size=32)
        >>> dataset = read_dataset(folder)
        >>> [len(part) for part in (dataset.train, dataset.val, dataset.test)]
        [2, 1, 1]
        >>> dataset.channels, dataset.spacing_known
        (('MR',), False)
        >>> dataset.train[0].label.name == dataset.train[0].name + ".png"
        True
    """
    dataset, problems = scan(path, labels)
    Findings.of(problems).raise_errors()
    if dataset is None:  # scan explains every None by an error
        raise HinterlandError(f"{path} could not be read. See hinterland check {path}.")
    return dataset


def scan(
    path: Path | str, labels: Path | str | LabelSpec | None = None
) -> tuple[Dataset | None, list[Problem]]:
    """Read a data set as `read_dataset` does, but list its problems instead of raising.

    Args:
        path: the data set's folder.
        labels: the label specification or its file; default, see `find_spec`.

    Returns:
        The data set, or None where nothing can be read, and the problems.
    """
    try:
        layout = find_files(Path(path))
    except HinterlandError as error:
        return None, [Problem("error", "bad-dataset", "", str(error))]
    problems = list(layout.problems)
    if not layout.cases:
        folder = "imagesTr" if layout.dataset_json is not None else "images"
        # masks without images follow from it
        problems = [p for p in problems if p.code != "label-without-image"]
        problems.append(
            Problem("error", "no-cases", "",
                    f"{layout.root / folder} holds no case. Check the file ending and names.")
        )  # fmt: skip
        return None, problems
    try:
        spec = _with_image_label_file(layout, find_spec(layout, labels), labels)
        for files in layout.cases:
            spec.case_settings(files.name)  # group_pattern must find a patient in every name
    except LabelError as error:
        return None, [*problems, Problem("error", "bad-labels", "", str(error))]
    splits, found = read_splits(layout.root / "splits.json", [c.name for c in layout.cases])
    problems += found + _unmatched_patterns(layout, spec)
    cases = [_case(files, spec, splits) for files in layout.cases]
    rows, found = _image_labels(layout, spec, cases)
    cases = [
        replace(c, image_labels={**rows.get(c.group, {}), **rows.get(c.name, {})}) for c in cases
    ]
    for files, case in zip(layout.cases, cases, strict=True):
        problems += _label_problems(files, case, spec, splits)
    problems += found
    if splits is not None:
        rank = {name: i for i, name in enumerate(splits.split)}
        cases.sort(key=lambda c: rank.get(c.name, len(rank)))  # stable: the rest keep their order
    flat = all(is_flat(p) for c in cases for p in c.images)
    dataset = Dataset(
        root=layout.root,
        cases=tuple(cases),
        labels=spec,
        channels=layout.channels,
        name=layout.root.resolve().name,
        spacing_known=spec.spacing_known and not flat,
    )
    return dataset, problems


def _case(files: CaseFiles, spec: LabelSpec, splits: SplitsFile | None) -> Case:
    settings = spec.case_settings(files.name)
    scheme = settings.scheme or spec.default_scheme.name
    values = spec.scheme(scheme).values
    label = files.label if values else None
    if values and label is None:
        scheme = UNLABELLED
    split = files.split or "train"
    if splits is not None:
        # an unlabelled scan that no list mentions is there to be learnt from
        outside = "train" if label is None and files.split != "test" else None
        split = splits.split.get(files.name) or outside  # type: ignore[assignment]
    group = settings.group or (splits.groups.get(files.name) if splits else None) or files.name
    return Case(files.name, files.images, label, scheme, group, settings.domain or "", {}, split)


def _label_problems(
    files: CaseFiles, case: Case, spec: LabelSpec, splits: SplitsFile | None
) -> list[Problem]:
    wanted = spec.case_settings(files.name).scheme or spec.default_scheme.name
    listed = splits is not None and files.name in splits.split
    if files.label is None and spec.scheme(wanted).values and not case.image_labels:
        advice = "Add it, or write `scheme: none` for this case in labels.yaml."
        if listed and case.split != "test":
            return [
                Problem("error", "missing-label", case.name,
                        f"splits.json lists this case under {case.split}, but it has no label "
                        f"file. {advice}")
            ]  # fmt: skip
        if splits is None and files.split != "test":
            return [
                Problem("warning", "missing-label", case.name,
                        f"there is no label file, so that the case counts as unlabelled. {advice}")
            ]  # fmt: skip
    if splits is not None and not listed and files.label is not None:
        return [
            Problem("warning", "not-in-splits", case.name,
                    "splits.json does not list this labelled case, so that it is not used. Add it "
                    "to train, val or test.")
        ]  # fmt: skip
    return []


def _unmatched_patterns(layout: Layout, spec: LabelSpec) -> list[Problem]:
    names = [c.name for c in layout.cases]
    return [
        Problem("warning", "labels-unknown-case", "",
                f"labels.yaml has settings for {pattern!r}, which matches no case. Correct the "
                "name; expected the file name without ending and channel number.")
        for pattern in spec.cases
        if not any(fnmatchcase(name, pattern) for name in names)
    ]  # fmt: skip


def _with_image_label_file(
    layout: Layout, spec: LabelSpec, labels: Path | str | LabelSpec | None
) -> LabelSpec:
    """Return the specification with the path of its image-label file.

    The file lies beside a labels.yaml that is outside the data set (then the whole path is given),
    else in the data set's folder.
    """
    beside = labels_file(layout, labels)
    if spec.image_labels is None or beside is None:
        return spec
    if ".." in Path(spec.image_labels).parts or Path(spec.image_labels).is_absolute():
        raise LabelError(
            f"{beside}: image_labels is {spec.image_labels!r}, which leaves the folder. Put the "
            "file beside labels.yaml and give its name."
        )
    file = beside.parent / spec.image_labels
    inside = layout.root / spec.image_labels
    if not file.exists() or file.resolve() == inside.resolve():
        return spec
    return replace(spec, image_labels=str(file.resolve()))


def _image_labels(
    layout: Layout, spec: LabelSpec, cases: list[Case]
) -> tuple[Mapping[str, ImageLabels], list[Problem]]:
    if spec.image_labels is None:
        return {}, []
    path = layout.root / spec.image_labels
    try:
        rows = read_image_labels(path, spec.tree)
    except HinterlandError as error:
        return {}, [Problem("error", "bad-image-labels", "", str(error))]
    return rows, unknown_names(path, rows, [n for c in cases for n in (c.name, c.group)])
