"""CVBM over a sub-divided background, with cases whose background is not divided."""

from __future__ import annotations

from dataclasses import replace

import torch
from cvbm_phantoms import FOUR, SELF, batch_of, build_context

from hinterland.methods import BuildContext, make_method
from hinterland.types import Batch


def partly_labelled(context: BuildContext) -> Batch:
    """Two labelled items, of which the second has the scheme `partial`, and two unlabelled."""
    batch = batch_of(context, 2, 2)
    rows = batch.annotation.clone()
    partial = FOUR.label_sets.label_set_ids(FOUR.schemes["partial"])
    lookup = torch.tensor([0, partial[0], partial[0], partial[2], partial[3]])
    rows[1] = lookup[rows[1].long()]
    return replace(batch, annotation=rows)


def test_it_composes_with_a_sub_divided_background_and_partial_labels():
    """BackSplit + CVBM, some labelled cases with lung and rest as one background."""
    context = build_context(FOUR, deep_supervision=False)
    method = make_method("cvbm", FOUR, ("leaves", "target"), {"alpha": 0.0, "consistency": 0.0})
    assert method.cells.names == FOUR.tree.leaves.names  # the background stays divided
    networks = method.build(context)
    batch = partly_labelled(context)
    student = networks.student
    order = FOUR.tree.leaves.names
    lung, rest = order.index("lung"), order.index("rest")

    def gradient(items: Batch) -> torch.Tensor:
        """Of the loss in the bias of the second decoder: (cells,), lung and rest among them."""
        networks.zero_grad()
        torch.manual_seed(7)
        method.losses(networks, items, SELF).total.backward()
        bias = [p for n, p in student.head.named_parameters() if n.endswith("bias")]
        return bias[0].grad

    assert gradient(batch).all(), "every cell is taught by someone"
    only_partial = replace(batch, annotation=batch.annotation.clone())
    only_partial.annotation[0] = only_partial.annotation[1]
    alone = gradient(only_partial)
    assert alone[[lung, rest]].abs().max() == 0, "background does not say lung or rest"
    assert alone[[order.index("infection"), order.index("organ")]].all()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)


def test_it_learns_from_mixed_granularity():
    context = build_context(FOUR)
    method = make_method("cvbm", FOUR, ("leaves", "target"))
    networks, batch = method.build(context), partly_labelled(context)
    optimiser = torch.optim.Adam(method.parameters(networks, "main"), 0.01)
    totals = []
    for _ in range(20):
        torch.manual_seed(1)
        losses = method.losses(networks, batch, SELF)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        totals.append(float(losses.total.detach()))
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])
    p = method.probabilities(networks.eval(), batch.image)
    assert torch.allclose(p.sum(dim=1), torch.ones_like(p[:, 0]), atol=1e-5)
