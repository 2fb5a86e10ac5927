"""Read and write MetaImage and NRRD files, through SimpleITK.

It is loaded with the first such file: it takes 90 MiB.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

# ITK's world points left and back, NIfTI's right and front.
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _affine(image: sitk.Image | sitk.ImageFileReader, dims: int) -> np.ndarray:
    """Return NIfTI's affine of an ITK image with 2 or 3 spatial axes."""
    full = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (full, full))[:dims, :dims]
    affine = np.eye(4)
    affine[:dims, :dims] = direction * np.asarray(image.GetSpacing())[:dims]
    affine[:dims, 3] = np.asarray(image.GetOrigin())[:dims]
    return _LPS @ affine


def _layout(size: tuple[int, ...], components: int) -> tuple[int, int, int, int]:
    if len(size) > 4 or (len(size) == 4 and components > 1):
        raise ValueError(
            f"the array has {len(size)} axes; expected 2 or 3, or 4 with channels last"
        )
    x, y, z = (*size, 1)[:3]
    return (size[3] if len(size) == 4 else components, z, y, x)


def header(path: Path) -> tuple[tuple[int, int, int, int], np.ndarray, np.dtype]:
    """Return shape (C, z, y, x), affine and stored dtype, without reading voxels."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(_checked(path))
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    dtype = sitk.GetArrayViewFromImage(sitk.Image([1, 1], reader.GetPixelID())).dtype
    shape = _layout(reader.GetSize(), reader.GetNumberOfComponents())
    return shape, _affine(reader, min(reader.GetDimension(), 3)), dtype


def read(path: Path, kind: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Read an array (C, z, y, x) in the file's own type, and its affine.

    Args:
        path: The file.
        kind: ITK's name of the format; default, by the ending.
    """
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path), imageIO=kind or _checked(path))
    shape = _layout(image.GetSize(), image.GetNumberOfComponentsPerPixel())
    array = sitk.GetArrayFromImage(image)  # channels last where they are components of a pixel
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return np.ascontiguousarray(array.reshape(shape)), _affine(image, min(image.GetDimension(), 3))


_KINDS = {".mha": "MetaImageIO", ".nrrd": "NrrdImageIO"}
_VOXELS = {
    ".mha": re.compile(rb"ElementDataFile[\s:=]*+(?!LOCAL\b)(\S*)"),
    ".nrrd": re.compile(rb"^data ?file:[ \t]*(.*)$", re.I | re.M),
}
"""How a header says that the voxels lie in another file."""
_HEADER = 2**20  # bytes that are searched


def _checked(path: Path) -> str:
    """Return ITK's name of the format, by the ending alone: ITK would also go by the content.

    ValueError where the header says that the voxels lie in another file, which may be any file of
    the machine.
    """
    ending = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if ending == ".nrrd":  # its header ends at the first empty line
        head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    if (found := _VOXELS[ending].search(head)) is not None:
        name = found[1].strip()[:80].decode(errors="replace")
        raise ValueError(
            f"its voxels lie in another file ({name}), which is not followed; expected one file "
            "that holds header and voxels"
        )
    return _KINDS[ending]


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write (C, z, y, x); channels become components of a pixel.

    Args:
        path: the file to write.
        array: voxels.
        affine: voxel indices (x, y, z) to RAS+ millimetres, 4 x 4.
    """
    import SimpleITK as sitk

    if len(array) == 1:
        image = sitk.GetImageFromArray(array[0])
    else:
        image = sitk.GetImageFromArray(np.moveaxis(array, 0, -1), isVector=True)
    world = _LPS @ affine
    spacing = np.linalg.norm(world[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((world[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(world[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
