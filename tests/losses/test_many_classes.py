"""Losses added up a few classes at a time are those of whole tables, and so are their gradients."""

from __future__ import annotations

import pytest
import torch
from factories import spec_of

from hinterland.losses import LOSSES, PartitionLoss, class_chunks, partition

SPEC = spec_of(
    {"background": {}, "heart": {"left": {}, "right": {}, "muscle": {}}, "lung": {}},
    ["left", "lung"],
    {
        "full": {0: "background", 1: "left", 2: "right", 3: "muscle", 4: "lung"},
        "coarse": {0: "background", 1: "heart", 2: "lung"},
    },
)
TREE, TABLE = SPEC.tree, SPEC.label_sets


@pytest.mark.parametrize("loss", LOSSES.names())
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("virtual", [True, False])
@pytest.mark.parametrize("at", [TREE.leaves, SPEC.target, SPEC.question("top")])
@pytest.mark.parametrize("numbers", [1, 200, 10**6])
def test_values_and_gradients_are_those_of_whole_tables(
    monkeypatch, loss, batch, virtual, at, numbers
):
    generator = torch.Generator().manual_seed(numbers)
    logits = 3 * torch.randn((2, 5, 6, 7), generator=generator)
    logits[0, :, 0, 0] = torch.tensor([400.0, -400, 0, 0, 0])  # the annotated class is hopeless
    annotation = torch.randint(len(TABLE), (2, 6, 7), generator=generator)
    annotation[0, 0, 0] = TABLE.label_set_ids(SPEC.scheme("full"))[1]
    annotation[1, 3:] = 0
    term = PartitionLoss(at, TREE.leaves, TABLE, batch_dice=batch, virtual_dice=virtual, loss=loss)
    monkeypatch.setattr(class_chunks, "NUMBERS", numbers)
    found = []
    for large in (10**9, 0):
        monkeypatch.setattr(partition, "LARGE", large)
        x = logits.clone().requires_grad_()
        values = term(x, annotation)
        sum(values.values()).backward()
        found.append((values, x.grad))
    (whole, by_whole), (parts, by_parts) = found
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(by_parts, by_whole, rtol=1e-4, atol=1e-6)


def test_logits_in_half_precision_are_read_in_float32(monkeypatch):
    monkeypatch.setattr(partition, "LARGE", 0)
    term = PartitionLoss(TREE.leaves, TREE.leaves, TABLE)
    logits = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    annotation = torch.randint(1, 6, (1, 8, 8), generator=torch.Generator().manual_seed(1))
    low, high = term(logits, annotation), term(logits.float(), annotation)
    assert all(torch.equal(low[name], high[name]) for name in high)
    assert all(value.dtype == torch.float32 for value in low.values())
