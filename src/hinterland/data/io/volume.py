"""Images and label files as arrays with their geometry.

Formats: NIfTI (.nii, .nii.gz), MetaImage and NRRD (.mha, .nrrd), 2D images (.png, .bmp, .jpg) and
TIFF. Whatever the format, arrays are (channel, z, y, x) and affines are NIfTI's: voxel (x, y, z) ->
mm in a world that points right, front, up. 2D images have z = 1 and spacing 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hinterland.data.io.files import atomic_path
from hinterland.data.io.formats import (
    VolumeError,
    call,
    endings,
    file_ending,
    format_of,
    is_flat,
    label_ending,
    probability_ending,
    stem,
)
from hinterland.data.io.grid import Grid, differences, on_grid
from hinterland.data.io.limits import refuse_even, refuse_huge
from hinterland.types import HinterlandError

__all__ = [
    "Header",
    "Volume",
    "VolumeError",
    "endings",
    "file_ending",
    "label_ending",
    "probability_ending",
    "read_header",
    "read_label",
    "read_volume",
    "stem",
    "write_label",
    "write_probabilities",
]


@dataclass(frozen=True)
class Header:
    """Shape (C, z, y, x), affine (4, 4) and stored dtype of a file, without its voxels."""

    shape: tuple[int, int, int, int]
    affine: np.ndarray
    dtype: np.dtype

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in mm (2D images: 1)."""
        return spacing_of(self.affine)

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        z, y, x = self.shape[1:]
        return Grid((z, y, x), self.affine)


