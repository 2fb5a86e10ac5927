"""Runs of an earlier version go on as they were: their options keep their meaning."""

from __future__ import annotations

import pytest
from semi_phantoms import SPEC

from hinterland.methods import make_method
from hinterland.methods.earlier import upgrade_options

# As version 0.1 before the joined regions wrote them, all options of the method.
CVBM = {
    "views": "cross", "complement": "sigmoid", "background_weight": 1.0, "mixed_weight": 1.0,
    "mixing_layer": True, "direct": True, "inverse": True, "alpha": 0.5, "consistency": 0.1,
    "ramp": "sigmoid", "beta": 2 / 3, "cutmix": True, "second_weight": 1.0, "pretrain": 0.25,
    "ema": 0.99, "teacher": "eval", "component": "largest", "unlabelled": "rest",
    "output": "foreground",
}  # fmt: skip


def test_what_was_printed_stays_printed():
    method = make_method("cvbm", SPEC, (), upgrade_options("cvbm", CVBM))
    assert (method.region, method.complement) == ("printed", "printed")
    soft = upgrade_options("cvbm", {**CVBM, "complement": "softmax"})
    assert make_method("cvbm", SPEC, (), soft).complement == "softmax"
    assert make_method("bcp", SPEC, (), upgrade_options("bcp", {"beta": 0.5})).region == "printed"


@pytest.mark.parametrize("name", ["bcp", "cvbm", "mean-teacher", "supervised"])
def test_todays_options_are_left_alone(name):
    method = make_method(name, SPEC)
    assert upgrade_options(name, method.options) == method.options
