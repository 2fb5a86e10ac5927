"""`unlabelled=coarse`: semi-supervised methods where the others' labels are coarse, not missing."""

from __future__ import annotations

import pytest
import torch
from semi_phantoms import SPEC, batch, context

from hinterland.methods import make_method
from hinterland.types import HinterlandError, Progress

COARSE = {"unlabelled": "coarse"}
KEEP = ("mean-teacher", "ua-mt", "cps", "mc-net", "urpc", "dtc", "sassnet", "ss-net")


def coarse_batch(value: int):
    """Two finely labelled items and two where every voxel has this value of the coarse scheme."""
    items = batch()
    items.annotation[2:] = SPEC.label_sets.label_set_ids(SPEC.scheme("coarse"))[value]
    return items


@pytest.mark.parametrize("name", KEEP)
def test_the_other_stream_keeps_its_coarse_labels(name):
    method = make_method(name, SPEC, ("top", "leaves"), COARSE)
    networks = method.build(context())
    seg = []
    for value in (0, 1):
        torch.manual_seed(0)
        found = method.losses(networks, coarse_batch(value), Progress("train", 5, 10))
        assert torch.isfinite(found.total)
        seg.append(found.terms["seg"].item())
    assert seg[0] != pytest.approx(seg[1], abs=1e-3)


def test_the_discriminator_holds_no_coarse_image_for_a_labelled_one():
    method = make_method("sassnet", SPEC, ("top", "leaves"), COARSE)
    networks = method.build(context())
    networks.discriminator = torch.nn.Sequential(torch.nn.Flatten(), Signs())
    found = method.losses(networks, coarse_batch(1), Progress("train", 5, 10, "discriminator"))
    right = torch.tensor(-40.0).exp().log1p()  # sure of both, and right: next to no loss
    assert found.total.item() == pytest.approx(2 * right.item(), abs=1e-6)


class Signs(torch.nn.Module):
    """Judges the first two images of a batch as labelled, the others as not."""

    def forward(self, x):
        return torch.tensor([[40.0], [40.0]] + [[-40.0]] * (len(x) - 2))


def test_hidden_labels_teach_nothing():
    method = make_method("cps", SPEC, ("top", "leaves"))
    networks = method.build(context())
    progress = Progress("train", 5, 10)
    one, two = (method.losses(networks, coarse_batch(v), progress).terms["seg"] for v in (0, 1))
    assert one.item() == two.item()


def test_streams_are_by_annotation_scheme():
    method = make_method("cps", SPEC, ("top", "leaves"), COARSE)
    fine, rest = method.phases()[0].quotas
    assert (fine.name, fine.where) == ("labelled", {"scheme": ("full",)})
    assert (rest.name, rest.where) == ("unlabelled", {"scheme": ("coarse", "none")})
    assert "fine" not in method.options


def test_what_a_scheme_must_tell_apart_depends_on_the_question():
    method = make_method("cps", SPEC, ("top",), COARSE)
    assert method.phases()[0].quotas[0].where == {"scheme": ("full", "coarse")}


@pytest.mark.parametrize("name", ["pseudo-label", "bcp"])
def test_methods_that_need_hidden_labels_refuse(name):
    with pytest.raises(HinterlandError, match="expected one of rest, all"):
        make_method(name, SPEC, ("leaves",), COARSE)


def test_no_fine_scheme_is_refused():
    only = type(SPEC).from_dict(
        {
            "tree": {"background": {}, "heart": {"ventricle": {}, "muscle": {}}},
            "schemes": {
                "left": {0: "background", 1: "heart"},
                "right": {0: "not ventricle", 1: "ventricle"},
            },
        }
    )
    with pytest.raises(HinterlandError, match="needs an annotation scheme that tells all"):
        make_method("cps", only, ("leaves",), COARSE)
