"""Find the cases among loose images that a model is to segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hinterland.data.dataset.files import CHANNEL, files_in
from hinterland.data.io.volume import endings, file_ending, read_header, stem
from hinterland.labels import UNLABELLED
from hinterland.types import Case, HinterlandError


def read_images(given: Path | str | Sequence[Path], channels: int) -> tuple[Case, ...]:
    """Make unlabelled cases of the images in a folder, or of files.

    A file that holds all channels is a case: `x.png` is x, `x_0000.nii.gz` is x (nnU-Net's way to
    call the first channel), `IMG_0007.png` is IMG_0007. Otherwise the files x_0000, x_0001, ... are
    the channels of x, in this order; of files given one by one, the other channels are looked for
    beside them.

    Args:
        given: A folder, or image files.
        channels: How many channels a case must have.

    Raises:
        HinterlandError: No image; a case with a channel missing or too many; two cases of one name.
    """
    if isinstance(given, str | Path):
        files = _in_folder(Path(given))
        beside = files
    else:
        files = _readable(given)
        beside = [p for folder in dict.fromkeys(f.parent for f in files) for p in files_in(folder)]
    found: dict[str, tuple[Path, ...]] = {}
    for name, images in _cases(files, beside, channels, alone=not isinstance(given, str | Path)):
        if name in found and found[name] != images:
            raise HinterlandError(
                f"several inputs are the same case, {name!r}: {found[name][0]} and {images[0]}. "
                "Expected names of their own, as segmentations are called so: rename one, or "
                "predict them in two calls."
            )
        found[name] = images
    return tuple(Case(n, images, scheme=UNLABELLED, group=n) for n, images in found.items())


def _in_folder(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise HinterlandError(f"there is no folder {folder}; expected a folder of images.")
    files = [p for p in files_in(folder) if file_ending(p)]
    if not files:
        raise HinterlandError(
            f"{folder} holds no image that can be read; expected files with one of the endings "
            f"{', '.join(endings())}. Convert other formats (DICOM series to NIfTI: dcm2niix)."
        )
    return files


def _readable(files: Sequence[Path]) -> list[Path]:
    for path in files:
        if not path.is_file() or not file_ending(path):
            raise HinterlandError(
                f"{path} is no image file that can be read; expected one folder, or files with one "
                f"of the endings {', '.join(endings())}."
            )
    return list(files)


def _cases(
    files: Sequence[Path], beside: Sequence[Path], channels: int, alone: bool
) -> Iterable[tuple[str, tuple[Path, ...]]]:
    """Return name and files of each case; `alone`: a file with all channels has no siblings."""
    numbered: dict[tuple[Path, str], dict[int, Path]] = {}
    for path in beside:
        if match := CHANNEL.match(stem(path)):
            numbered.setdefault((path.parent, match["case"]), {})[int(match["channel"])] = path
    for path in files:
        match = CHANNEL.match(stem(path))
        siblings = {} if match is None else numbered[path.parent, match["case"]]
        complete = read_header(path).shape[0] == channels
        if match is None:
            if not complete:
                raise HinterlandError(
                    f"{path} has {read_header(path).shape[0]} channel(s); the model expects "
                    f"{channels}. Give the channels of a case as NAME_0000, NAME_0001, ..."
                )
            yield stem(path), (path,)
        elif complete and (alone or channels > 1 or _by_a_camera(siblings)):
            only = set(siblings) == {0}  # nnU-Net's name of a single channel
            yield match["case"] if only else stem(path), (path,)
        else:
            yield match["case"], _channels(match["case"], siblings, channels)


def _by_a_camera(siblings: Mapping[int, Path]) -> bool:
    """Tell whether the numbers of files are not those of channels: one file, or not 0, 1, 2, ..."""
    return len(siblings) == 1 or set(siblings) != set(range(len(siblings)))


def _channels(name: str, files: dict[int, Path], channels: int) -> tuple[Path, ...]:
    if set(files) == set(range(channels)):
        return tuple(files[i] for i in range(channels))
    there = ", ".join(path.name for _, path in sorted(files.items()))
    missing = [f"{name}_{i:04d}" for i in range(channels) if i not in files]
    what = f"{', '.join(missing)} is missing" if missing else "that is too many"
    raise HinterlandError(
        f"the case {name!r} has {len(files)} channel file(s), {there}; the model expects "
        f"{channels}, {name}_0000 to {name}_{channels - 1:04d}: {what}. Add or remove files. (Of "
        "pictures that are only called so, give the files instead of the folder.)"
    )
