"""Semi-supervised training with masks of a run: pseudo-label the rest, correct it by image labels.

The result is a data set like the one the run was trained on, in which training cases without a mask
have the run's. Training on it (any method) is the paper's final step.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from hinterland.classification.dataset.boost import boosted, known_nodes
from hinterland.classification.dataset.cases import with_image_labels
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import file_ending, label_ending, read_volume, write_label
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.labels import CaseSettings, LabelSpec, Scheme
from hinterland.training.runs.run import Run
from hinterland.types import Case, Dataset, HinterlandError
from hinterland.types.case import unmasked

SCHEME = "pseudo"
MARK = "pseudo-labels.json"
_COPIED = ("splits.json", "splits_final.json", "dataset.json")


@dataclass
class Relabelled:
    """What was done with the cases that had no mask."""

    out: Path
    kept: list[str] = field(default_factory=list)
    zeroed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "pseudo": len(self.kept),
            "zeroed": len(self.zeroed),
            "left_out": len(self.left_out),
        }


def relabel(
    run: Run,
    out: Path | str,
    *,
    boost: bool = False,
    image_labels: Path | None = None,
    column: str | None = None,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> Relabelled:
    """Write the data set of a run again, with pseudo masks for training cases that had none.

    Cases that are left out stay in the data set without a label. Images are linked, not copied.

    Args:
        run: the finished run whose masks are taken.
        out: the folder to write.
        boost: correct the masks by image labels: see `boost`.
        image_labels: the file of these labels; default, those of the data set.
        column: a free column whose values are nodes.
        overwrite: replace `out` if it is there.
        tick: called with (done, of how many).

    Returns:
        Where the data set is, and which cases got which masks.

    Raises:
        HinterlandError: nothing is unlabelled, `boost` without an image label for any of these
            cases,
            or `out` is there already and not `overwrite` (or not of this kind).
    """
    out = Path(out)
    dataset = with_image_labels(run.dataset, image_labels)
    record, cells = run.record, run.method.cells
    todo = [dataset[n] for n in record.split["train"] if unmasked(record.schemes[n])]
    if not todo:
        raise HinterlandError(f"{run.path} was trained on masks of all its training cases.")
    values = {str(v) for c in dataset.cases for k, v in c.image_labels.items() if k == column}
    known = {c.name: known_nodes(c.image_labels, cells.tree, column, values) for c in todo}
    if boost and not any(known.values()):
        raise HinterlandError(
            f"none of the {len(todo)} training cases without a mask has an image label for a class "
            f"of the tree ({', '.join(cells.tree.nodes)}). Give --image-labels CSV, or --column "
            "NAME for a column whose values are such classes."
        )
    work = claim_folder(out, overwrite, MARK)
    result = Relabelled(out)
    values_of = tuple((i, group) for i, group in enumerate(cells.groups))
    predictor = run.predictor()
    for done, case in enumerate(todo, start=1):
        volume = read_volume(case.images)
        image, _, geometry = preprocess(volume, record.plan)
        fixed: np.ndarray | None
        if boost:
            logs = predictor.log_probabilities(image, cells)
            found = geometry.undo(np.exp(logs), background=cells.background)
            mask = found.argmax(axis=0)
            fixed = boosted(found, cells, known[case.name], alternatives=values)
        else:
            fixed = mask = predictor.labels(image, geometry, cells)
        if fixed is None:
            result.left_out.append(case.name)
        else:
            same = np.array_equal(fixed, mask)
            (result.kept if same else result.zeroed).append(case.name)
            target = work / label_path(dataset, case)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_label(target, fixed.astype(np.uint8), like=volume, overwrite=True)
        if tick:
            tick(done, len(todo))
    pseudo = {*result.kept, *result.zeroed}
    link_images(dataset, work, [c for c in dataset.cases if c not in todo])
    _write_labels(record.spec, dataset, work, values_of, pseudo, set(result.left_out))
    write_text(work / MARK, json.dumps({"run": str(run.path.resolve()), "boosted": boost,
                                        **result.counts, "names": vars(result) | {"out": ""}},
                                       indent=1) + "\n")  # fmt: skip
    if out.exists():
        shutil.rmtree(out)
    work.rename(out)
    return result


def claim_folder(out: Path, overwrite: bool, mark: str) -> Path:
    """Make a folder beside `out` to work in.

    Args:
        out: the data set to make.
        overwrite: whether one of the same kind may be there.
        mark: the file by which its kind is known.

    Returns:
        The folder.

    Raises:
        HinterlandError: `out` is there and may not be replaced.
    """
    ours = (out / mark).is_file()
    if out.exists() and not (overwrite and ours):
        raise HinterlandError(
            f"{out} exists already. "
            + ("Give --overwrite, or another --out." if ours
               else "It was not made by this command: choose another --out.")
        )  # fmt: skip
    work = out.with_name(f".{out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def label_path(dataset: Dataset, case: Case) -> Path:
    """Return where the label file of a case belongs, relative to the data set's folder."""
    image = case.images[0].relative_to(dataset.root)
    folder = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}.get(image.parts[0], "masks")
    if folder == "masks" and not (dataset.root / "masks").is_dir():
        folder = "labels" if (dataset.root / "labels").is_dir() else "masks"
    return Path(folder) / f"{case.name}{label_ending(file_ending(image))}"


def link_images(dataset: Dataset, work: Path, masks_of: Collection[Case] = ()) -> None:
    """Link the images, the masks of some cases, and copy the lists of splits.

    Args:
        dataset: the cases.
        work: the folder to fill.
        masks_of: the cases whose masks are linked, too.
    """
    files = [path for case in dataset.cases for path in case.images]
    files += [case.label for case in masks_of if case.label]
    for path in files:
        target = work / path.relative_to(dataset.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
    copy_lists(dataset, work)


def copy_lists(dataset: Dataset, work: Path) -> None:
    """Copy the lists of splits and the description of a data set."""
    for name in _COPIED:
        if (dataset.root / name).is_file():
            shutil.copyfile(dataset.root / name, work / name)


def _write_labels(
    spec: LabelSpec,
    dataset: Dataset,
    work: Path,
    values: tuple[tuple[int, frozenset[int]], ...],
    pseudo: Collection[str],
    left_out: Collection[str],
) -> None:
    """Write labels.yaml: the run's, with a scheme for pseudo masks; image labels as a table."""
    cases: dict[str, CaseSettings] = dict(spec.cases)
    own: Mapping[str, Scheme] = {**spec.schemes, SCHEME: Scheme(SCHEME, spec.tree, values)}
    for case in dataset.cases:
        scheme = SCHEME if case.name in pseudo else "none" if case.name in left_out else case.scheme
        cases[glob.escape(case.name)] = CaseSettings(scheme, case.domain or None, case.group)
    table = pd.DataFrame([{"case": c.name, **c.image_labels} for c in dataset.cases])
    written = len(table.columns) > 1
    if written:
        write_text(work / "image_labels.csv", csv_text(table))
    changed = replace(
        spec, schemes=own, cases=cases, image_labels="image_labels.csv" if written else None
    )
    content = yaml.safe_dump(changed.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(work / "labels.yaml", content)
