"""What Dice and cross entropy need of many classes, added up a few classes at a time.

A float32 table of 118 classes for two patches of 128^3 is 2 GB, and a loss that is left to autograd
keeps several. Here logits stay as they are; a probability is worked out when it is needed, once
more for the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS = 2**25
"""Of a table that is held at a time."""


class Tables(NamedTuple):
    """What an annotation says, by lookup.

    open: (patterns, cells) the cells that a pattern leaves open.
    inside: (label sets, cells) whether a voxel is inside the group of the cell, and that is known.
    decided: (label sets, cells) whether that is known.
    """

    open: Tensor
    inside: Tensor
    decided: Tensor


class ClassSums(torch.autograd.Function):
    """Compute log m (B, V), sum_v p y d (B, cells) and sum_v p d (B, cells).

    p = softmax(logits), m the probability that a voxel's pattern leaves open, y and d what `inside`
    and `decided` say of a cell's group at a voxel. With g the gradients that come in,

        w_cv  = g_1c y_cv + g_2c d_cv
        dl_cv = p_cv (w_cv - sum_k p_kv w_kv) + g_v ([c open] p_cv / m_v - p_cv)
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, pattern: Tensor, sets: Tensor, tables: Tables
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the sums, some cells at a time.

        Args:
            ctx: of the function.
            logits: (B, cells, V).
            pattern: (B, V), of each voxel.
            sets: (B, V), the label set of each voxel.
            tables: what patterns and label sets say.

        Returns:
            log m, overlaps and sizes, as the class has them.
        """
        lowest = torch.finfo(torch.float32).min
        top = top_open = torch.full(pattern.shape, lowest, device=logits.device)
        for _, part, is_open in _chunks(logits, pattern, tables.open):
            top = torch.maximum(top, part.amax(dim=1))
            top_open = torch.maximum(top_open, part.masked_fill(~is_open, lowest).amax(dim=1))
        total, total_open = torch.zeros_like(top), torch.zeros_like(top)
        for _, part, is_open in _chunks(logits, pattern, tables.open):
            total += (part - top[:, None]).exp_().sum(dim=1)
            total_open += (part - top_open[:, None]).exp_().masked_fill_(~is_open, 0).sum(dim=1)
        log_all = top + total.log()
        log_open = top_open + total_open.log() - log_all
        overlaps, sizes = [], []
        for cells, part, inside in _chunks(logits, sets, tables.inside):
            p = (part - log_all[:, None]).exp_()
            overlaps.append((p * inside).sum(dim=2))
            sizes.append(p.mul_(_looked_up(tables.decided[:, cells], sets)).sum(dim=2))
        ctx.save_for_backward(logits, pattern, sets, log_all, log_open, *tables)
        return log_open, torch.cat(overlaps, dim=1), torch.cat(sizes, dim=1)

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, of_log: Tensor, of_overlap: Tensor, of_size: Tensor
    ) -> tuple[Tensor, None, None, None]:
        logits, pattern, sets, log_all, log_open, *saved = ctx.saved_tensors
        tables = Tables(*saved)
        mean = torch.zeros_like(log_all)

        def weighted(cells: slice, part: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
            p = (part - log_all[:, None]).exp_()
            decided = _looked_up(tables.decided[:, cells], sets)
            return p, of_overlap[:, cells, None] * inside + of_size[:, cells, None] * decided

        for chunk in _chunks(logits, sets, tables.inside):
            p, w = weighted(*chunk)
            mean += p.mul_(w).sum(dim=1)
        gradient = torch.empty_like(logits)
        for cells, part, inside in _chunks(logits, sets, tables.inside):
            p, w = weighted(cells, part, inside)
            value = p.mul_(w.sub_((mean + of_log)[:, None]))
            is_open = _looked_up(tables.open[:, cells], pattern)
            share = (part - (log_all + log_open)[:, None]).exp_()
            gradient[:, cells] = value + torch.where(is_open, share * of_log[:, None], 0)
        return gradient, None, None, None


def _chunks(
    logits: Tensor, numbers: Tensor, table: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield a few cells at a time: which, their logits in float32, what the table says of them."""
    step = max(1, NUMBERS // numbers.numel())
    for start in range(0, logits.shape[1], step):
        cells = slice(start, start + step)
        yield cells, logits[:, cells].float(), _looked_up(table[:, cells], numbers)


def _looked_up(table: Tensor, numbers: Tensor) -> Tensor:
    """Return table[numbers] with the table's columns as second axis: (B, columns, V)."""
    found = table.T.contiguous()[:, numbers.flatten()]
    return found.view(len(found), *numbers.shape).movedim(0, 1)
