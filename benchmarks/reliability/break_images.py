"""Breakages of images and masks: NIfTI headers and voxels, PNG and TIFF."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image

from benchmarks.reliability.healthy import SIDE, nifti, picture

Break = Callable[[Path], object]
Breaks = dict[tuple[str, tuple[str, ...]], dict[str, Break]]
IMAGE, MASK = "imagesTr/a1_0000.nii.gz", "labelsTr/a1.nii.gz"
TEST, TEST_MASK = "imagesTs/t1_0000.nii.gz", "labelsTs/t1.nii.gz"


def damage(*names: str) -> dict[str, Break]:
    """What a copy that went wrong does to files of any kind."""

    def each(change: Callable[[Path], object]) -> Break:
        return lambda root: [change(root / n) for n in names]

    return {
        "empty": each(lambda p: p.write_bytes(b"")),
        "one byte": each(lambda p: p.write_bytes(b"\x1f")),
        "cut off": each(lambda p: os.truncate(p, p.stat().st_size // 2)),
        "one byte short": each(lambda p: os.truncate(p, p.stat().st_size - 1)),
        "random bytes": each(lambda p: p.write_bytes(np.random.default_rng(0).bytes(5000))),
        "zeros": each(lambda p: p.write_bytes(bytes(5000))),
        "text": each(lambda p: p.write_text("<html>404 not found</html>")),
        "a pointer of Git LFS": each(
            lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        ),
        "one bit flipped": each(flip),
        "a pipe": each(lambda p: (p.unlink(), os.mkfifo(p))),
        "a link to nothing": each(lambda p: (p.unlink(), p.symlink_to("nowhere"))),
        "a link to /dev/zero": each(lambda p: (p.unlink(), p.symlink_to("/dev/zero"))),
        "not allowed": each(lambda p: p.chmod(0)),
    }


def flip(path: Path) -> None:
    """Flip a bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def header(*names: str) -> dict[str, Break]:
    """Single fields of the NIfTI header, the voxels left alone."""

    def field(place: int, form: str, *values: Any) -> Break:
        def apply(root: Path) -> None:
            for name in names:
                content = bytearray(gzip.decompress((root / name).read_bytes()))
                struct.pack_into(f"<{form}", content, place, *values)
                (root / name).write_bytes(gzip.compress(bytes(content)))

        return apply

    dim, spacing = 40, 76
    return {
        "sizeof_hdr 0": field(0, "i", 0),
        "no dimensions": field(dim, "h", 0),
        "nine dimensions": field(dim, "h", 9),
        "negative dimensions": field(dim, "h", -3),
        "a size of 0": field(dim + 2, "h", 0),
        "a negative size": field(dim + 2, "h", -5),
        "10^12 voxels": field(dim + 2, "3h", 10000, 10000, 10000),
        "a size one too large": field(dim + 2, "h", SIDE + 1),
        "a size one too small": field(dim + 2, "h", SIDE - 1),
        "an unknown type": field(70, "h", 9999),
        "type 0": field(70, "h", 0),
        "complex": field(70, "2h", 32, 64),
        "RGB": field(70, "2h", 128, 24),
        "float128": field(70, "2h", 1536, 128),
        "voxels at -1": field(108, "f", -1.0),
        "voxels at NaN": field(108, "f", float("nan")),
        "voxels at 2 GB": field(108, "f", 2.0**31),
        "slope NaN": field(112, "f", float("nan")),
        "slope 0": field(112, "f", 0.0),
        "slope infinite": field(112, "f", float("inf")),
        "slope 10^30": field(112, "2f", 1e30, 1e30),
        "no magic": field(344, "4s", b"zzzz"),
        "magic of .hdr and .img": field(344, "4s", b"ni1\0"),
        "an extension of 2 GB": field(348, "4B", 1, 0, 0, 0),
        "spacing 0 (no sform)": lambda root: (
            field(252, "2h", 1, 0)(root), field(spacing + 4, "3f", 0.0, 0.0, 0.0)(root)
        ),
        "sform of zeros": field(280, "12f", *[0.0] * 12),
        "sform of NaN": field(280, "12f", *[float("nan")] * 12),
        "sform infinite": field(280, "f", float("inf")),
        "sform flat": field(280, "12f", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0),
        "spacing 10^-30": field(280, "12f", 1e-30, 0, 0, 0, 0, 1e-30, 0, 0, 0, 0, 1e-30, 0),
        "spacing 10^6": field(280, "12f", 1e6, 0, 0, 0, 0, 1e6, 0, 0, 0, 0, 1e6, 0),
        "sheared": field(280, "12f", 0.8, 0.4, 0, 0, 0, 0.8, 0, 0, 0, 0, 2, 0),
        "origin 10^9": field(292, "f", 1e9),
        "flipped": field(280, "f", -0.8),
    }  # fmt: skip


