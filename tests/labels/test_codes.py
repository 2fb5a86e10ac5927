"""`codes` of labels.yaml: what a class is called in a terminology."""

from __future__ import annotations

import pytest

from hinterland.labels import LabelError, LabelSpec
from hinterland.labels.codes import Code

BASE = {"tree": {"background": {"liver": {}, "rest": {}}, "tumour": {}},
        "schemes": {"full": {0: "rest", 1: "liver", 2: "tumour"}}}  # fmt: skip


def spec(codes) -> LabelSpec:
    return LabelSpec.from_dict({**BASE, "codes": codes})


def test_codes_are_read_in_both_ways_and_written_back():
    long = {"scheme": "SCT", "value": "108369006", "meaning": "Neoplasm: any"}
    found = spec({"liver": "SCT:10200004:Liver", "tumour": long})
    assert found.codes == {"liver": Code("SCT", "10200004", "Liver"),
                           "tumour": Code("SCT", "108369006", "Neoplasm: any")}  # fmt: skip
    assert LabelSpec.from_dict(found.to_dict()) == found
    assert "codes" not in LabelSpec.from_dict(BASE).to_dict()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"lung": "SCT:1:Lung"}, "names 'lung', which is not in the tree"),
        ({"liver": "10200004"}, "expected scheme, number and words"),
        ({"liver": {"scheme": "SCT", "value": "1"}}, "expected scheme, number and words"),
        ({"liver": 10200004}, "expected scheme, number and words"),
        (["liver"], "expected a mapping"),
        ({"liver": "SCT:" + "1" * 17 + ":Liver"}, "at most 16 characters"),
    ],
)
def test_what_is_no_code_is_refused(codes, message):
    with pytest.raises(LabelError, match=message):
        spec(codes)
