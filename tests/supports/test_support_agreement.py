"""Dice of support labels with reference labels, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.volume import read_label, write_label
from hinterland.phantoms.dataset import make_phantoms
from hinterland.supports.agreement import support_agreement
from hinterland.types import HinterlandError


@pytest.fixture
def pair(tmp_path):
    """True phantoms, and a copy in whose first case half of the host is written as the rest."""
    truth, made = (
        make_phantoms(tmp_path / n, (2, 1, 1), dims=2, size=32) for n in ("truth", "own")
    )
    file = next(iter(sorted(made.glob("labelsTr/*.png"))))
    label = read_label(file)
    array = label.array[0].copy()
    host = np.argwhere(array == 1)
    array[tuple(host[: len(host) // 2].T)] = 0
    write_label(file, array, like=label, overwrite=True)
    return read_dataset(made), read_dataset(truth), len(host)


def test_dice_of_each_structure_and_case(pair):
    made, truth, size = pair
    table = support_agreement(made, truth)
    assert set(table["structure"]) == {"host", "decoy", "bowel", "spine"}
    first = min(c.name for c in made.cases)
    host = table[(table["structure"] == "host") & (table["case"] == first)].iloc[0]
    left = size - size // 2
    assert host["dice"] == pytest.approx(2 * left / (size + left))
    assert (host["voxels"], host["reference_voxels"], host["decided"]) == (left, size, 1.0)
    others = table[(table["structure"] != "host") | (table["case"] != first)]["dice"].dropna()
    assert (others == 1).all()


def test_what_is_left_open_does_not_count(pair):
    """Where the support labels say "host or rest", they are neither right nor wrong."""
    made, truth, size = pair
    spec = made.labels
    full = spec.schemes["full"]
    host = spec.tree.leaves_under("host")
    either = host | spec.tree.leaves_under("rest")
    values = tuple((v, either if v == 0 else leaves) for v, leaves in full.values)
    vague = replace(spec, schemes={**spec.schemes, "full": replace(full, values=values)})
    table = support_agreement(made.replace(labels=vague), truth, ["host"])
    assert (table["dice"].dropna() == 1).all()
    assert (table["decided"] < 1).all()
    first = table[table["case"] == min(table["case"])].iloc[0]
    assert first["reference_voxels"] == size - size // 2


def test_what_the_two_do_not_share_is_refused(pair, tmp_path):
    made, truth, _ = pair
    with pytest.raises(HinterlandError, match="'liver' is not a structure of both"):
        support_agreement(made, truth, ["liver"])
    with pytest.raises(HinterlandError, match="0 labelled cases"):
        support_agreement(made, truth.replace(cases=()))
