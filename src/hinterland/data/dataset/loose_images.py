"""Images without a data set around them, for prediction: which files are one case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hinterland.data.dataset.files import CHANNEL, files_in
from hinterland.data.integrity.before_training import refuse_other_grids
from hinterland.data.io.volume import file_ending, read_header, stem
from hinterland.labels import UNLABELLED
from hinterland.types import Case, HinterlandError


def cases_in_folder(folder: Path, channels: int) -> tuple[Case, ...]:
    """The unlabelled cases of a folder of images.

    Files are NAME_0000, NAME_0001, ... (nnU-Net's channels), or NAME with all channels in one file.
    Pictures that a camera has numbered (IMG_0001, IMG_0002) are a case each.

    Args:
        folder: The folder.
        channels: How many channels the model takes.

    Returns:
        The cases by name.

    Raises:
        HinterlandError: There is no image, a case without all its channels, or one whose channels
            lie on different grids.
    """
    if not folder.is_dir():
        raise HinterlandError(f"there is no folder {folder}; expected a folder of images.")
    images = _images(folder)
    if not images:
        raise HinterlandError(f"{folder} holds no image that can be read.")
    if _one_file_each(images, channels):
        return tuple(_case(_name(p, images), (p,), channels) for p in images)
    return tuple(_case(name, files, channels) for name, files in _by_case(images).items())


def cases_of_files(files: Sequence[Path], channels: int) -> tuple[Case, ...]:
    """The cases that some image files belong to; else as `cases_in_folder`.

    A file that holds all channels is its own case, whatever lies beside it.
    """
    missing = [str(p) for p in files if not p.is_file()]
    if missing:
        raise HinterlandError(f"{missing[0]} is no image file; expected one folder, or files only.")
    wanted = {p.resolve() for p in files}
    cases = []
    for folder in dict.fromkeys(p.parent for p in files):
        images = _images(folder)
        asked = tuple(p for p in images if p.resolve() in wanted)
        if asked and (channels == 1 or _one_file_each(asked, channels)):
            cases += [_case(_name(p, images), (p,), channels) for p in asked]
            continue
        for name, together in _by_case(images).items():
            if wanted & {p.resolve() for p in together}:
                cases.append(_case(name, together, channels))
    if not cases:
        raise HinterlandError(f"none of the files is an image that can be read: {files[0]}, ...")
    return tuple(cases)


def _images(folder: Path) -> tuple[Path, ...]:
    return tuple(p for p in files_in(folder) if file_ending(p))


def _numbers(images: Sequence[Path]) -> dict[str, list[int]] | None:
    """NAME -> the numbers behind it; None unless all files are numbered."""
    found: dict[str, list[int]] = {}
    for path in images:
        match = CHANNEL.match(stem(path))
        if match is None:
            return None
        found.setdefault(match["case"], []).append(int(match["channel"]))
    return found


def _one_file_each(images: Sequence[Path], channels: int) -> bool:
    """Whether each file is a case: files are not numbered, or not as channels are (0, 1, ...)."""
    numbers = _numbers(images)
    if numbers is None:
        return True
    if channels == 1:
        return any(sorted(n) != list(range(len(n))) for n in numbers.values())
    return int(read_header(images[0]).shape[0]) == channels


def _name(path: Path, images: Sequence[Path]) -> str:
    """NAME of NAME_0000 where all files of the folder are called so; else the file's own."""
    numbers = _numbers(images)
    alone = numbers is not None and all(n == [0] for n in numbers.values())
    return stem(path).removesuffix("_0000") if alone else stem(path)


def _by_case(images: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """NAME_0000, NAME_0001, ... together where all files are numbered so."""
    numbered = _numbers(images) is not None
    grouped: dict[str, tuple[Path, ...]] = {}
    for path in images:
        name = CHANNEL.sub(r"\g<case>", stem(path)) if numbered else stem(path)
        grouped[name] = (*grouped.get(name, ()), path)
    return grouped


def _case(name: str, files: tuple[Path, ...], channels: int) -> Case:
    count = sum(read_header(p).shape[0] for p in files) if len(files) < channels else len(files)
    if count != channels:
        listed = ", ".join(p.name for p in files[:4]) + (", ..." if len(files) > 4 else "")
        hint = " If these are pictures of their own, give each as a file." if channels == 1 else ""
        raise HinterlandError(
            f"{files[0].parent}: the case {name!r} has {count} channel(s) ({listed}); the model "
            f"expects {channels}.{hint}"
        )
    if len(files) > 1:
        numbers = [int(stem(p)[-4:]) for p in files]
        if gaps := sorted(set(range(len(files))) - set(numbers)):
            raise HinterlandError(
                f"{files[0].parent}: the case {name!r} has no channel {gaps[0]} "
                f"({name}_{gaps[0]:04d}); it has {', '.join(p.name for p in files)}."
            )
    case = Case(name, files, scheme=UNLABELLED, group=name)
    refuse_other_grids([case])
    return case
