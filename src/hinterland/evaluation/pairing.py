"""Which prediction belongs to which reference, and reading both."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hinterland.data.dataset.decoded import DESCRIPTION, groups_of_folder
from hinterland.data.integrity.geometry import compare
from hinterland.data.io.formats import is_flat
from hinterland.data.io.volume import endings, file_ending, read_header, read_label, stem
from hinterland.evaluation.grid import read_label_on
from hinterland.evaluation.masks import ValueMap, named_values
from hinterland.labels import LabelSpec
from hinterland.types import Case, HinterlandError

log = logging.getLogger(__name__)

_SHOWN = 10


@dataclass(frozen=True)
class Pair:
    """Two label files of one case, and its (first) image file where it is known.

    An empty `scheme` stands for the specification's.
    """

    name: str
    prediction: Path
    reference: Path
    scheme: str = ""
    group: str = ""
    domain: str = ""
    image: Path | None = None

    def with_spec(self, spec: LabelSpec) -> Pair:
        """Fill in scheme, group and domain from the specification where nothing was said."""
        said = spec.case_settings(self.name)
        return replace(
            self,
            scheme=self.scheme or said.scheme or spec.default_scheme.name,
            group=self.group or said.group or self.name,
            domain=self.domain or said.domain or "",
        )


def file_pairs(
    predictions: Path, references: Path, cases: Iterable[str] | None = None, *, extra: bool = False
) -> list[Pair]:
    """Pair two folders by file name without ending.

    Args:
        predictions: folder of label files.
        references: folder of label files.
        cases: only these; default, all references.
        extra: whether predictions of other cases are left alone.

    Returns:
        A pair for each reference.

    Raises:
        HinterlandError: a prediction or a reference is missing, or predictions of other cases are
            there.
    """
    files = label_files(references, "references")
    if cases is not None:
        wanted = list(cases)
        unknown = [c for c in wanted if c not in files]
        if unknown:
            raise HinterlandError(
                f"{references} has no reference for {_listed(unknown)}."
                " Add the references, or remove these predictions."
            )
        files = {c: files[c] for c in wanted}
        extra = True
    found = _matched(predictions, list(files), extra)
    return [Pair(name, found[name], path) for name, path in files.items()]


def case_pairs(
    predictions: Path,
    references: Sequence[Case],
    cases: Iterable[str] | None = None,
    *,
    extra: bool = False,
) -> list[Pair]:
    """Pair a folder with the cases of a data set.

    Args:
        predictions: folder of label files.
        references: cases of a data set.
        cases: only these; default, all.
        extra: whether predictions of other cases are left alone.

    Returns:
        A pair for each case that has a reference.

    Raises:
        HinterlandError: a prediction is missing, predictions of other cases are there, or no case
            has a reference.
    """
    wanted = None if cases is None else set(cases)
    unknown = sorted((wanted or set()) - {c.name for c in references})
    if unknown:
        raise HinterlandError(f"the data set has no case {_listed(unknown)}.")
    chosen = [c for c in references if wanted is None or c.name in wanted]
    labelled = [c for c in chosen if c.labelled]
    if not labelled:
        raise HinterlandError(
            "none of the cases has a reference label; nothing can be evaluated. Add label files."
        )
    found = _matched(predictions, [c.name for c in labelled], extra or wanted is not None)
    return [
        Pair(
            c.name, found[c.name], c.label, c.scheme, c.group, c.domain, next(iter(c.images), None)
        )
        for c in labelled
        if c.label is not None
    ]


def predicted_in(folder: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with predictions from another folder.

    Raises:
        HinterlandError: a prediction is missing there.
    """
    found = _matched(folder, [p.name for p in pairs], extra=True)
    return [replace(p, prediction=found[p.name]) for p in pairs]


