"""Negatives where every scan is positive: lesions painted over in some patients' scans.

A question that all cases answer with yes can be learnt and judged by nobody. Scans from elsewhere,
or made-up ones, are told apart by anything but the lesion. Here some patients' lesions are painted
over with healthy tissue of the same scan, and in the others as much healthy tissue is painted over
likewise, so that the paint is no answer.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import ndimage

from hinterland.classification.dataset.relabel import claim_folder, copy_lists, label_path
from hinterland.data.dataset.splits import draw_groups, groups_of
from hinterland.data.derived.erase import MARGIN, erase, sham
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.formats import format_of
from hinterland.data.io.volume import read_label, read_volume, write_label
from hinterland.labels import CaseSettings, Scheme
from hinterland.types import Case, Dataset, HinterlandError

MARK = "negatives.json"
TABLE = "image_labels.csv"


@dataclass
class Negatives:
    """The data set that was made: whose lesions are painted over, and whose are not."""

    out: Path
    negative: list[str] = field(default_factory=list)
    positive: list[str] = field(default_factory=list)


def with_negatives(
    dataset: Dataset,
    node: str,
    within: str,
    out: Path | str,
    *,
    share: float = 0.5,
    seed: int = 0,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> Negatives:
    """Write the data set again, with the lesions of some patients of each split painted over.

    Args:
        dataset: the cases, each with a mask; cases without one are left out.
        node: what is painted over, a node of the tree.
        within: the healthy tissue that it is painted over with, a node that is annotated itself.
        out: the folder to write.
        share: of the patients of each split that become negative, at least one and not all.
        seed: of the draws.
        overwrite: replace `out` if it was made by this function.
        tick: called with (done, of how many).

    Returns:
        Where the data set is, and the cases by what they are now. Other image labels are not kept:
        they speak of the scans as they were.

    Raises:
        HinterlandError: some case is negative already, a case has no healthy tissue, a split has
            too few patients, or `out` is there already.
    """
    out = Path(out)
    cases = [c for c in dataset.cases if c.label is not None]
    erased = _drawn(cases, share, seed)
    work = claim_folder(out, overwrite, MARK)
    result = Negatives(out)
    try:
        for done, case in enumerate(cases, start=1):
            rng = np.random.default_rng([seed, done])
            becomes = case.name in erased
            _write(dataset, case, work, (node, within), becomes, rng)
            (result.negative if becomes else result.positive).append(case.name)
            if tick:
                tick(done, len(cases))
    except HinterlandError:
        shutil.rmtree(work)
        raise
    copy_lists(dataset, work)
    settings = {
        glob.escape(c.name): CaseSettings(c.scheme, c.domain or None, c.group or None)
        for c in cases
    }
    spec = replace(dataset.labels, cases=settings, group_pattern=None, image_labels=TABLE)
    write_text(work / TABLE, csv_text(_table(node, result)))
    content = yaml.safe_dump(spec.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(work / "labels.yaml", content)
    record = {"data": str(dataset.root.resolve()), "erased": node, "within": within, "seed": seed,
              "negative": result.negative, "positive": result.positive}  # fmt: skip
    write_text(work / MARK, json.dumps(record, indent=1) + "\n")
    if out.exists():
        shutil.rmtree(out)
    work.rename(out)
    return result


def _drawn(cases: list[Case], share: float, seed: int) -> set[str]:
    """Draw the cases that become negative: whole patients, their share of each split."""
    if not 0 < share < 1:
        raise HinterlandError(f"share {share}: expected a number between 0 and 1.")
    found: set[str] = set()
    for part in dict.fromkeys(c.split for c in cases):
        groups = groups_of([replace(c, image_labels={}) for c in cases if c.split == part])
        if len(groups) < 2:
            raise HinterlandError(
                f"the {part or 'undivided'} cases are of {len(groups)} patient(s); a split needs "
                "two, one to stay positive. Divide the cases otherwise in splits.json."
            )
        count = min(max(1, round(share * len(groups))), len(groups) - 1)
        for group in draw_groups(groups, count, seed):
            found |= {c.name for c in groups[group]}
    return found


def _table(node: str, made: Negatives) -> pd.DataFrame:
    """Say which case is what, so that splits are drawn with both."""
    rows = [{"case": n, node: 0} for n in made.negative]
    return pd.DataFrame(rows + [{"case": n, node: 1} for n in made.positive])


def _write(
    dataset: Dataset, case: Case, work: Path, nodes: tuple[str, str], becomes: bool,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Write one case, with its lesions painted over or as much healthy tissue."""
    assert case.label is not None
    node, within = nodes
    volume = read_volume(case.images)
    if len(case.images) != len(volume.array):
        raise HinterlandError(
            f"{case.images[0]} holds {len(volume.array)} channels. Expected a file for each: "
            "colour pictures are not painted over."
        )
    label = read_label(case.label, case.images[0]).array[0]
    scheme, tree = dataset.labels.scheme(case.scheme), dataset.labels.tree
    lesion, tissue = (_mask(label, scheme, tree.leaves_under(n)) for n in (node, within))
    healthy = tissue & ~lesion & ~ndimage.binary_dilation(lesion, iterations=MARGIN)
    if not lesion.any():
        raise HinterlandError(
            f"case {case.name} holds no {node!r}: the data set has negatives of its own. Use those,"
            " or leave the case out."
        )
    if not healthy.any():
        raise HinterlandError(
            f"case {case.name} has no {within!r} away from its {node!r} to paint with. Name other "
            "tissue with --within, or leave the case out."
        )
    rim = ndimage.binary_dilation(lesion) & (tissue | lesion)
    region = rim if becomes else sham(rim, healthy, rng)
    image = erase(volume.array, region, healthy & ~region, rng) if region.any() else volume.array
    if becomes:
        label = np.where(lesion, _integer(scheme, tree.leaves_under(within), within), label)
    for channel, file in zip(image, case.images, strict=True):
        target = work / file.relative_to(dataset.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        format_of(target).write(target, np.ascontiguousarray(channel[None]), volume.affine)
    target = work / label_path(dataset, case)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_label(target, label, like=volume)


def _mask(label: np.ndarray, scheme: Scheme, leaves: frozenset[int]) -> np.ndarray:
    return np.isin(label, [v for v, own in scheme.label_values.items() if own <= leaves])


def _integer(scheme: Scheme, leaves: frozenset[int], name: str) -> int:
    """Find the integer that means exactly these leaves."""
    found = [v for v, own in scheme.label_values.items() if own == leaves]
    if not found:
        raise HinterlandError(
            f"the scheme {scheme.name!r} has no value for {name!r} alone. Name tissue that is "
            "annotated itself with --within."
        )
    return found[0]
