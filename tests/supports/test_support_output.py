"""Interrupted, resumed, refused: the result appears whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.volume import read_label, write_label
from hinterland.supports.add import Options, add_supports, choose_cases
from hinterland.supports.sources.masks import MasksOnDisk
from hinterland.types import HinterlandError


class Stopping(MasksOnDisk):
    """Counts what it is asked for, and stops like Ctrl-C at a case."""

    asked: list[str]
    stop = ""

    def segment(self, case, structures):
        self.asked.append(case.name)
        if case.name == self.stop:
            raise KeyboardInterrupt
        return super().segment(case, structures)


def call(dataset: Path, masks: Path, out: Path, stop="", patterns=("host",), **options):
    data = read_dataset(dataset)
    cases = choose_cases(data)
    source = Stopping(masks, [c.name for c in cases])
    source.asked, source.stop = [], stop
    try:
        add_supports(data, source, out, cases, list(patterns), Options(**options))
    except KeyboardInterrupt:
        assert stop
    return source.asked


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "provenance.json"
    }


def test_it_goes_on_case_by_case_and_ends_the_same(lesions, organs, tmp_path):
    names = [f"phantom_{i:03d}" for i in range(4)]
    out = tmp_path / "out"
    assert call(lesions, organs, out, stop=names[2]) == names[:3]
    assert not out.exists()
    assert (tmp_path / "out.partial").is_dir()
    damaged = tmp_path / "out.partial" / "labelsTr" / f"{names[0]}.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert call(lesions, organs, out) == [names[0], *names[2:]]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    call(lesions, organs, tmp_path / "at once")
    ours, other = contents(out), contents(tmp_path / "at once")
    assert ours.keys() == other.keys()
    assert {k for k in ours if ours[k] != other[k]} <= {"supports/quality.json"}  # names the folder


def test_unfinished_work_of_another_kind_is_not_mixed_in(lesions, organs, tmp_path):
    out = tmp_path / "out"
    call(lesions, organs, out, stop="phantom_002")
    with pytest.raises(HinterlandError, match=r"asked for differently \(structures\)"):
        call(lesions, organs, out, patterns=("spine",))
    assert call(lesions, organs, out, patterns=("spine",), overwrite=True)
    assert json.loads((out / "supports" / "quality.json").read_text())["integers"]["spine"]


class Stopped(BaseException):
    """As little to be caught as signal 9."""


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("when", ["rename", "tidy", "remove"])
def test_a_stop_while_the_folder_gets_its_name_is_gone_on_from(
    lesions, organs, tmp_path, monkeypatch, when, overwrite
):
    whole, out, work = (tmp_path / name for name in ("whole", "out", "out.partial"))
    call(lesions, organs, whole)
    if overwrite:
        call(lesions, organs, out, patterns=("spine",))

    def stop(*_):
        raise Stopped

    real = Path.rename
    place, stopping = {
        "rename": ("pathlib.Path.rename", lambda a, b: stop() if a == work else real(a, b)),
        "tidy": ("hinterland.supports.output.Output.tidy", stop),
        "remove": ("hinterland.supports.output.remove", stop),
    }[when]
    with monkeypatch.context() as patch:
        patch.setattr(place, stopping)
        with pytest.raises(Stopped):
            call(lesions, organs, out, overwrite=overwrite)
    call(lesions, organs, out, overwrite=overwrite)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]
    ours, other = contents(out), contents(whole)
    assert ours.keys() == other.keys()
    assert {k for k in ours if ours[k] != other[k]} <= {"supports/quality.json"}  # names the folder


def test_an_early_stop_leaves_nothing(lesions, organs, tmp_path):
    call(lesions, organs, tmp_path / "out", stop="phantom_000")
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked(lesions, organs, tmp_path):
    out = tmp_path / "out"
    call(lesions, organs, out)
    before = contents(out)
    with pytest.raises(HinterlandError, match=r"exists already\. Give --overwrite"):
        call(lesions, organs, out, patterns=("spine",))
    assert contents(out) == before
    call(lesions, organs, out, patterns=("spine",), overwrite=True)
    assert contents(out) != before
    other = tmp_path / "precious"
    other.mkdir()
    with pytest.raises(HinterlandError, match="not made by this command"):
        call(lesions, organs, other, overwrite=True)


def test_a_case_that_was_mended_is_looked_at_again_and_no_other(lesions, organs, tmp_path):
    folder, out = tmp_path / "ds", tmp_path / "out"
    shutil.copytree(lesions, folder)
    label = folder / "labelsTr" / "phantom_002.nii.gz"
    good = label.read_bytes()
    volume = read_label(label)
    write_label(label, volume.array[0] + 7, like=volume, overwrite=True)
    with pytest.raises(HinterlandError, match=r"phantom_002: the label file holds \[7"):
        call(folder, organs, out)
    label.write_bytes(good)
    masks = tmp_path / "masks"
    shutil.copytree(organs, masks)
    call(folder, masks, tmp_path / "two", stop="phantom_003")
    mask = read_label(masks / "phantom_001.nii.gz")
    write_label(masks / "phantom_001.nii.gz", mask.array[0] * 0, like=mask, overwrite=True)
    assert call(folder, masks, tmp_path / "two") == ["phantom_001", "phantom_003"]
    assert call(folder, organs, out) == ["phantom_002", "phantom_003"]


def test_a_place_that_cannot_be_written_is_one_message(lesions, organs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HinterlandError, match=r"cannot be made"):
        call(lesions, organs, tmp_path / "file" / "out")


def test_copies_stand_alone(lesions, organs, tmp_path):
    call(lesions, organs, tmp_path / "out", copy=True)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_symlink()]