def label_files(folder: Path, what: str) -> dict[str, Path]:
    """Find the label files of a folder: case name -> file, sorted by name.

    Raises:
        HinterlandError: there is no such folder, no label file in it, or one case in two formats.
    """
    if not folder.is_dir():
        raise HinterlandError(
            f"there is no folder {folder} with the {what}. Give the folder that holds them."
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not file_ending(path) or path.name.startswith(".") or path.is_dir():
            continue
        if not path.is_file():
            raise HinterlandError(
                f"{path} is a link to a file that is not there ({path.readlink()}). Fetch it "
                "(git annex get, dvc pull), or remove the link: a case is never skipped."
            )
        if stem(path) in found:
            raise HinterlandError(
                f"{folder} holds the case {stem(path)!r} twice: {found[stem(path)].name} and "
                f"{path.name}. Remove one."
            )
        found[stem(path)] = path
    if not found:
        inner = [d.name for d in folder.iterdir() if d.is_dir() and d.name.startswith("labels")]
        hint = f" Did you mean {folder / sorted(inner)[-1]}?" if inner else ""
        raise HinterlandError(
            f"the folder {folder} with the {what} holds no label file "
            f"({', '.join(endings())}).{hint}"
        )
    return found


def _matched(folder: Path, names: list[str], extra: bool) -> dict[str, Path]:
    found = label_files(folder, "predictions")
    missing = [n for n in names if n not in found]
    surplus = [] if extra else [n for n in found if n not in set(names)]
    trouble = []
    if missing:
        trouble.append(
            f"{len(missing)} of {len(names)} references have no prediction: {_listed(missing)}"
        )
    if surplus:
        trouble.append(f"{len(surplus)} predictions have no reference: {_listed(surplus)}")
    if trouble:
        raise HinterlandError(
            f"{folder}: " + "; ".join(trouble) + ". A case is never skipped: predict the missing "
            "ones, and move away what does not belong here (or name the cases to evaluate)."
        )
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def annotated(pairs: list[Pair]) -> list[Pair]:
    """Keep the pairs whose reference says anything; the others are named in a warning.

    Raises:
        HinterlandError: no reference says anything.
    """
    left = [p.name for p in pairs if p.scheme == "none"]
    if left:
        log.warning("%d cases are unlabelled and not evaluated: %s", len(left), ", ".join(left))
    pairs = [p for p in pairs if p.scheme != "none"]
    if not pairs:
        raise HinterlandError(
            "every case is unlabelled: there is no reference to hold against."
            " Add label files, or give their schemes in labels.yaml."
        )
    return pairs


def read_pair(
    pair: Pair, trust_reference: bool = False
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float], bool]:
    """Read prediction and reference on the reference's grid.

    Returns:
        Both as integers (z, y, x), the spacing (z, y, x), and whether it is physical (mm).

    Raises:
        HinterlandError: shapes or geometries differ by more than the order of the axes. Where the
            image is known and the prediction lies on its grid, the message blames the reference.
    """
    reference = read_label(pair.reference)
    try:
        prediction = read_label_on(
            pair.prediction,
            pair.reference,
            pair.name,
            "the prediction",
            "the reference",
            trust=trust_reference,
        )
    except HinterlandError as error:
        raise HinterlandError(_blame_reference(pair) or str(error)) from None
    return prediction, reference.array[0], reference.spacing, not is_flat(pair.reference)


def _blame_reference(pair: Pair) -> str:
    """Say so where the prediction lies on the image's grid and the reference does not, else ""."""
    if pair.image is None or any(map(is_flat, (pair.image, pair.prediction, pair.reference))):
        return ""
    image, prediction, reference = (
        read_header(f) for f in (pair.image, pair.prediction, pair.reference)
    )
    fits = compare(image, prediction, pair.name, "the prediction", "its image")
    wrong = compare(image, reference, pair.name, "the reference label", "its image")
    if (
        wrong is None
        or wrong.severity != "error"
        or (fits is not None and fits.severity == "error")
    ):
        return ""
    return (
        f"{pair.name}: {wrong.message} The prediction lies on the image's grid; it is the label "
        f"{pair.reference} that does not."
    )


def prediction_values(folder: Path, spec: LabelSpec) -> ValueMap:
    """Read what the integers of the predictions in a folder mean.

    From `labels.json` (ours: {"labels": {name: integer}}, or just the mapping) or nnU-Net's
    `dataset.json` beside them (ours says the leaves of each name, too). Without either, or where
    dataset.json has regions (whose predictions are written with the integers of the references),
    what the references' integers mean by default.
    """
    for name in ("labels.json", DESCRIPTION):
        path = folder / name
        if path.is_file():
            labels = _labels_of(path)
            groups = groups_of_folder(folder, spec.tree) if name == DESCRIPTION else None
            if labels is not None and groups is not None and set(groups) == set(labels):
                return {labels[group]: leaves for group, leaves in groups.items()}
            if labels is not None:
                return named_values(spec.tree, labels, str(path))
            break
    return spec.default_scheme.label_values


def _labels_of(path: Path) -> dict[str, int] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        labels = content.get("labels", content)
        if any(isinstance(v, list) for v in labels.values()):
            return None
        return {str(name): int(value) for name, value in labels.items()}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise HinterlandError(
            f"{path} does not say what the predicted labels are ({error}); expected "
            '{"labels": {"background": 0, "class": 1, ...}}.'
        ) from None
