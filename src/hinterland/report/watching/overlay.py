"""The last validation, seen: what the last checkpoint says of one slice of a validation case."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hinterland.data.preprocessing.cache import prepare
from hinterland.data.sampling.cropping import cut
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.report.viewing.overlay import COLOURS, slice_picture
from hinterland.training.runs.run import Run


def validation_overlay(path: Path) -> list[dict[str, str]]:
    """Predict one patch around the target of the first labelled validation case, on the CPU.

    Args:
        path: a run that has saved a checkpoint.

    Returns:
        Pictures with their names, reference and prediction; none where there is no checkpoint yet
        or no validation case with a label.
    """
    run = Run(path)
    record = run.record
    if not (path / "checkpoints" / "last.ckpt").is_file():
        return []
    cases = [c for c in record.cases(run.dataset, "val") if c.label is not None]
    if not cases:
        return []
    case, at, table = cases[0], record.spec.target, record.spec.label_sets
    stored = prepare(run.dataset, record.plan, cases=[case], workers=0)[case.name]
    rows = LabelSetLookup(table, record.spec.scheme(case.scheme))(
        np.asarray(stored.label), case.name
    )
    truth = np.select([table.member(at)[:, g][rows] for g in at.foreground],
                      list(at.foreground), default=-1)  # fmt: skip
    z, y, x = _centre(truth)
    patch = record.plan.patch_size
    size = (1, *patch) if len(patch) == 2 else tuple(patch)
    corner = tuple(c - n // 2 for c, n in zip((z, y, x), size, strict=True))
    image, seen = cut(stored.image, corner, size, 0.0), cut(truth, corner, size, -1)
    predictor = run.predictor("last", accelerator="cpu", precision="fp32", mirror=False)
    said = predictor.log_probabilities(image, at).argmax(axis=0)
    colours = {g: COLOURS[i % len(COLOURS)] for i, g in enumerate(at.foreground)}
    middle, sides = z - corner[0], record.plan.spacing[1:]
    shown = [("image", None), ("reference", seen), ("last checkpoint", said)]
    return [
        {"name": f"{case.name}, {name}",
         "picture": slice_picture(
             image[0, middle], None if labels is None else labels[middle], colours, sides=sides)}
        for name, labels in shown
    ]  # fmt: skip


def _centre(truth: np.ndarray) -> tuple[int, int, int]:
    """Return a voxel in the middle of the slice with most of the target, or of the volume."""
    inside = truth >= 0
    if not inside.any():
        z, y, x = (n // 2 for n in truth.shape)
        return z, y, x
    z = int(inside.sum(axis=(1, 2)).argmax())
    y, x = (int(v) for v in np.argwhere(inside[z]).mean(axis=0))
    return z, y, x
