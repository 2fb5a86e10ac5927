"""`--labelled` and `--fine` on the cases of a split."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import spec_of

from hinterland.training.runs.supervision import split_cases
from hinterland.types import Case, Dataset, HinterlandError

SPEC = spec_of(
    {"rest": {}, "heart": {"LV": {}, "muscle": {"normal": {}, "scar": {}}}},
    schemes={
        "full": {0: "rest", 1: "LV", 2: "normal", 3: "scar"},
        "heart": {0: "rest", 1: "heart"},
    },
)


def dataset() -> Dataset:
    names = [f"case{i}" for i in range(8)]
    cases = tuple(
        Case(n, (Path(f"{n}.nii.gz"),), Path(f"l{n}.nii.gz"), group=n, split="train")
        for n in names[:6]
    ) + tuple(
        Case(n, (Path(f"{n}.nii.gz"),), Path(f"l{n}.nii.gz"), group=n, split="test")
        for n in names[6:]
    )
    return Dataset(Path(), cases, SPEC, ("x",))


@pytest.mark.parametrize(
    ("fine", "names"),
    [("2:cases", ["rest", "heart"]), ("2:cases@LV/muscle", ["rest", "LV", "muscle"])],
)
def test_fine_cases_keep_their_scheme_and_others_are_read_at_a_level(fine, names):
    data, split = split_cases(dataset(), "all", 0, fine=fine)
    schemes = [c.scheme for c in split["train"]]
    assert schemes == ["full"] * 2 + ["full@coarse"] * (len(schemes) - 2)
    coarse = data.labels.scheme("full@coarse")
    assert {data.labels.tree.node_for(s) for s in coarse.label_values.values()} == set(names)
    assert all(c.scheme == "full" for c in split["test"])


def test_only_fine_cases_are_counted_as_fine():
    data = dataset()
    mixed = tuple(c.with_scheme("heart") if i < 3 else c for i, c in enumerate(data.cases))
    _, split = split_cases(data.replace(cases=mixed), "all", 0, fine="2:cases")
    assert [c.scheme for c in split["train"]] == ["heart"] * 3 + ["full"] * 2 + ["full@coarse"]
    coarse = tuple(c.with_scheme("heart") for c in data.cases)
    with pytest.raises(HinterlandError, match="no training case is labelled more finely"):
        split_cases(data.replace(cases=coarse), "all", 0, fine="2:cases")
    with pytest.raises(HinterlandError, match="9 labelled cases were asked for"):
        split_cases(data, "all", 0, fine="9:cases")


def test_an_unknown_level_is_refused():
    with pytest.raises(HinterlandError, match="lung"):
        split_cases(dataset(), "all", 0, fine="2:cases@lung")
