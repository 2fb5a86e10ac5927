"""Random trees, coarsenings, schemes and probabilities for the property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hinterland.labels import Coarsening, LabelTree, Scheme

_WORDS = ("lung", "rest", "infection", "left atrium", "a+b", "c/d", "virtual", "Tumour (core)")


@st.composite
def trees(draw: st.DrawFn, max_leaves: int = 7) -> LabelTree:
    """A tree of 2 to `max_leaves` leaves: subtrees are joined under new nodes at random."""
    count = draw(st.integers(2, max_leaves))
    names = iter(draw(st.permutations([*_WORDS, *(f"n{i}" for i in range(2 * max_leaves))])))
    forest: list[tuple[str, dict]] = [(next(names), {}) for _ in range(count)]
    for _ in range(draw(st.integers(0, count))):
        first = draw(st.integers(0, len(forest) - 1))
        last = draw(st.integers(first + 1, len(forest)))
        forest[first:last] = [(next(names), dict(forest[first:last]))]
    leaves = _leaves(dict(forest))
    remainder = draw(st.none() | st.sampled_from(leaves))
    virtual = draw(st.sets(st.sampled_from(leaves), max_size=1))
    return LabelTree(dict(forest), remainder=remainder, virtual=tuple(virtual))


def _leaves(nodes: dict) -> list[str]:
    return [n for name, below in nodes.items() for n in (_leaves(below) if below else [name])]


@st.composite
def coarsenings(draw: st.DrawFn, tree: LabelTree) -> Coarsening:
    """A partition of the leaves into at least two groups, named by what they hold."""
    codes = draw(
        st.lists(st.integers(0, len(tree) - 1), min_size=len(tree), max_size=len(tree)).filter(
            lambda c: len(set(c)) > 1
        )
    )
    members = {g: [n for n, c in zip(tree.leaf_names, codes, strict=True) if c == g] for g in codes}
    return Coarsening.from_dict(tree, {f"group {g}": names for g, names in members.items()})


def leaf_sets(tree: LabelTree) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.sampled_from(range(len(tree))), min_size=1)


@st.composite
def schemes(draw: st.DrawFn, tree: LabelTree, name: str = "full") -> Scheme:
    values = draw(st.dictionaries(st.integers(0, 40), leaf_sets(tree), min_size=1, max_size=5))
    return Scheme(name, tree, tuple(values.items()))


def probabilities(channels: int, voxels: int, seed: int) -> np.ndarray:
    """(channels, voxels) float64, positive, summing to 1 over the channels."""
    return np.random.default_rng(seed).dirichlet(np.full(channels, 0.7), size=voxels).T
