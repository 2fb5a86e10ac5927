"""A copy of a data set whose foreground is made larger or smaller (CVBM, table IX)."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.harness.cell import data_root, work_root
from hinterland.data.dataset.read import read_dataset
from hinterland.data.derived.foreground_scale import scale_foreground


def scaled_dataset(name: str, factor: float) -> Path:
    """The folder of the copy, made once: training, validation and test cases alike."""
    folder = work_root() / "data" / f"{name}-foreground-{factor:g}"
    if folder.is_dir():
        return folder
    source = data_root() / name
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for part in ("imagesTr", "imagesTs", "labelsTr", "labelsTs"):
        (temporary / part).mkdir(parents=True)
    for file in ("dataset.json", "splits.json"):
        shutil.copy(source / file, temporary / file)
    for case in read_dataset(source).cases:
        assert case.label is not None
        (image,) = (nib.nifti1.load(path) for path in case.images)
        label = nib.nifti1.load(case.label)
        pixels, classes = scale_foreground(
            np.asarray(image.dataobj)[None], np.asarray(label.dataobj), factor
        )
        for old, values, path in (
            (image, pixels[0], case.images[0]),
            (label, classes, case.label),
        ):
            made = nib.nifti1.Nifti1Image(values, old.affine, old.header)
            nib.nifti1.save(made, temporary / path.relative_to(source))
    temporary.replace(folder)
    return folder
