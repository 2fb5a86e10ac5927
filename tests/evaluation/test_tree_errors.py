"""Errors priced by the label tree: against brute force, voxel by voxel and edge by edge."""

from __future__ import annotations

from collections import deque
from math import isnan, nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from label_strategies import trees
from PIL import Image

from hinterland.evaluation.masks import encode
from hinterland.evaluation.tree_errors import (
    count_pairs,
    leaf_distances,
    tree_error_table,
    tree_errors,
)
from hinterland.labels import LabelSpec, LabelTree
from hinterland.types import HinterlandError

TREE = {"background": {"lungs": {"left": {}, "right": {}}, "heart": {}, "rest": {}}, "lesion": {}}
SPEC = {
    "tree": TREE, "target": ["lesion"],
    "schemes": {
        "full": {0: "rest", 1: "left", 2: "right", 3: "heart", 4: "lesion"},
        "coarse": {0: "background", 4: "lesion", 5: "lungs", 255: "any"},
    },
}  # fmt: skip


def walked(tree: LabelTree, start: str) -> dict[str | None, int]:
    """Edges from a node to all others, by walking."""
    steps: dict[str | None, int] = {start: 0}
    left = deque([start])
    while left:
        node = left.popleft()
        near = tree.roots if node is None else (*tree.children(node), tree.parent(node))
        for other in near:
            if other not in steps:
                steps[other] = steps[node] + 1
                left.append(other)
    return steps


@given(trees())
def test_distances_are_the_edges_that_are_walked(tree):
    expected = [[walked(tree, a)[b] for b in tree.leaf_names] for a in tree.leaf_names]
    np.testing.assert_array_equal(leaf_distances(tree), expected)


def brute(prediction, labels, spec: LabelSpec, scheme: str) -> dict[str, float]:
    """Walk through all voxels."""
    tree, leaf = spec.tree, spec.tree.leaf_names
    means = spec.schemes[scheme].label_values
    predicted = spec.schemes["full"].label_values
    furthest = max(walked(tree, a)[b] for a in leaf for b in leaf)
    sums = dict.fromkeys(("tree_distance", "error", "sibling", "cousin", "background"), 0.0)
    count = 0
    for p, r in zip(prediction.ravel().tolist(), labels.ravel().tolist(), strict=True):
        name = leaf[next(iter(predicted[p]))]
        may_be = [leaf[i] for i in means[r]]
        if len(may_be) == len(leaf) or (name == "rest" and "rest" in may_be):
            continue
        count += 1
        if name in may_be:
            continue
        apart = min(walked(tree, name)[other] for other in may_be)
        sums["tree_distance"] += apart / furthest
        sums["error"] += 1
        if name == "rest" or "rest" in may_be:
            sums["background"] += 1
        else:
            same = any(tree.parent(name) == tree.parent(o) for o in may_be)
            sums["sibling" if same else "cousin"] += 1
    return {k: v / count if count else nan for k, v in sums.items()} | {"voxels": count}


def priced(prediction, labels, spec: LabelSpec, scheme: str):
    at = spec.tree.leaves
    found = encode(prediction, spec.schemes["full"].label_values, at, "p")
    truth = encode(labels, spec.schemes[scheme].label_values, at, "r")
    return tree_errors(*count_pairs(found, truth), at)


