"""Files that appear whole or not at all."""

import errno
from pathlib import Path

import pytest

from hinterland.data.io.files import atomic_path, write_text
from hinterland.types import HinterlandError


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "scan.nii.gz"
    with atomic_path(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == path.parent
        temporary.write_bytes(b"voxels")
        assert not path.exists()
    assert path.read_bytes() == b"voxels"
    assert [p.name for p in path.parent.iterdir()] == ["scan.nii.gz"]


def test_a_folder_appears_whole(tmp_path):
    with atomic_path(tmp_path / "set") as temporary:
        (temporary / "imagesTr").mkdir(parents=True)
        (temporary / "imagesTr" / "a.png").write_bytes(b"a")
    assert [p.name for p in tmp_path.rglob("*")] == ["set", "imagesTr", "a.png"]


def fail_halfway(path: Path, error: Exception) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise error


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(path, ZeroDivisionError())
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_full_disk_is_one_message_that_names_the_file(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(HinterlandError, match=r"last\.ckpt cannot be written: no space is left in"):
        fail_halfway(tmp_path / "last.ckpt", full)
    assert not list(tmp_path.iterdir())


def test_other_mistakes_of_a_writer_are_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        fail_halfway(tmp_path / "a", RuntimeError("shapes differ"))


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HinterlandError, match=r"cannot be written"):
        write_text(Path(tmp_path / "file" / "below.txt"), "text")
