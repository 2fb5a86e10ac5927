"""Read and write 2D images: PNG, BMP and JPEG through Pillow, TIFF (also stacks) through tifffile.

They carry no geometry that could be trusted, so that their spacing is 1 and their affine the unit
matrix. An alpha channel is dropped. A palette image is colour as an image, and its indices as a
label (the VOC convention).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from hinterland.data.io import itk
from hinterland.data.io.limits import TooLarge


def picture_header(path: Path) -> tuple[tuple[int, int, int, int], np.ndarray, np.dtype]:
    """Return shape (C, z, y, x), unit affine and dtype, without decoding pixels."""
    with _opened(path) as image:
        mode = _mode(image, label=False)
        channels = len(Image.new(mode, (1, 1)).getbands())
        return (channels, 1, image.height, image.width), np.eye(4), _dtype(mode)


def read_picture(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read an array (C, z, y, x) in the file's own type, and the unit affine."""
    return _read_picture(path, label=False)


def read_picture_label(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a label file as `read_picture` does, but a palette image by its indices."""
    return _read_picture(path, label=True)


def _read_picture(path: Path, label: bool) -> tuple[np.ndarray, np.ndarray]:
    with _opened(path) as image:
        mode = _mode(image, label)
        array = np.asarray(image if mode == image.mode else image.convert(mode))
    array = array.astype(np.uint8) if array.dtype == bool else array
    array = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return np.ascontiguousarray(array[:, None]), np.eye(4)


_KINDS = ("PNG", "BMP", "DIB", "JPEG", "GIF", "TIFF", "PPM")
"""What a picture may be inside, whatever its ending: none of these runs another program."""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, without Pillow's warning of large ones; TooLarge above its limit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=_KINDS)
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise TooLarge(
            f"it promises more pixels than the {most:,} that are read of one picture. Cut it into "
            "tiles, or write TIFF."
        ) from None
    with image:
        yield image


def write_picture(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write (1, 1, y, x) as a grey picture.

    Args:
        path: the file to write.
        array: pixels, of a type that the format holds.
        affine: has no place in a picture.
    """
    if array.shape[:2] != (1, 1):
        raise ValueError(
            f"a {path.suffix} file holds one slice of one channel, not {array.shape[:2]}; "
            "write a TIFF or NIfTI file"
        )
    Image.fromarray(array[0, 0]).save(path)


def tiff_header(path: Path) -> tuple[tuple[int, int, int, int], np.ndarray, np.dtype]:
    """Return shape (C, z, y, x), unit affine and dtype, without decoding pixels."""
    with _tiff(path) as tiff:
        series = tiff.series[0]
        order, shape = _tiff_order(series.axes, series.shape)
        c, z, y, x = _arranged_shape(order, shape)
        return (_without_alpha(c, series.axes), z, y, x), np.eye(4), series.dtype


def read_tiff(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read an array (C, z, y, x) in the file's own type, and the unit affine."""
    return _load_tiff(path), np.eye(4)


def write_tiff(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write (C, z, y, x) as it is: channels and slices are pages.

    Args:
        path: the file to write.
        array: voxels.
        affine: has no place in the file.
    """
    axes = "".join(a for a, n in zip("CZ", array.shape, strict=False) if n > 1) + "YX"
    data = array.reshape([n for n in array.shape[:2] if n > 1] + list(array.shape[2:]))
    tifffile.imwrite(path, data, metadata={"axes": axes}, photometric="minisblack")


def _mode(image: Image.Image, label: bool) -> str:
    """Choose the Pillow mode in which an image is read."""
    if image.mode == "P" and not label:
        palette = np.reshape(image.getpalette("RGB") or [0, 0, 0], (-1, 3))
        return "L" if (palette == palette[:, :1]).all() else "RGB"
    return {"LA": "L", "La": "L", "RGBA": "RGB", "RGBa": "RGB", "RGBX": "RGB", "CMYK": "RGB",
            "YCbCr": "RGB", "PA": "P" if label else "RGB"}.get(image.mode, image.mode)  # fmt: skip


def _dtype(mode: str) -> np.dtype:
    wide = {"I": np.int32, "F": np.float32}
    return np.dtype(wide.get(mode, np.uint16 if mode.startswith("I;16") else np.uint8))


def _tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF file alone: an OME header may name others, anywhere on the disk."""
    return tifffile.TiffFile(path, _multifile=False)


def _load_tiff(path: Path) -> np.ndarray:
    with _tiff(path) as tiff:
        axes, shape = tiff.series[0].axes, tiff.series[0].shape
        order, _ = _tiff_order(axes, shape)
        try:
            array = tiff.asarray(series=0)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return _load_compressed_tiff(path)
    array = array.transpose([i for _, i in order])
    array = array.reshape(_arranged_shape(order, shape))
    return np.ascontiguousarray(array[: _without_alpha(len(array), axes)])


def _load_compressed_tiff(path: Path) -> np.ndarray:
    """Read LZW and JPEG inside TIFF, which tifffile leaves to a large package of codecs."""
    return itk.read(path, "TIFFImageIO")[0]


def _tiff_order(axes: str, shape: tuple[int, ...]) -> tuple[list[tuple[str, int]], tuple[int, ...]]:
    """Tell which file axis is channel ("C"), slice ("Z"), row and column, in that order.

    Axes that tifffile cannot name (pages of a plain multi-page file) are slices.
    """
    kinds = [("C" if a in "CS" else a if a in "YX" else "Z") for a in axes]
    if kinds.count("Y") != 1 or kinds.count("X") != 1:
        raise ValueError(f"the TIFF has the axes {axes}; expected rows, columns, slices, channels")
    many = [a for a, k, n in zip(axes, kinds, shape, strict=True) if k == "Z" and n > 1]
    if len(many) > 1:
        raise ValueError(f"the TIFF has the axes {axes} {shape}; expected one axis of slices")
    order = [(k, i) for kind in "CZYX" for i, k in enumerate(kinds) if k == kind]
    return order, shape


def _arranged_shape(
    order: list[tuple[str, int]], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    c, z, y, x = (int(np.prod([shape[i] for k, i in order if k == kind])) for kind in "CZYX")
    return c, z, y, x


def _without_alpha(channels: int, axes: str) -> int:
    return 3 if channels == 4 and "S" in axes else channels
