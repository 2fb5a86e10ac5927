"""Our planner beside nnU-Net's on real data sets, as the table in docs/planning.md.

    HINTERLAND_NNUNET_PYTHON=.../python python -m benchmarks.peers.planning DATA > docs/planning.md

DATA holds the data sets' folders.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.fingerprint import fingerprint, training_cases
from hinterland.data.planning.nnunet import nnunet_plans, translate
from hinterland.data.planning.plan import make_plan, plan_cost
from hinterland.types import Plan

NAMES = (
    "Dataset004_Hippocampus",
    "Dataset027_ACDC",
    "Dataset101_LA_half",
    "Dataset115_COVID19CT",
    "Dataset116_MyoPS",
    "MoNuSeg",
    "STU",
)
MEMORY = (8.0, 2.0)

HEAD = """\
# Planning: ours beside nnU-Net's

Hinterland plans by nnU-Net's published rules (Isensee et al. 2021, version 2) without importing
nnU-Net. This table is written by

    HINTERLAND_NNUNET_PYTHON=.../python python -m benchmarks.peers.planning DATA > docs/planning.md

with nnunetv2 2.8.1, each planner on its own fingerprint of the same training cases. "Equal" means
every field of the plan: target spacing, transpose, normalisation, median shape, patch, batch, batch
Dice, features, strides, kernels and convolutions. (`tests/data/test_planning.py` compares the two
on made-up fingerprints besides.)

| data set | network | memory | spacing (z, y, x) | patch | batch | stages | equal to nnU-Net's |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""

NOTES = """
Where they may differ:

- **Spacing** is rounded to 1e-6 mm when it is read, so that noise in a header cannot decide which
  axis is the coarsest.
- **Colour channels** named R, G, B (or red, green, blue, RGB) are divided by 255. nnU-Net does so
  only for the name `rgb_to_0_1` and takes the z-score otherwise.
- **CT statistics** are drawn from 4 million voxels of the foreground instead of 100 million, so the
  mean is known to about std / 2000. (None of the data sets above is in Hounsfield units.)
- **2D or 3D**, when `--dims` is not given: nnU-Net plans both and leaves the choice to
  cross-validation. We take 3D from 16 slices upward (with fewer, a network can pool along z at most
  once) if the spacing is known, else 2D.
- **Unlabelled cases** count for shape and spacing here; nnU-Net leaves them out.
- There is no low-resolution cascade; whether nnU-Net would plan one decides batch Dice, as there.
"""


def rows(folder: Path, name: str) -> Iterator[str]:
    """The table's lines of one data set."""
    dataset = read_dataset(folder / name)
    measured = fingerprint(dataset)
    classes = len(dataset.labels.tree.leaves)
    for memory in MEMORY:
        theirs = nnunet_plans(dataset, memory, training_cases(dataset))
        for dims, configuration in ((2, "2d"), (3, "3d_fullres")):
            if configuration not in theirs["configurations"]:
                continue
            ours = make_plan(measured, dims, memory, classes)  # type: ignore[arg-type]
            other = translate(
                theirs,
                dataset.channels,
                measured.hash,
                dataset.spacing_known,
                dims,  # type: ignore[arg-type]
                memory,
            )
            spacing = ", ".join("as is" if s is None else f"{s:.4g}" for s in ours.spacing)
            patch = " x ".join(map(str, ours.patch_size))
            cost = plan_cost(ours, classes)
            yield (
                f"| {name} | {dims}D, {cost.parameters / 1e6:.1f} M | {memory:g} GB | {spacing} "
                f"| {patch} | {ours.batch_size} | {len(ours.network.features)} "
                f"| {verdict(ours, other)} |"
            )


def verdict(ours: Plan, theirs: Plan) -> str:
    """`yes`, or the fields that differ with both values."""
    differing = []
    for field in dataclasses.fields(Plan):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if field.name == "spacing":
            close = all(
                p == q or (p and q and abs(p - q) <= 1e-6) for p, q in zip(a, b, strict=True)
            )
            if close:
                continue
        if field.name == "normalisation":
            a, b = ([n.scheme for n in x] for x in (a, b))
        if a != b and field.name != "planner":
            differing.append(f"{field.name}: {a}, nnU-Net's {b}")
    return "; ".join(differing) or "yes"


if __name__ == "__main__":
    root = Path(sys.argv[1])
    sys.stdout.write(HEAD)
    for data in NAMES:
        for row in rows(root, data):
            sys.stdout.write(row + "\n")
            sys.stdout.flush()
    sys.stdout.write(NOTES)
