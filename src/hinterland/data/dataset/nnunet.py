"""nnU-Net v2's raw layout: dataset.json, imagesTr, labelsTr, imagesTs, labelsTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hinterland.data.dataset.files import (
    CHANNEL,
    CaseFiles,
    Layout,
    files_in,
    foreign,
    is_listed,
    pair,
    read_json,
    refuse_same_names,
)
from hinterland.data.integrity.problems import Problem
from hinterland.data.io.volume import endings
from hinterland.types import HinterlandError

MOST_CHANNELS = 10_000


def nnunet_layout(root: Path) -> Layout:
    """Return the cases of imagesTr (train) and imagesTs (test) by file names; see `find_files`."""
    content = read_dataset_json(root / "dataset.json")
    names = content["channel_names"]
    channels = tuple(str(names[k]) for k in sorted(names, key=int))
    ending: str = content["file_ending"]
    cases: list[CaseFiles] = []
    problems: list[Problem] = []
    for split, suffix in (("train", "Tr"), ("test", "Ts")):
        images = _by_channel(root / f"images{suffix}", ending, len(channels), problems)
        labels = _by_name(root / f"labels{suffix}", ending, problems)
        # files hold all channels (an RGB PNG) where none is numbered beyond 0000
        many = any(max(files) > 0 for files in images.values())
        cases += pair(images, labels, channels if many else channels[:1], split, problems)
    refuse_same_names(cases, "imagesTr and imagesTs", problems)
    if content.get("dataset"):
        problems.append(
            Problem("error", "listed-files", "",
                    f"{root / 'dataset.json'} lists its files under `dataset`, wherever they lie; "
                    "such paths are not followed. Copy or link the files into imagesTr and "
                    "labelsTr, and remove the key.")
        )  # fmt: skip
    expected = content.get("numTraining")
    found = sum(c.split == "train" for c in cases)
    if isinstance(expected, int) and expected != found:
        problems.append(
            Problem("warning", "case-count", "",
                    f"dataset.json says numTraining = {expected}, but imagesTr holds {found} "
                    "cases. Correct the number, or look for files that were not copied.")
        )  # fmt: skip
    return Layout(root, tuple(cases), channels, content, tuple(problems))


def read_dataset_json(path: Path) -> dict[str, Any]:
    """Read nnU-Net v2's dataset.json.

    Raises:
        HinterlandError: the file, a key that is needed or a channel is missing, or no such file
            ending can be read.
    """
    if not is_listed(path):
        raise HinterlandError(
            f"{path} is missing; nnU-Net's raw layout needs it beside imagesTr, with the keys "
            "channel_names, labels and file_ending."
        )
    content = read_json(path)
    if not isinstance(content, dict):
        raise HinterlandError(f"{path} holds a {type(content).__name__}; expected a JSON object.")
    if "channel_names" not in content and "modality" in content:  # nnU-Net v1 and the Decathlon
        content["channel_names"] = content["modality"]
    for key, example in (("channel_names", '{"0": "CT"}'), ("file_ending", '".nii.gz"')):
        if key not in content:
            raise HinterlandError(f"{path} has no key {key!r}; add it, such as {key}: {example}.")
    names = content["channel_names"]
    if isinstance(names, dict) and len(names) > MOST_CHANNELS:
        raise HinterlandError(
            f"{path} names {len(names):,} channels; expected at most {MOST_CHANNELS:,}, as files "
            "number them by four digits. Correct channel_names."
        )
    wanted = {str(i) for i in range(len(names))} if isinstance(names, dict) else None
    if not wanted or set(names) != wanted:
        raise HinterlandError(
            f'{path}: channel_names is {names!r}; expected {{"0": NAME, "1": NAME, ...}} '
            "without gaps."
        )
    if content["file_ending"] not in endings():
        raise HinterlandError(
            f"{path}: file_ending is {content['file_ending']!r}; expected one of {list(endings())}."
        )
    return content


def _by_channel(
    folder: Path, ending: str, channels: int, problems: list[Problem]
) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = {}
    strangers: list[Path] = []
    for path in files_in(folder):
        match = CHANNEL.match(path.name[: -len(ending)]) if path.name.endswith(ending) else None
        if match is None:
            strangers.append(path)
            continue
        name, channel = match["case"], int(match["channel"])
        if channel >= channels:
            problems.append(
                Problem("error", "extra-channel", name,
                        f"{path} is channel {channel}, but dataset.json names {channels} "
                        f"(0 to {channels - 1}). Add its name there or remove the file.")
            )  # fmt: skip
            continue
        found.setdefault(name, {})[channel] = path
    problems += foreign(strangers, f"files named CASE_0000{ending}", ending)
    return found


def _by_name(folder: Path, ending: str, problems: list[Problem]) -> dict[str, Path]:
    found, strangers = {}, []
    for path in files_in(folder):
        if path.name.endswith(ending):
            found[path.name[: -len(ending)]] = path
        else:
            strangers.append(path)
    problems += foreign(strangers, f"files named CASE{ending}")
    return found