@dataclass(frozen=True)
class Volume:
    """array (C, z, y, x) and the affine (4, 4) that maps voxel (x, y, z) to mm (RAS)."""

    array: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in mm (2D images: 1)."""
        return spacing_of(self.affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Spatial shape (z, y, x)."""
        z, y, x = self.array.shape[1:]
        return z, y, x

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return Grid(self.shape, self.affine)


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return lengths of the affine's columns, as (z, y, x)."""
    x, y, z = (float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def read_header(path: Path | str) -> Header:
    """Read shape, affine and dtype of a file, without its voxels.

    Raises:
        VolumeError: The file is missing or unreadable, or its voxels are no numbers.
    """
    path = Path(path)
    kind = format_of(path)
    if kind.header is None:
        array, affine = _load(path, kind.read)
        return Header(array.shape, affine, array.dtype)
    header = Header(*call(path, kind.header))
    _check_type(path, header.dtype)
    return header


def read_volume(paths: Path | str | Sequence[Path | str]) -> Volume:
    """Read one file, or stack several along the channels in the order given.

    All channels lie on the grid of the first. One that holds the same voxels in another order (its
    axes flipped or exchanged, and its header says so) is turned; no voxel is interpolated.

    Args:
        paths: A file, or one file a channel.

    Returns:
        The array (C, z, y, x), in the files' number type (float32 where a NIfTI header scales), and
        the affine of the first file.

    Raises:
        VolumeError: Unreadable files; voxels that are no numbers; channels on different grids.
    """
    files = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    array, affine = _load(files[0], format_of(files[0]).read)
    arrays = [array]
    for path in files[1:]:
        more = _load(path, format_of(path).read)
        arrays.append(_brought(*more, path, Volume(array, affine), files[0], "channel"))
    return Volume(array if len(arrays) == 1 else np.concatenate(arrays), affine)


def read_label(path: Path | str, like: Path | str | None = None) -> Volume:
    """Read a label file as integers, (1, z, y, x), in the smallest type that holds them.

    A colour file whose channels are equal is read as grey.

    Args:
        path: The label file.
        like: The image that it is to be laid on. Where it holds the same voxels in another order,
            it is turned onto the image's grid.

    Raises:
        VolumeError: Unreadable files; several channels or colours; values that are no integers;
            a grid that is not the image's.
    """
    path = Path(path)
    kind = format_of(path)
    array, affine = _load(path, kind.read_label or kind.read, label=True)
    if len(array) > 1:
        if not (array == array[:1]).all():
            raise VolumeError("label-channels", _colour_message(path, len(array)))
        array = array[:1]
    if like is not None:
        header = read_header(like)
        array = _brought(array, affine, path, header, Path(like), "label")
        affine = header.affine
    return Volume(_to_integers(path, array), affine)


def _load(
    path: Path, read: Callable[[Path], tuple[np.ndarray, np.ndarray]], *, label: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Read a file after its header was looked at: what it promises must be possible."""
    if (header := format_of(path).header) is not None:

        def look(path: Path) -> None:
            shape, _, dtype = header(path)
            refuse_huge(shape, dtype)
            if not label and path.is_file():
                refuse_even(shape, dtype, path.stat().st_size)

        call(path, look)
    array, affine = call(path, read)
    _check_type(path, array.dtype)
    if not array.size:
        raise VolumeError(
            "zero-size",
            f"{path} has the shape {array.shape} (channel, z, y, x): it holds no voxel. Write it "
            "again from its source.",
        )
    return array, affine


def _check_type(path: Path, dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        what = "complex numbers" if dtype.kind == "c" else "colours (RGB) in one value"
        raise VolumeError(
            "voxel-type",
            f"{path} holds {what}; expected one real number per voxel and channel. Write magnitude "
            "and phase, or red, green and blue, as channels (x_0000, x_0001, ...).",
        )


def _brought(
    array: np.ndarray, affine: np.ndarray, path: Path, like: Volume | Header, to: Path, what: str
) -> np.ndarray:
    """Bring the array of `path` onto the grid of `like`, which was read from `to`."""
    grid = like.grid
    if is_flat(path) or is_flat(to):  # pictures know no position
        affine = grid.affine
    found = on_grid(array, affine, grid)
    if found is not None:
        return found
    wrong = differences(grid, Grid(Volume(array, affine).shape, affine))
    details = "; ".join(str(d) for d in wrong if d.matters)
    advice = {
        "channel": "All channels of a case must lie on one grid: resample them to the first",
        "label": "A label must lie on its image's grid: resample it with nearest neighbour",
    }
    raise VolumeError(
        f"{what}-shape" if wrong[0].name == "shape" else f"{what}-grid",
        f"{path} and {to.name} differ in {details}. {advice[what]}, or copy the header if the "
        "voxels correspond. `hinterland check` lists all such cases.",
    )


def _colour_message(path: Path, channels: int) -> str:
    what = "channels (red, green, blue)" if channels == 3 and is_flat(path) else "channels"
    return (
        f"{path} has {channels} {what} that differ; expected one integer per voxel that "
        "names its class. "
        "Write an index mask: 0 for the background, 1, 2, ... for the classes."
    )


def _to_integers(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise VolumeError(
                "label-not-finite",
                f"{path} holds NaN or infinity; expected integers. Write the label file again "
                "and give these voxels a class (or the ignore label).",
            )
        rounded = np.rint(array)
        wrong = array[np.abs(array - rounded) > 1e-4]
        if wrong.size:
            some = ", ".join(f"{v:.4g}" for v in np.unique(wrong)[:4])
            raise VolumeError(
                "label-not-integer",
                f"{path} holds {wrong.size} value(s) that are no integers ({some}); expected class "
                "numbers. It was probably resampled with interpolation: use nearest neighbour.",
            )
        array = rounded.astype(np.int64)
    return array.astype(_smallest_type(array))


def _smallest_type(array: np.ndarray) -> type[np.integer[Any]]:
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in (np.uint8, np.uint16, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return kind
    return np.int64


def write_label(
    path: Path | str, array: np.ndarray, like: Volume | Header | Path | str, *,
    overwrite: bool = False,
) -> Path:  # fmt: skip
    """Write integers (z, y, x) with the geometry of `like`, in the format of `path`'s ending.

    The file appears under its name only when it is complete.

    Args:
        path: the file to write.
        array: class numbers.
        like: whose geometry it gets.
        overwrite: replace the file if it is there.

    Returns:
        The path.

    Raises:
        HinterlandError: the file is there already, the shape is not `like`'s, or the format cannot
            hold it.
    """
    path = Path(path)
    if format_of(path).lossy:
        raise HinterlandError(
            f"{path}: a lossy format (JPEG) would blur class numbers; write a .png file instead."
        )
    return _write(path, array.astype(_smallest_type(array))[None], like, overwrite)


def write_probabilities(
    path: Path | str, array: np.ndarray, like: Volume | Header | Path | str, *,
    overwrite: bool = False,
) -> Path:  # fmt: skip
    """Write (groups, z, y, x) as float32 with the geometry of `like`.

    NIfTI holds the groups along its fourth axis, .mha and .nrrd as components, TIFF as channels.

    Args:
        path: the file to write.
        array: probabilities.
        like: whose geometry it gets.
        overwrite: replace the file if it is there.

    Returns:
        The path.

    Raises:
        HinterlandError: the file is there already, the shape is not `like`'s, or the format cannot
            hold it.
    """
    path = Path(path)
    ending = file_ending(path)
    if probability_ending(ending) == ".tif" and not ending.startswith(".tif"):
        raise HinterlandError(
            f"{path}: a {ending} file cannot hold probabilities; write a .tif file instead."
        )
    return _write(path, array.astype(np.float32), like, overwrite)


def _write(
    path: Path, array: np.ndarray, like: Volume | Header | Path | str, overwrite: bool
) -> Path:
    like = read_header(like) if isinstance(like, str | Path) else like
    expected = tuple(like.shape)[-3:]
    if array.shape[1:] != expected:
        raise HinterlandError(
            f"{path}: the array has the shape {array.shape[1:]} (z, y, x), but the image it is "
            f"written for has {expected}. Undo the preprocessing before writing."
        )
    if path.exists() and not overwrite:
        raise HinterlandError(f"{path} is there already; remove it or ask to overwrite.")
    try:
        with atomic_path(path) as temporary:
            format_of(path).write(temporary, np.ascontiguousarray(array), like.affine)
    except (ValueError, RuntimeError) as error:
        raise HinterlandError(
            f"{path} could not be written: {error}. Choose another format or folder."
        ) from error
    return path
