"""Quotas to streams, and batches that mix domains."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hinterland.data.sampling.sampler import StepSampler
from hinterland.methods import Phase, Quota
from hinterland.methods.parts.streams import by_scheme
from hinterland.training.loop.batch_composition import share_out, streams_for
from hinterland.types import Case, HinterlandError


def case(name: str, domain: str, scheme: str = "full") -> Case:
    label = None if scheme == "none" else Path("x.png")
    return Case(name, (Path("i.png"),), label, scheme, name, domain)


CASES = [case(f"base{i}", "base") for i in range(3)] + [
    case(f"novel{i}", "novel") for i in range(9)
]


def test_a_quota_may_ask_for_a_domain():
    phase = Phase(
        quotas=(Quota("old", 0.5, {"domain": "base"}), Quota("new", 0.5, {"domain": "novel"}))
    )
    old, new = streams_for(phase, CASES, 6)
    assert (old.count, new.count) == (3, 3)
    assert set(old.cases) == {"base0", "base1", "base2"}
    assert len(new.cases) == 9
    both = Phase(quotas=(Quota("all", 1.0, {"domain": ("base", "novel")}),))
    assert len(streams_for(both, CASES, 6)[0].cases) == 12


MIXED = [case("real0", ""), case("real1", "", "half"), case("made0", "", "pseudo"),
         case("bare0", "", "none")]  # fmt: skip


def test_a_scheme_may_have_a_share_of_every_batch_and_the_rest_the_others():
    streams = streams_for(Phase(quotas=by_scheme({"pseudo": 0.5})), MIXED, 6)
    assert [(s.name, s.count, s.cases) for s in streams] == [
        ("pseudo", 3, ("made0",)), ("labelled", 3, ("real0", "real1"))
    ]  # fmt: skip
    assert by_scheme({}) == Phase().quotas
    third = by_scheme(dict.fromkeys(("full", "half", "pseudo"), 1 / 3))
    assert [q.name for q in third] == ["full", "half", "pseudo"]


def test_a_rest_without_cases_is_refused_in_words():
    phase = Phase(quotas=by_scheme({"full": 0.5, "half": 0.2, "pseudo": 0.1}))
    with pytest.raises(HinterlandError, match="but none of the scheme full or half or pseudo"):
        streams_for(phase, MIXED, 8)


def test_by_domain_every_batch_is_half_base_and_half_novel():
    streams = streams_for(Phase(), CASES, 6, by_domain=True)
    assert [(s.name, s.count) for s in streams] == [("labelled", 3), ("labelled", 3)]
    for keys in StepSampler(streams, 5):
        domains = Counter(streams[key.stream].cases[0].rstrip("0123456789") for key in keys)
        assert domains == {"base": 3, "novel": 3}


def test_by_domain_cuts_each_quota_and_leaves_what_it_does_not_want():
    cases = [*CASES, case("blank0", "base", "none"), case("blank1", "third", "none")]
    phase = Phase(
        quotas=(
            Quota("labelled", 0.5, {"labelled": True}),
            Quota("unlabelled", 0.5, {"labelled": False}),
        )
    )
    streams = streams_for(phase, cases, 8, by_domain=True)
    assert [(s.name, s.count, s.cases[0]) for s in streams] == [
        ("labelled", 2, "base0"), ("labelled", 2, "novel0"),
        ("unlabelled", 2, "blank0"), ("unlabelled", 2, "blank1"),
    ]  # fmt: skip
    one = streams_for(Phase(), CASES[:3], 6, by_domain=True)
    assert one == streams_for(Phase(), CASES[:3], 6)


def test_a_batch_too_small_for_its_domains_is_refused():
    with pytest.raises(HinterlandError, match=r"1 item.*2 domains .base, novel.*larger batch_size"):
        streams_for(Phase(), CASES, 1, by_domain=True)


def test_shares_become_whole_numbers_that_sum():
    assert share_out([1, 1], 5) in ([2, 3], [3, 2])
    assert share_out([0.9, 0.1], 4) == [3, 1]
