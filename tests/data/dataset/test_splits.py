"""Splits, folds and labelled subsets; groups are never divided."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from factories import spec_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.data.dataset.draw_split import draw_split, split_text
from hinterland.data.dataset.splits import Split, fixed, fold, groups_of, k_fold, strata
from hinterland.data.dataset.splits_file import read_splits
from hinterland.data.dataset.subsets import fine_subset, labelled_subset, select
from hinterland.types import Case, Dataset, HinterlandError

SPEC = spec_of({"background": {}, "organ": {"a": {}, "b": {}}})


def case(name: str, group: str = "", split: str | None = "train", labelled: bool = True) -> Case:
    label = Path(f"{name}.nii.gz") if labelled else None
    return Case(name, (Path(f"{name}_0000.nii.gz"),), label, "full" if labelled else "none",
                group or name, split=split)  # fmt: skip


def dataset(cases: list[Case], root: Path = Path("nowhere")) -> Dataset:
    return Dataset(root, tuple(cases), SPEC, ("CT",))


def patients(sizes: list[int], unlabelled: frozenset[int] = frozenset()) -> list[Case]:
    """Cases of as many patients as there are sizes."""
    return [
        case(f"p{i}_{j}", f"p{i}", labelled=i not in unlabelled)
        for i, size in enumerate(sizes)
        for j in range(size)
    ]


def names(cases: tuple[Case, ...]) -> list[str]:
    return [c.name for c in cases]


SIZES = st.lists(st.integers(1, 4), min_size=5, max_size=14)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(2, 5), st.integers(0, 99), st.frozensets(st.integers(5, 13)))
def test_folds_never_divide_groups(
    sizes: list[int], k: int, seed: int, unlabelled: frozenset[int]
) -> None:
    cases = patients(sizes, unlabelled)
    folds = k_fold(cases, k, seed)
    assert folds == k_fold(cases, k, seed)
    validated: list[str] = []
    for train, val in folds:
        assert not set(groups_of(train)) & set(groups_of(val))
        assert all(c.labelled for c in val)
        assert {c.name for c in train} | {c.name for c in val} == {c.name for c in cases}
        assert names(train) == [c.name for c in cases if c in train]  # the order is kept
        assert train
        assert val
        validated += names(val)
    assert sorted(validated) == sorted(c.name for c in cases if c.labelled)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 99))
def test_drawn_validation_never_divides_groups(sizes: list[int], seed: int) -> None:
    data = dataset([*patients(sizes), case("t", split="test")])
    split = fixed(data, seed)
    assert split == fixed(data, seed)
    assert not set(groups_of(split.train)) & set(groups_of(split.val))
    assert len(split.train) + len(split.val) == len(data.train)
    assert names(split.test) == ["t"]
    assert len(groups_of(split.val)) == max(1, round(0.2 * len(sizes)))


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 5))
def test_labelled_groups_are_whole(sizes: list[int], count: int) -> None:
    cases = patients(sizes)
    subset = labelled_subset(cases, count)
    assert names(subset) == [c.name for c in cases]
    for members in groups_of(subset).values():
        assert len({c.labelled for c in members}) == 1
    assert [g for g, m in groups_of(subset).items() if m[0].labelled] == [
        f"p{i}" for i in range(count)
    ]


def test_folds_are_balanced_and_depend_on_the_seed() -> None:
    cases = patients([2] * 20)
    sizes = [len(val) for _, val in k_fold(cases, 5, 0)]
    assert sizes == [8] * 5
    assert k_fold(cases, 5, 0) != k_fold(cases, 5, 1)


def test_drawn_validation_is_not_the_first_or_last() -> None:
    data = dataset(patients([1] * 20))
    drawn = {tuple(names(fixed(data, seed).val)) for seed in range(20)}
    assert len(drawn) > 15
    assert ("p0_0", "p1_0", "p2_0", "p3_0") not in drawn


def test_given_validation_is_kept() -> None:
    data = dataset([case("a"), case("b", split="val"), case("c", split="test")])
    assert fixed(data) == Split((data["a"],), (data["b"],), (data["c"],))


def test_few_labelled_cases_stay_in_train() -> None:
    data = dataset(patients([2] * 10))
    keep = select(data.train, 4)
    for seed in range(20):
        split = fold(data, "fixed", seed, keep=keep)
        assert keep <= set(names(split.train))
        assert len(groups_of(split.val)) == 1
    assert select(split.train, 4) == keep


def test_one_group_cannot_be_split() -> None:
    data = dataset(patients([4]))
    with pytest.raises(HinterlandError, match="too few labelled groups"):
        fixed(data)
    with pytest.raises(HinterlandError, match="5 folds need 5 groups"):
        k_fold(data.train, 5)


def test_a_last_labelled_group_stays_in_train() -> None:
    data = dataset(patients([1, 1, 1], unlabelled=frozenset({2})))
    for seed in range(10):
        split = fixed(data, seed)
        assert len(split.val) == 1
        assert sum(c.labelled for c in split.train) == 1


def test_fold_of_a_data_set() -> None:
    cases = [*patients([1] * 10), case("v", split="val"), case("t", split="test")]
    data = dataset([*cases, case("u", split=None)])
    split = fold(data, 3, seed=1)
    pool = cases[:-1]
    assert sorted(names(split.train + split.val)) == sorted(c.name for c in pool)
    assert fold(data, "3", seed=1) == split  # as the command line gives it
    assert fold(data, "all") == Split(tuple(pool), (), (data["t"],))
    for wrong in (5, "7", "first", -1):
        with pytest.raises(HinterlandError, match=r"there is no (fold|split)"):
            fold(data, wrong)


def test_author_folds_of_nnunet(tmp_path: Path) -> None:
    data = dataset(patients([1, 1, 2]), tmp_path)
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["p0_0", "p1_0"], "val": ["p2_0", "p2_1"]}]))
    assert names(fold(data, 0).val) == ["p2_0", "p2_1"]
    with pytest.raises(HinterlandError, match="folds 0 to 0"):
        fold(data, 1)
    path.write_text(json.dumps([{"train": ["p0_0", "p2_0"], "val": ["p2_1"]}]))
    with pytest.raises(HinterlandError, match="'p2' is in train and in val"):
        fold(data, 0)
    path.write_text(json.dumps([{"train": ["p0_0"], "val": ["who"]}]))
    with pytest.raises(HinterlandError, match="who"):
        fold(data, 0)
    path.write_text("{}")
    with pytest.raises(HinterlandError, match="expected a list"):
        fold(data, 0)


def test_labelled_subsets(tmp_path: Path) -> None:
    cases = patients([2, 1, 3, 1], unlabelled=frozenset({1}))
    assert select(cases, "2") == {"p0_0", "p0_1", "p2_0", "p2_1", "p2_2"}
    assert select(cases, "2:groups") == select(cases, 2)
    assert select(cases, "3:cases") == {"p0_0", "p0_1", "p2_0"}
    listed = tmp_path / "mine.txt"
    listed.write_text("# by hand\np3\np0_1  # one frame\n\n")
    assert select(cases, listed) == select(cases, str(listed)) == {"p3_0", "p0_1"}
    subset = labelled_subset(cases, "1")
    assert [c.scheme for c in subset] == ["full"] * 2 + ["none"] * 5
    assert all(c.label is None for c in subset[2:])


def test_hidden_labels_take_image_labels_along() -> None:
    from dataclasses import replace

    given = [replace(c, image_labels={"a": 1}) for c in patients([1, 1, 1], frozenset({2}))]
    subset = labelled_subset(given, 1)
    assert [dict(c.image_labels) for c in subset] == [{"a": 1}, {}, {"a": 1}]


def test_fine_subset() -> None:
    cases = patients([1, 1, 1], unlabelled=frozenset({1}))
    subset = fine_subset(cases, "1", {"full": SPEC.coarse_scheme("full").name})
    assert [c.scheme for c in subset] == ["full", "none", "full@coarse"]
    assert subset[2].label == cases[2].label


@pytest.mark.parametrize(
    ("what", "message"),
    [("9", "have 3"), ("9:cases", "have 4"), ("few", "no number of groups"), ("3:slices", "file")],
)
def test_labelled_refusals(what: str, message: str) -> None:
    with pytest.raises(HinterlandError, match=message):
        select(patients([2, 1, 1]), what)


def test_file_with_unknown_names(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("p0\nnobody\n")
    with pytest.raises(HinterlandError, match="nobody"):
        select(patients([1, 1]), path)


def pictures(count: int, masked: int) -> list[Case]:
    """Every third image is malignant; the first `masked` have a mask."""
    kinds = ("benign", "malignant", "normal")
    return [
        replace(case(f"i{i}", labelled=i < masked), image_labels={"class": kinds[i % 3], "n": i})
        for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_validation_is_drawn_from_image_labelled_cases_too(seed: int) -> None:
    """Masks for a tenth and labels for all: 24 of 120 are validated, not 2 of the 12."""
    split = fixed(dataset(pictures(120, 12)), seed)
    assert len(split.val) == 24
    counts = Counter(c.image_labels["class"] for c in split.val)
    assert all(7 <= n <= 9 for n in counts.values())  # a third each
    assert 2 <= sum(c.labelled for c in split.val) <= 3
    assert sum(c.labelled for c in split.train) >= 9
    folds = k_fold(pictures(120, 12), 5, seed)
    for _, val in folds:
        counts = Counter(c.image_labels["class"] for c in val)
        assert all(7 <= n <= 9 for n in counts.values())
        assert 1 <= sum(c.labelled for c in val) <= 4


def test_somebody_with_a_mask_stays_in_train() -> None:
    for seed in range(20):
        split = fixed(dataset(pictures(30, 1)), seed)
        assert sum(c.labelled for c in split.train) == 1


def test_free_text_is_no_stratum() -> None:
    groups = groups_of(pictures(60, 60))
    assert {len(key) for key in strata(groups).values()} == {2}  # mask and class, not `n`
    assert len(set(strata(groups).values())) == 3


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 99), st.frozensets(st.integers(8, 13)))
def test_a_drawn_split_divides_no_patient_and_holds_its_shares(
    sizes: list[int], seed: int, unlabelled: frozenset[int]
) -> None:
    cases = patients(sizes, unlabelled)
    drawn = draw_split(dataset(cases), (70, 10, 20), seed)
    assert drawn == draw_split(dataset(cases), (7, 1, 2), seed)
    parts = [set(groups_of(part)) for part in (drawn.train, drawn.val, drawn.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(sizes)
    known = len(sizes) - len(unlabelled & set(range(len(sizes))))
    assert len(parts[1]) == max(1, round(0.1 * known))
    assert len(parts[2]) == max(1, round(0.2 * known))
    assert all(c.labelled for c in (*drawn.val, *drawn.test))
    for part in (drawn.train, drawn.val, drawn.test):
        assert list(part) == [c for c in cases if c in part]


def test_a_split_is_read_as_it_was_drawn_and_test_cases_are_not_drawn_unasked(
    tmp_path: Path,
) -> None:
    cases = patients([2, 1, 1, 2, 1])
    drawn = draw_split(dataset(cases), (60, 20, 20))
    (tmp_path / "splits.json").write_text(split_text(drawn, {"seed": 0}))
    found, problems = read_splits(tmp_path / "splits.json", names(tuple(cases)))
    assert not problems
    assert found is not None
    assert found.split == {
        c.name: part for part in ("train", "val", "test") for c in getattr(drawn, part)
    }
    assert found.groups == {c.name: c.group for c in cases}
    tests = {tuple(names(draw_split(dataset(cases), (60, 20, 20), s).test)) for s in range(8)}
    assert len(tests) > 1
    tested = dataset([*cases, case("t", split="test")])
    with pytest.raises(HinterlandError, match="1 test cases already"):
        draw_split(tested, (60, 20, 20))
    assert len(draw_split(tested, (60, 20, 20), pool=True).train) > 0
    with pytest.raises(HinterlandError, match="three above 0"):
        draw_split(dataset(cases), (80, 20))
    with pytest.raises(HinterlandError, match="2 labelled groups"):
        draw_split(dataset(cases[:3]), (60, 20, 20))
