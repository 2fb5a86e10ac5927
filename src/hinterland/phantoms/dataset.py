"""Phantom data sets: small volumes with known anatomy, written as an nnU-Net raw folder."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hinterland.phantoms.anatomy import (
    LEAVES,
    Phantom,
    PhantomParameters,
    draw_null_supports,
    draw_phantom,
)
from hinterland.types import HinterlandError

log = logging.getLogger(__name__)

Kind = Literal["informative", "null"]
DEFAULT_SIZE = {3: 48, 2: 96}
_PNG_GAIN = 0.25  # 8-bit grey levels per intensity unit: 0..1020 units fill 0..255

_LABELS_YAML = """\
tree:
  background: {host: {}, decoy: {}, bowel: {}, spine: {}, rest: {}}
  lesion: {}
target: [lesion]
schemes:
  full: {0: rest, 1: host, 2: decoy, 3: bowel, 4: spine, 5: lesion}
  lesion: {0: background, 1: background, 2: background, 3: background, 4: background, 5: lesion}
"""


def phantom_case(
    index: int,
    *,
    seed: int = 0,
    kind: Kind = "informative",
    shape: tuple[int, ...] = (48, 48, 48),
    parameters: PhantomParameters | None = None,
) -> Phantom:
    """Draw one patient of a phantom population.

    The same arguments always give the same bytes. Both kinds have the same images, lesions and
    mimics; in the `null` kind the support labels are solids that were placed without looking at
    the image.

    Args:
        index: of the patient.
        seed: of the population.
        kind: "informative", or "null" for supports that know nothing of the image.
        shape: voxels (z, y, x), or pixels (y, x).
        parameters: of the anatomy; default, `PhantomParameters()`.

    Returns:
        Image, label and mimics, of that shape.
    """
    parameters = parameters or PhantomParameters()
    phantom = draw_phantom(np.random.default_rng([seed, index]), shape, parameters)
    if kind == "informative":
        return phantom
    label = draw_null_supports(np.random.default_rng([seed, index, 1]), phantom.label, parameters)
    return Phantom(phantom.image, label, phantom.mimics)


def make_phantoms(
    out: Path,
    cases: tuple[int, int, int] = (24, 6, 12),
    seed: int = 0,
    kind: Kind = "informative",
    dims: Literal[2, 3] = 3,
    size: int | None = None,
    parameters: PhantomParameters | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a phantom data set into a new folder.

    Layout: nnU-Net raw (imagesTr / labelsTr for train and val, imagesTs / labelsTs for test),
    `dataset.json`, `labels.yaml` (target `lesion`; supports host, decoy, bowel, spine) and
    `splits.json`. Every patient has one scan: NIfTI of `size` ** 3 voxels with a geometry in mm, or
    8-bit PNG of `size` ** 2 pixels with dims=2. The folder appears whole or not at all.

    Args:
        out: the folder to make.
        cases: patients for train, val and test.
        seed: of the population.
        kind: "informative", or "null" for supports that know nothing of the image.
        dims: spatial axes.
        size: voxels along each side, default 48 (3D), 96 (2D).
        parameters: of the anatomy; default, `PhantomParameters()`.
        overwrite: replace `out` if it is there.

    Returns:
        The folder.

    Raises:
        HinterlandError: `out` is there already (and not `overwrite`), or an argument makes no
            sense.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder = make_phantoms(Path(place) / "phantoms", (2, 1, 1), dims=2, size=32)
    ...     sorted(path.name for path in folder.iterdir())
    ['dataset.json', 'imagesTr', 'imagesTs', 'labels.yaml', 'labelsTr', 'labelsTs', 'splits.json']
    """
    out = Path(out)
    _check(out, cases, kind, dims, size, overwrite)
    shape = (size or DEFAULT_SIZE[dims],) * dims
    parameters = parameters or PhantomParameters()
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (partial / folder).mkdir(parents=True)
    split: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    owners = [name for name, count in zip(split, cases, strict=True) for _ in range(count)]
    ending = ".nii.gz" if dims == 3 else ".png"
    for index, owner in enumerate(owners):
        name = f"phantom_{index:03d}"
        split[owner].append(name)
        phantom = phantom_case(index, seed=seed, kind=kind, shape=shape, parameters=parameters)
        part = "Ts" if owner == "test" else "Tr"
        _write_image(partial / f"images{part}" / f"{name}_0000{ending}", phantom.image, parameters)
        _write_label(partial / f"labels{part}" / f"{name}{ending}", phantom.label, parameters)
    description = {
        "name": f"Hinterland phantom ({kind}, {dims}D, seed {seed})",
        "channel_names": {"0": "MR"},
        "labels": {"background" if n == "rest" else n: i for i, n in enumerate(LEAVES)},
        "numTraining": cases[0] + cases[1],
        "numTest": cases[2],
        "file_ending": ending,
    }
    (partial / "dataset.json").write_text(json.dumps(description, indent=1))
    (partial / "splits.json").write_text(json.dumps({"seed": seed, **split}, indent=1))
    (partial / "labels.yaml").write_text(_LABELS_YAML)
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    log.info("wrote %d phantoms to %s", len(owners), out)
    return out


def _check(
    out: Path,
    cases: tuple[int, int, int],
    kind: str,
    dims: int,
    size: int | None,
    overwrite: bool,
) -> None:
    if out.exists() and not overwrite:
        raise HinterlandError(
            f"{out} is there already. Choose another folder, or say that it may be overwritten."
        )
    if len(cases) != 3 or min(cases) < 0 or cases[0] < 1:
        raise HinterlandError(
            f"phantom counts {cases}: expected patients for (train, val, test), at least one train."
        )
    if kind not in ("informative", "null") or dims not in (2, 3):
        raise HinterlandError(
            f"phantoms of kind {kind!r} in {dims} dimensions: expected 'informative' or 'null', "
            "and 2 or 3 dimensions."
        )
    if size is not None and size < 16:
        raise HinterlandError(
            f"a phantom of {size} voxels a side is too small; 16 is the least. Take 16 or more."
        )


def _write_image(path: Path, image: NDArray[np.float32], p: PhantomParameters) -> None:
    if image.ndim == 2:
        _write_png(path, np.clip(np.rint(image * _PNG_GAIN), 0, 255).astype(np.uint8))
    else:
        _write_nifti(path, image, p)


def _write_label(path: Path, label: NDArray[np.uint8], p: PhantomParameters) -> None:
    if label.ndim == 2:
        _write_png(path, label)
    else:
        _write_nifti(path, label, p)


def _write_png(path: Path, array: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(array).save(path)


def _write_nifti(path: Path, array: NDArray[np.generic], p: PhantomParameters) -> None:
    import nibabel as nib

    affine = np.diag([-p.spacing, -p.spacing, p.spacing, 1.0])  # scanner order: x to the left
    affine[:3, 3] = [0.5 * p.spacing * n for n in (array.shape[2], array.shape[1], -array.shape[0])]
    image = nib.Nifti1Image(np.ascontiguousarray(array.T), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
