"""Hold the files of a data set as its layouts list them, and what the layouts share."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hinterland.data.integrity.problems import Problem
from hinterland.data.io.limits import read_text
from hinterland.types import HinterlandError

# nnU-Net numbers the channels of a case: CASE_0000, CASE_0001, ...
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case. `split` is what the folder says: train, test, or None."""

    name: str
    images: tuple[Path, ...]
    label: Path | None
    split: str | None


@dataclass(frozen=True)
class Layout:
    """The files of a data set, and what is wrong with them."""

    root: Path
    cases: tuple[CaseFiles, ...]
    channels: tuple[str, ...]
    dataset_json: Mapping[str, Any] | None
    problems: tuple[Problem, ...]


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        HinterlandError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except OSError as error:
        target = f" (a link to {path.readlink()})" if path.is_symlink() else ""
        raise HinterlandError(
            f"{path}{target} cannot be read: {error.strerror}. Fetch or remove it."
        ) from None
    except ValueError as error:  # also: other encodings, integers of thousands of digits
        raise HinterlandError(f"{path} is not valid JSON: {error}. Correct it there.") from None
    except RecursionError:
        raise HinterlandError(
            f"{path} is not valid JSON here: it is nested too deeply. Correct it there."
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """Parse a JSON file that holds an object.

    Raises:
        HinterlandError: it is no JSON, or holds anything else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise HinterlandError(
            f"{path} holds a {type(content).__name__}; expected a JSON object. Write it again."
        )
    return content


def is_listed(path: Path) -> bool:
    """Tell whether a folder lists this file, also as a link whose target is missing."""
    return path.exists() or path.is_symlink()


def files_in(folder: Path) -> list[Path]:
    """List the files of a folder that are not hidden, in order; none where there is no folder.

    A link whose target is missing (data sets of git-annex) is a file too: it was meant to be there,
    so that reading it must fail and not leave it out.
    """
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))


_CONVERT = {
    **dict.fromkeys((".dcm", ".ima"), "It is DICOM: convert the series to NIfTI (dcm2niix)."),
    **dict.fromkeys((".gif", ".webp"), "Convert it to PNG."),
    **dict.fromkeys((".xml", ".svg"), "It may hold outlines: draw them into masks of integers."),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5"), "It may hold arrays: write NIfTI or PNG."),
    **dict.fromkeys((".zip", ".tar", ".7z", ".rar"), "It is an archive: unpack it."),
}


def foreign(paths: Iterable[Path], expected: str, unnumbered: str = "") -> list[Problem]:
    """Warn of files that are no cases, and say how they could become ones; one for each kind.

    Args:
        paths: The files of one folder.
        expected: Which files count.
        unnumbered: An ending whose files only lack the number of their channel.

    Returns:
        The warnings.
    """
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        lacks = unnumbered and path.name.endswith(unnumbered)
        kinds.setdefault(unnumbered if lacks else path.suffix.lower(), []).append(path)
    problems = []
    for kind, own in kinds.items():
        what = f"{own[0]} is" if len(own) == 1 else f"{own[0]} and {len(own) - 1} more like it are"
        advice = _CONVERT.get(kind, "Remove it, or rename it if it is a case.")
        if unnumbered and kind == unnumbered:
            name = own[0].name.removesuffix(unnumbered)
            advice = f"Number the channel of each image, as in {name}_0000{unnumbered}."
        problems.append(
            Problem("warning", "extra-file", "", f"{what} ignored: expected {expected}. {advice}")
        )
    return problems


def pair(
    images: Mapping[str, Mapping[int, Path]], labels: Mapping[str, Path],
    channels: tuple[str, ...], split: str | None, problems: list[Problem], accepted: str = "",
) -> list[CaseFiles]:  # fmt: skip
    """Put images and labels of one name together.

    Args:
        images: case -> channel's index -> file.
        labels: case -> label file.
        channels: names of all channels.
        split: "train", "val" or "test"; None where the author gave none.
        problems: what is wrong is added here.
        accepted: said in the messages: which names labels may have.

    Returns:
        The cases that have an image, in order.
    """
    cases = []
    for name, files in images.items():
        missing = [f"{i} ({channels[i]})" for i in range(len(channels)) if i not in files]
        if missing:
            problems.append(
                Problem("error", "missing-channel", name,
                        f"channel {', '.join(missing)} has no file; expected {len(channels)} files "
                        f"{name}_0000 to {name}_{len(channels) - 1:04d}. Copy the missing ones.")
            )  # fmt: skip
        paths = tuple(files[i] for i in sorted(files))
        cases.append(CaseFiles(name, paths, labels.get(name), split))
    for name in sorted(set(labels) - set(images)):
        problems.append(
            Problem("error", "label-without-image", name,
                    f"there is a label file {labels[name]}, but no image of that name. "
                    f"Add the image or remove the label file. {accepted}".strip())
        )  # fmt: skip
    return cases


def refuse_same_names(cases: Iterable[CaseFiles], where: str, problems: list[Problem]) -> None:
    """Add an error for each name that several cases have.

    Args:
        cases: the cases.
        where: they are, for the message.
        problems: the errors are added here.
    """
    for name, count in Counter(c.name for c in cases).items():
        if count > 1:
            problems.append(
                Problem("error", "same-name", name,
                        f"{count} cases in {where} have this name; every case needs its own. "
                        "Rename all but one, with their label files.")
            )  # fmt: skip
