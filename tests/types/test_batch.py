"""Items of a batch are taken as an index would take them."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hinterland.types.batch import take


@given(index=st.lists(st.integers(0, 8), max_size=12))
def test_items_are_taken_in_any_order_and_repeated(index):
    values = torch.randn(9, 2, 3)
    assert torch.equal(take(values, index), values[torch.tensor(index, dtype=torch.long)])


def test_neighbours_and_every_other_item_are_views():
    values = torch.randn(9, 2)
    for index in ([2, 3, 4], [1, 3, 5, 7], [8], list(range(9))):
        taken = take(values, index)
        assert taken.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()
    assert len(take(values, [])) == 0
