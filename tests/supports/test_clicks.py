"""Clicks: inside the mask, the same for the same seed, and read with a clear word for errors."""

from __future__ import annotations

import numpy as np
import pytest

from hinterland.supports.sources.clicks import check_clicks, random_clicks, read_clicks
from hinterland.types import HinterlandError


def test_random_clicks_lie_inside_and_are_repeatable():
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 2:4, 3:6] = True
    clicks = random_clicks(mask, 7, 0, "case", "organ")
    assert len(set(clicks)) == 7
    assert all(mask[z, y, x] and positive for z, y, x, positive in clicks)
    assert clicks == random_clicks(mask, 7, 0, "case", "organ")
    others = [
        random_clicks(mask, 7, 1, "case", "organ"), random_clicks(mask, 7, 0, "case2", "organ"),
        random_clicks(mask, 7, 0, "case", "organ2"),
    ]  # fmt: skip
    assert all(clicks != other for other in others)
    assert len(random_clicks(mask, 50, 0, "case", "organ")) == 12
    assert random_clicks(np.zeros((2, 2, 2), bool), 7, 0, "case", "organ") == []


def test_every_voxel_of_a_mask_is_as_likely():
    mask = np.zeros((1, 3, 3), bool)
    mask[0, 0, 0] = mask[0, 2, 1] = mask[0, 1, 2] = mask[0, 2, 2] = True
    drawn = [random_clicks(mask, 1, s, "c", "o")[0] for s in range(800)]
    counts = [drawn.count(c) for c in set(drawn)]
    assert len(counts) == 4
    assert min(counts) > 150


def test_click_files_are_read_in_the_order_of_the_image(tmp_path):
    file = tmp_path / "clicks.csv"
    file.write_text(
        "case,structure,x,y,z,positive\na,lung,1,2,3,\na,lung,4,5,6,0\nb,heart,0,0,0,1\n"
    )
    clicks = read_clicks(file)
    assert clicks["a"] == {"lung": [(3, 2, 1, True), (6, 5, 4, False)]}
    check_clicks(clicks["a"], (7, 6, 5), "a")
    with pytest.raises(HinterlandError, match=r"\(4, 5, 6\).*has \(5, 6, 6\) voxels"):
        check_clicks(clicks["a"], (6, 6, 5), "a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,x,y,z\n", "no column 'structure'"),
        ("", "no column 'case'"),
        ("case,structure,x,y,z\na,lung,1,2\n", "line 2"),
        ("case,structure,x,y,z\na,lung,1,2,z\n", r"line 2: '1', '2', 'z' is no voxel"),
        ("case,structure,x,y,z,positive\na,lung,1,2,3,perhaps\n", "positive is 'perhaps'"),
    ],
)
def test_what_is_no_click_file_is_refused(tmp_path, text, words):
    file = tmp_path / "clicks.csv"
    file.write_text(text)
    with pytest.raises(HinterlandError, match=words):
        read_clicks(file)
    with pytest.raises(HinterlandError, match="there is no click file"):
        read_clicks(tmp_path / "none.csv")