@pytest.mark.parametrize("scheme", ["full", "coarse"])
@pytest.mark.parametrize("seed", range(5))
def test_prices_are_those_of_brute_force(scheme, seed):
    spec, rng = LabelSpec.from_dict(SPEC), np.random.default_rng(seed)
    prediction = rng.integers(0, 5, (3, 6, 5)).astype(np.uint8)
    labels = rng.choice(sorted(spec.schemes[scheme].label_values), (3, 6, 5)).astype(np.uint8)
    expected = brute(prediction, labels, spec, scheme)
    found = vars(priced(prediction, labels, spec, scheme))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "reference", "price", "kind"),
    [(1, 2, 2 / 4, "sibling"), (1, 3, 3 / 4, "cousin"), (1, 4, 4 / 4, "cousin"),
     (3, 4, 3 / 4, "cousin"), (0, 4, 3 / 4, "background"), (3, 0, 2 / 4, "background"),
     (2, 2, 0, None)],
)  # fmt: skip
def test_a_sibling_costs_less_than_a_cousin(predicted, reference, price, kind):
    spec, one = LabelSpec.from_dict(SPEC), np.ones((1, 2, 2), np.uint8)
    found = priced(one * predicted, one * reference, spec, "full")
    assert found.tree_distance == pytest.approx(price)
    shares = {k: getattr(found, k) for k in ("sibling", "cousin", "background")}
    assert shares == {k: float(k == kind) for k in shares}
    assert found.error == float(kind is not None)


def test_in_a_flat_tree_every_error_costs_the_same():
    flat = {"tree": {"background": {}, "a": {}, "b": {}},
            "schemes": {"full": {0: "background", 1: "a", 2: "b"}}}  # fmt: skip
    spec, rng = LabelSpec.from_dict(flat), np.random.default_rng(0)
    prediction, labels = rng.integers(0, 3, (2, 1, 9, 9)).astype(np.uint8)
    found = priced(prediction, labels, spec, "full")
    assert found.tree_distance == pytest.approx(found.error)
    either = (prediction > 0) | (labels > 0)
    assert found.voxels == either.sum()
    assert found.error == pytest.approx(((prediction != labels) & either).sum() / either.sum())


def test_nothing_there_and_nothing_found_has_no_price():
    spec, none = LabelSpec.from_dict(SPEC), np.zeros((1, 3, 3), np.uint8)
    found = priced(none, none, spec, "full")
    assert found.voxels == 0
    assert isnan(found.tree_distance)


def test_folders_and_the_command(tmp_path):
    from typer.testing import CliRunner

    from hinterland.cli.main import app

    spec, rng = LabelSpec.from_dict(SPEC), np.random.default_rng(1)
    arrays = {}
    for name in ("a", "b"):
        arrays[name] = rng.integers(0, 5, (2, 8, 8)).astype(np.uint8)
        for folder, array in zip(("pred", "ref"), arrays[name], strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "labels.yaml").write_text(str(SPEC).replace("'", ""))
    table = tree_error_table(tmp_path / "pred", tmp_path / "ref", spec=tmp_path / "labels.yaml")
    for name, (prediction, labels) in arrays.items():
        (row,) = table[table["case"] == name].to_dict("records")
        expected = brute(prediction, labels, spec, "full")
        assert {k: row[k] for k in expected} == pytest.approx(expected)
    command = ["analyse", "errors", str(tmp_path / "pred"), str(tmp_path / "ref"), "--labels",
               str(tmp_path / "labels.yaml"), "--out", str(tmp_path / "out.csv")]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"tree_distance  {table['tree_distance'].mean():.4f} [" in done.output
    written = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(written["tree_distance"], table["tree_distance"])
    assert CliRunner().invoke(app, command).exit_code == 1  # it is there already


def test_a_prediction_that_leaves_the_question_open_is_refused(tmp_path):
    for folder in ("pred", "ref"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.eye(4, dtype=np.uint8) * 4).save(tmp_path / folder / "a.png")
    (tmp_path / "pred" / "labels.json").write_text('{"labels": {"background": 0, "lesion": 4}}')
    spec = LabelSpec.from_dict(SPEC)
    with pytest.raises(HinterlandError, match="Ask a coarser question"):
        tree_error_table(tmp_path / "pred", tmp_path / "ref", spec=spec)
    table = tree_error_table(tmp_path / "pred", tmp_path / "ref", spec=spec, at="target")
    assert table["tree_distance"].tolist() == [0.0]