def voxels() -> dict[str, Break]:
    """Images of other types, shapes and values."""
    rng = np.random.default_rng(3)
    base = rng.normal(100, 20, (SIDE, SIDE, 8))

    def image(array: np.ndarray, both: bool = False) -> Break:
        def apply(root: Path) -> None:
            nifti(root / IMAGE, array)
            if both:
                nifti(root / IMAGE.replace("0000", "0001"), array)

        return apply

    def spoilt(value: float) -> np.ndarray:
        array = base.astype(np.float32).copy()
        array[2, 3, 4] = value
        return array

    return {
        "float64": image(base),
        "int64": image(base.astype(np.int64)),
        "uint64, huge": image(np.full(base.shape, 2**63, np.uint64)),
        "constant": image(np.full(base.shape, 7, np.float32), both=True),
        "one NaN": image(spoilt(np.nan)),
        "one infinity": image(spoilt(np.inf)),
        "one 1e38": image(spoilt(1e38)),
        "all NaN": image(np.full(base.shape, np.nan, np.float32)),
        "4D": image(np.stack([base, base], axis=-1).astype(np.float32)),
        "5D": image(np.stack([base[..., None], base[..., None]], -1).astype(np.float32)),
        "2D": image(base[..., 0].astype(np.float32), both=True),
        "one voxel": image(np.ones((1, 1, 1), np.float32), both=True),
        "one slice": image(base[..., :1].astype(np.float32), both=True),
        "one row": image(base[:, :1, :1].astype(np.float32), both=True),
        "a time axis of 500": image(np.zeros((*base.shape, 500), np.uint8)),
    }


def masks() -> dict[str, Break]:
    """Masks of other types, shapes and values."""
    label = np.zeros((SIDE, SIDE, 8), np.uint8)
    label[3:12, 3:12, 1:6] = 1

    def mask(array: np.ndarray) -> Break:
        return lambda root: nifti(root / MASK, array)

    def spoilt(value: float, kind: type = np.int16) -> np.ndarray:
        array = label.astype(kind).copy()
        array[1, 1, 1] = value
        return array

    def all_masks(array: np.ndarray) -> Break:
        return lambda root: [nifti(p, array) for p in (root / "labelsTr").iterdir()]

    return {
        "a stray 3": mask(spoilt(3)),
        "a stray -1": mask(spoilt(-1)),
        "a stray 255": mask(spoilt(255)),
        "a stray 2002": mask(spoilt(2002)),
        "a stray 10^9": mask(spoilt(10**9, np.int32)),
        "a half": mask(spoilt(0.5, np.float32)),
        "a NaN": mask(spoilt(np.nan, np.float32)),
        "an infinity": mask(spoilt(np.inf, np.float32)),
        "float64, whole": mask(label.astype(np.float64)),
        "all background": all_masks(np.zeros_like(label)),
        "all foreground": all_masks(np.full_like(label, 2)),
        "grey levels": all_masks(np.random.default_rng(1).integers(0, 256, label.shape, np.uint8)),
        "4D": mask(np.stack([label, label], -1)),
        "one row fewer": mask(label[1:]),
        "transposed": mask(np.ascontiguousarray(label.transpose(2, 1, 0))),
        "one-hot channels": mask(np.stack([label == 0, label == 1], -1).astype(np.uint8)),
    }  # fmt: skip


def pictures() -> dict[str, Break]:
    """PNG files of other kinds."""
    rng = np.random.default_rng(5)
    grey = rng.integers(0, 255, (32, 32), dtype=np.uint8)

    def image(content: Any, name: str = "images/a1.png", **options: Any) -> Break:
        def apply(root: Path) -> None:
            shown = content if isinstance(content, Image.Image) else Image.fromarray(content)
            shown.save(root / name, **options)

        return apply

    def size(width: int, height: int, *names: str) -> Break:
        return lambda root: [png(root / n, width, height) for n in names]

    rgb = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    return {
        "RGB among grey": image(rgb),
        "RGBA": image(np.dstack([rgb, grey])),
        "grey with alpha": image(Image.fromarray(grey).convert("LA")),
        "a palette": image(Image.fromarray(rgb).convert("P")),
        "one bit": image(Image.fromarray(grey).convert("1")),
        "16 bit": image(grey.astype(np.uint16) * 256),
        "another size": image(grey[:20]),
        "1 x 1": image(grey[:1, :1]),
        "1 x 10000": image(rng.integers(0, 255, (1, 10000), dtype=np.uint8)),
        "a JPEG called PNG": image(grey, format="JPEG"),
        "a GIF called PNG": image(grey, format="GIF"),
        "a TIFF called PNG": image(grey, format="TIFF"),
        "10^10 pixels": size(100_000, 100_000, "images/a1.png"),
        "1.4 x 10^8 pixels": size(12_000, 12_000, "images/a1.png"),
        "0 x 0": size(0, 0, "images/a1.png"),
        "10^10 pixels in a mask": size(100_000, 100_000, "masks/a1.png"),
        "10^10 in both": size(100_000, 100_000, "images/a1.png", "masks/a1.png"),
        "a colour mask": image(rgb, "masks/a1.png"),
        "a mask of 0 and 255 among 0 and 1": lambda root: picture(
            root / "masks/a1.png", np.where(grey > 99, 255, 0).astype(np.uint8)
        ),
        "smooth masks": lambda root: [picture(p, grey) for p in (root / "masks").iterdir()],
        "empty masks": lambda root: [
            picture(p, np.zeros_like(grey)) for p in (root / "masks").iterdir()
        ],
        "JPEG masks": lambda root: [jpeg_mask(p) for p in sorted((root / "masks").iterdir())],
        "PostScript called PNG": lambda root: (root / "images/a1.png").write_bytes(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 8\n%%EndComments\nshowpage\n"
        ),
        "a checksum wrong": lambda root: flip(root / "images/a1.png"),
        "text of 100 MB in a chunk": lambda root: png(
            root / "images/a1.png", 32, 32, zlib.compress(bytes(10**8))
        ),
    }


