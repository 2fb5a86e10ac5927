"""Options that cannot be meant are refused when a method is made, in one message."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pytest
from semi_phantoms import SPEC, context

from hinterland.methods import make_method
from hinterland.methods.options import OneOf, Range, check_options
from hinterland.types import HinterlandError, NetworkPlan

FIELD = ("mean-teacher", "ua-mt", "cps", "mc-net", "urpc", "dtc", "ss-net", "cvbm")
NEGATIVE = [
    *((name, "consistency") for name in FIELD),
    *(("cvbm", f"{n}_weight") for n in ("background", "mixed", "second")),
    *((name, "alpha") for name in ("cvbm", "pseudo-label", "bcp")),
    ("ss-net", "separation"), ("sassnet", "adversarial"), ("sassnet", "regression"),
    ("mean-teacher", "noise"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "field"), NEGATIVE)
def test_weights_are_not_negative(name, field):
    with pytest.raises(HinterlandError, match=f"{name}: {field}=-0.1; expected a number of 0 or"):
        make_method(name, SPEC, (), {field: -0.1})
    make_method(name, SPEC, (), {field: 0.0})


@pytest.mark.parametrize(
    ("name", "field", "value", "words"),
    [
        ("ua-mt", "passes", 0, "a whole number of 1 or more"),
        ("ss-net", "size", 0, "a whole number of 1 or more"),
        ("ss-net", "magnitude", 0.0, "a number above 0"),
        ("urpc", "scales", 1, "a whole number of 2 or more"),
        ("dtc", "steepness", -1.0, "a number above 0"),
        ("mc-net", "temperature", 0.0, "a number above 0"),
        ("bcp", "beta", 1.5, "a number from 0 to 1"),
        ("cps", "labelled_share", -0.5, "a number from 0 to 1"),
    ],
)
def test_other_ranges(name, field, value, words):
    with pytest.raises(HinterlandError, match=f"{name}: {field}={value!r}; expected {words}"):
        make_method(name, SPEC, (), {field: value})


@dataclass(frozen=True)
class Options:
    alpha: Annotated[object, Range()] = 1.0
    n: Annotated[object, Range(low=1.0, whole=True)] = 1
    word: Annotated[str, OneOf("a", "b")] = "a"
    switch: "bool" = True


@pytest.mark.parametrize("value", ["high", True, None, float("nan"), float("inf"), [1.0], 1j])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(HinterlandError, match=r"m: alpha=.*; expected a number of 0 or more\."):
        check_options("m", Options(alpha=value))


def test_whole_numbers():
    for value in (2.5, 2.0, True, 0):
        with pytest.raises(HinterlandError, match=f"m: n={value}; expected a whole number of 1"):
            check_options("m", Options(n=value))
    for value in (1, np.int64(3)):
        check_options("m", Options(n=value))
    for value in (0, np.float32(0.5), 1):
        assert value in Range(high=1.0)
    assert 1.5 not in Range(high=1.0)


def test_words_and_truth_values_are_checked_by_their_types():
    with pytest.raises(HinterlandError, match="m: word='c'; expected one of a, b"):
        check_options("m", Options(word="c"))
    with pytest.raises(HinterlandError, match="m: switch='yes'; expected true or false"):
        check_options("m", Options(switch="yes"))


def test_a_pyramid_of_one_map_is_refused():
    two = NetworkPlan((4, 6), ((1, 1), (2, 2)), ((3, 3),) * 2)
    small = replace(context(), plan=replace(context().plan, network=two))
    with pytest.raises(HinterlandError, match=r"urpc: a network of 2 levels.*needs two"):
        make_method("urpc", SPEC).build(small)


@pytest.mark.parametrize("shares", [{"pseudo": 0.0}, {"a": 0.6, "b": 0.6}])
def test_shares_of_schemes_are_numbers_and_one_at_most(shares):
    with pytest.raises(HinterlandError, match="expected annotation schemes with the share"):
        make_method("supervised", SPEC, (), {"shares": shares})
    method = make_method("supervised", SPEC, (), {"shares": {"pseudo": 0.5}, "warm_start": 0.25})
    assert [[q.share for q in phase.quotas] for phase in method.phases()] == [[0.5, 0.5]] * 2
