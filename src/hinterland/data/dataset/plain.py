"""Plain folders: images/ and masks/ (or labels/), paired by file name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hinterland.data.dataset.files import (
    CHANNEL,
    CaseFiles,
    Layout,
    files_in,
    foreign,
    pair,
    refuse_same_names,
)
from hinterland.data.integrity.problems import Problem
from hinterland.data.io.volume import VolumeError, endings, file_ending, read_header, stem

_MASK_FOLDERS = ("masks", "labels")
_MASK_SUFFIXES = ("_mask", "_seg", "_segmentation", "_label", "_lesion", "_manual1", "_mask_1")
_ACCEPTED = f"A mask is called like its image, or so with {', '.join(_MASK_SUFFIXES)} behind."


def plain_layout(root: Path) -> Layout:
    """List the cases of images/ by file names; see `find_files`.

    A mask is called like its image (the endings may differ), or so with one of `_MASK_SUFFIXES`
    behind.
    """
    problems: list[Problem] = []
    images = _known(root / "images", problems)
    folder = next((root / f for f in _MASK_FOLDERS if (root / f).is_dir()), root / "masks")
    labels = _masks(_known(folder, problems), {stem(p) for p in images}, problems)
    # NAME_0000, NAME_0001 are channels of one case only if the masks are called NAME
    bases = {stem(p): m["case"] for p in images if (m := CHANNEL.match(stem(p)))}
    if any(base in labels and name not in labels for name, base in bases.items()):
        grouped: dict[str, dict[int, Path]] = {}
        for path in images:
            channel = int(stem(path)[-4:]) if stem(path) in bases else 0
            grouped.setdefault(bases.get(stem(path), stem(path)), {})[channel] = path
        count = max(max(files) for files in grouped.values()) + 1
        channels = tuple(f"channel{i}" for i in range(count))
    else:
        grouped = {stem(path): {0: path} for path in images}
        channels = _plain_channels(images)
        refuse_same_names([CaseFiles(stem(p), (p,), None, None) for p in images],
                           "images", problems)  # fmt: skip
    needed = channels if any(len(f) > 1 for f in grouped.values()) else channels[:1]
    cases = pair(grouped, labels, needed, None, problems, _ACCEPTED)
    return Layout(root, tuple(cases), channels, None, tuple(problems))


def _masks(files: list[Path], images: set[str], problems: list[Problem]) -> dict[str, Path]:
    """Return masks by the name of their image; an error where an image has two."""
    labels: dict[str, Path] = {}
    for path in files:
        bare = (
            stem(path).removesuffix(s) for s in _MASK_SUFFIXES if stem(path).endswith(s)
        )  # an image may itself be called so
        name = next((n for n in bare if stem(path) not in images and n in images), stem(path))
        if name in labels:
            problems.append(
                Problem("error", "several-masks", name,
                        f"{labels[name].name} and {path.name} are both masks of this image. Unite "
                        "them in one file: 0 background, 1, 2, ... classes.")
            )  # fmt: skip
            continue
        labels[name] = path
    return labels


def _known(folder: Path, problems: list[Problem]) -> list[Path]:
    files = files_in(folder)
    strangers = [p for p in files if not file_ending(p)]
    problems += foreign(strangers, f"one of {', '.join(endings())}")
    return [p for p in files if file_ending(p)]


def _plain_channels(images: list[Path]) -> tuple[str, ...]:
    """Return channel names where no dataset.json gives any: as most of the images have them."""
    counts: Counter[int] = Counter()
    for path in images:
        try:
            counts[read_header(path).shape[0]] += 1
        except VolumeError:
            continue  # the check names the file
    channels = counts.most_common(1)[0][0] if counts else 1
    return {1: ("grey",), 3: ("R", "G", "B")}.get(
        channels, tuple(f"channel{i}" for i in range(channels))
    )