def png(path: Path, width: int, height: int, note: bytes | None = None) -> None:
    """Write a PNG whose header promises a size, with almost no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    text = b"" if note is None else chunk(b"zTXt", b"note\0\0" + note)
    pixels = zlib.compress(bytes(33 * 32))
    parts = [chunk(b"IHDR", size), text, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def jpeg_mask(path: Path) -> None:
    """Write the mask as JPEG."""
    shown = Image.fromarray(np.asarray(Image.open(path)) * 255)
    path.unlink()
    shown.save(path.with_suffix(".jpg"), quality=60)


def tiffs() -> dict[str, Break]:
    """TIFF files in the place of a PNG."""
    grey = np.random.default_rng(6).integers(0, 255, (32, 32), dtype=np.uint8)

    def tiff(array: np.ndarray, change: Callable[[Path], object] | None = None, **options: Any,
             ) -> Break:  # fmt: skip
        def apply(root: Path) -> None:
            (root / "images/a1.png").unlink()
            path = root / "images/a1.tif"
            tifffile.imwrite(path, array, **options)
            if change is not None:
                change(path)

        return apply

    def huge(path: Path) -> None:
        content = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            for code in (256, 257):
                tag = file.pages[0].tags[code]  # type: ignore[union-attr]
                struct.pack_into("<H", content, tag.valueoffset, 65_000)
        path.write_bytes(content)

    def loop(path: Path) -> None:
        content = bytearray(path.read_bytes())
        first = struct.unpack_from("<I", content, 4)[0]
        entries = struct.unpack_from("<H", content, first)[0]
        struct.pack_into("<I", content, first + 2 + 12 * entries, first)
        path.write_bytes(content)

    return {
        "plain": tiff(grey),
        "many pages": tiff(np.stack([grey] * 5)),
        "four axes": tiff(np.zeros((2, 3, 32, 32), np.uint8)),
        "float with NaN": tiff(np.full((32, 32), np.nan, np.float32)),
        "complex": tiff(grey.astype(np.complex64)),
        "colours": tiff(np.zeros((32, 32, 3), np.uint8), photometric="rgb"),
        "4 x 10^9 pixels": tiff(grey, huge, metadata=None),
        "pages in a circle": tiff(grey, loop, metadata=None),
        "cut off": tiff(grey, lambda p: os.truncate(p, p.stat().st_size // 2)),
        "no page": tiff(grey, lambda p: p.write_bytes(b"II*\0\0\0\0\0")),
        "first page far away": tiff(grey, lambda p: p.write_bytes(b"II*\0\xff\xff\xff\x7f")),
        "deflate": tiff(grey, compression="zlib"),
        "a bomb of deflate": tiff(np.zeros((20_000, 20_000), np.uint8), compression="zlib"),
    }


def bombs() -> dict[str, Break]:
    """gzip files that inflate."""

    def inflate(shape: tuple[int, int, int], blocks: int) -> Break:
        def apply(root: Path) -> None:
            head = nib.Nifti1Header()
            head.set_data_dtype(np.uint8)
            head.set_data_shape(shape)
            head.set_sform(np.eye(4), 1)
            head["magic"], head["vox_offset"] = b"n+1", 352
            with gzip.open(root / IMAGE, "wb", compresslevel=1) as file:
                file.write(head.binaryblock + bytes(4))
                for _ in range(blocks):
                    file.write(bytes(2**24))

        return apply

    return {
        "goes on for 800 MB": inflate((9, 8, 6), 50),
        "800 MB of equal voxels": inflate((1024, 1024, 800), 50),
        "400 MB of equal voxels": inflate((1024, 512, 800), 25),
    }


BREAKS: Breaks = {
    ("an image (NIfTI)", ("check", "train")): damage(IMAGE) | voxels() | bombs(),
    ("the header of an image", ("check", "train")): header(IMAGE),
    ("the header of image and mask", ("check", "train")): header(
        IMAGE, IMAGE.replace("0000", "0001"), MASK
    ),
    ("a mask (NIfTI)", ("check", "train")): damage(MASK) | masks(),
    ("an image to predict", ("predict",)): damage(TEST) | header(TEST),
    ("a reference", ("evaluate",)): damage(TEST_MASK) | header(TEST_MASK),
    ("picture (PNG)", ("check", "train", "predict")): damage("images/a1.png") | pictures(),
    ("picture (TIFF)", ("check", "train", "predict")): tiffs(),
}
