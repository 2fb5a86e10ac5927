"""Image labels as annotation: what is absent is ruled out everywhere, what is present is a bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from factories import spec_of

from hinterland.data.dataset.subsets import labelled_subset, with_absent
from hinterland.data.sampling.augmentation import Unchanged
from hinterland.data.sampling.patches import PatchDataset
from hinterland.data.sampling.sampler import SampleKey, Stream
from hinterland.labels import LabelError, LabelSpec
from hinterland.losses import PartitionLoss
from hinterland.losses.image_label import ImageLabelLoss
from hinterland.methods import Phase, Quota
from hinterland.training.loop.batch_composition import streams_for
from hinterland.types import Case

SPEC = spec_of(
    {"background": {}, "lesion": {"benign": {}, "malignant": {}}},
    target=["benign", "malignant"],
    schemes={
        "full": {0: "background", 1: "benign", 2: "malignant"},
        "coarse": {0: "background", 1: "lesion"},
    },
)
IMAGE, LABEL = (Path("i.png"),), Path("l.png")


def case(name: str, scheme: str = "none", **labels: int) -> Case:
    return Case(name, IMAGE, None if scheme == "none" else LABEL, scheme, image_labels=labels)


def rows_of(spec: LabelSpec, cases: tuple[Case, ...], size: tuple[int, ...] = (4, 4)) -> dict:
    class Stored:
        image = np.zeros((1, 1, 6, 6), np.float32)
        label = np.ones((1, 6, 6), np.int16)
        locations: dict = {}  # noqa: RUF012

    dataset = PatchDataset(
        cases, {c.name: Stored() for c in cases}, spec.label_sets, dict(spec.schemes),
        [Stream(c.name, (c.name,), 1) for c in cases], Unchanged(size),
        seed=0, foreground={},
    )  # fmt: skip
    items = [dataset[SampleKey(0, i, i, False)] for i in range(len(cases))]
    return {item.case: item for item in items}


def test_a_negative_label_rules_the_class_out_of_every_voxel_of_any_crop():
    spec, (healthy, coarse, full) = with_absent(
        SPEC,
        (
            case("healthy", lesion=0),
            case("c", "coarse", malignant=0),
            case("f", "full", lesion=0),
        ),
    )
    assert healthy.scheme == "none@no-lesion"
    assert healthy.labelled
    assert healthy.label is None
    assert full.scheme == "full"  # its label file says as much already
    items = rows_of(spec, (healthy, coarse, full))
    matrix = spec.label_sets.matrix
    background, benign, malignant = (
        matrix[items["healthy"].annotation.unique().numpy()].any(axis=0).tolist()
    )
    assert (background, benign, malignant) == (True, False, False)
    assert items["healthy"].labelled
    assert not items["healthy"].covers  # a crop
    assert matrix[items["c"].annotation.unique().numpy()][0].tolist() == [False, True, False]
    loss = PartitionLoss(spec.tree.leaves, spec.tree.leaves, spec.label_sets)
    logits = torch.zeros(1, 3, 4, 4)
    ce = loss(logits, items["healthy"].annotation[None])["ce"]
    assert float(ce) == pytest.approx(np.log(3))  # -log P(background)


def test_a_negative_label_of_one_class_leaves_the_others_open():
    spec, (one,) = with_absent(SPEC, (case("x", malignant=0),))
    row = rows_of(spec, (one,))["x"].annotation
    loss = PartitionLoss(spec.tree.leaves, spec.tree.leaves, spec.label_sets)
    ce = loss(torch.zeros(1, 3, 4, 4), row[None])["ce"]
    assert float(ce) == pytest.approx(np.log(3 / 2))  # -log (P(background) + P(benign))


def test_image_labels_that_leave_nothing_are_refused():
    with pytest.raises(LabelError, match="no other class is left"):
        with_absent(SPEC, (case("x", background=0, lesion=0),))


def test_hidden_masks_stay_hidden():
    """What `--labelled 1@image` hides has a label file on disk; only its image label is read."""
    few = labelled_subset([case("a", "full"), case("b", "full", lesion=0)], "1", image_labels=True)
    spec, cases = with_absent(SPEC, few)
    assert [c.scheme for c in cases] == ["full", "none@no-lesion"]
    item = rows_of(spec, cases)["b"]
    assert spec.label_sets.matrix[item.annotation.unique().numpy()].tolist() == [
        [True, False, False]
    ]
    bare = labelled_subset([case("a", "full"), case("b", "full", lesion=0)], "1")
    assert bare[1].image_labels == {}
    assert with_absent(SPEC, bare)[1][1].scheme == "none"


TERM = ImageLabelLoss(SPEC.tree.leaves, SPEC.label_sets, tau=2)
NODES = SPEC.tree.nodes


def labels(**known: int) -> torch.Tensor:
    return torch.tensor([known.get(n, -1) for n in NODES], dtype=torch.int8)


def test_a_positive_label_is_a_bag_term_where_the_view_shows_the_image():
    rows = torch.zeros(3, 2, 2, dtype=torch.long)
    rows[2] = SPEC.label_sets.label_set_ids(SPEC.scheme("full"))[2]  # a mask that shows it already
    image_labels = torch.stack([labels(malignant=1)] * 3)
    covers = torch.tensor([True, False, True])
    pairs = TERM.asked(image_labels, covers, rows)
    assert pairs == [(0, NODES.index("malignant"))]
    p = torch.zeros(1, 3, 2, 2)
    p[0, 2] = torch.tensor([[0.9, 0.5], [0.1, 0.2]])
    assert float(TERM(p, pairs)) == pytest.approx(-np.log(0.7))  # the two largest
    wide = torch.cat([p[:, :1], p[:, 2:] / 2, p[:, 2:] / 2], dim=1)
    assert float(TERM(wide, [(0, NODES.index("lesion"))])) == pytest.approx(-np.log(0.7))


def test_negative_and_unknown_labels_are_no_bags():
    rows = torch.zeros(2, 2, 2, dtype=torch.long)
    found = TERM.asked(torch.stack([labels(lesion=0), labels()]), torch.ones(2).bool(), rows)
    assert found == []


def test_the_bag_term_draws_the_largest_voxels_up():
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    TERM(logits.softmax(dim=1), [(0, NODES.index("lesion"))]).backward()
    assert int((logits.grad[0, 0] > 0).sum()) == 2  # two voxels are pushed off the background


def test_nodes_that_the_method_does_not_tell_apart_are_passed_over():
    binary = ImageLabelLoss(SPEC.tree.coarsen("lesion"), SPEC.label_sets)
    rows = torch.zeros(1, 2, 2, dtype=torch.long)
    asked = torch.stack([labels(lesion=1, malignant=1)])
    assert binary.asked(asked, torch.ones(1).bool(), rows) == [(0, NODES.index("lesion"))]


def test_bags_join_the_labelled_stream_unless_unlabelled_cases_are_drawn_anyway():
    cases = (case("a", "full"), case("b", lesion=1))
    supervised = streams_for(Phase(), cases, 4, bags={"b"})
    assert supervised[0].cases == ("a", "b")
    both = Phase(quotas=(Quota("labelled", 0.5, {"labelled": True}),
                         Quota("unlabelled", 0.5, {"labelled": False})))  # fmt: skip
    assert [s.cases for s in streams_for(both, cases, 4, bags={"b"})] == [("a",), ("b",)]
