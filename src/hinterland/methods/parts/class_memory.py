"""A memory of trusted feature vectors of each class, and how far other ones are from it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.membership import Membership
from hinterland.losses.precision import float32
from hinterland.methods.parts.choice import highest, some
from hinterland.networks.initialise import seeded


class ClassMemory(nn.Module):
    """Embeddings (cells, size, dimensions), in a buffer, newest first; `filled` says how many.

    Foreground cells alone are remembered. A voxel's features pass a projection (kept) and then a
    predictor (compared with what is kept), linear layers both. Two selectors weigh the compared
    voxels and the remembered ones.
    """

    bank: Tensor
    filled: Tensor

    def __init__(
        self,
        width: int,
        cells: Coarsening,
        table: LabelSetTable,
        dimensions: int,
        size: int,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        self.foreground = list(cells.foreground)
        with seeded(seed):
            self.projection = nn.Linear(width, dimensions)
            self.predictor = nn.Linear(dimensions, dimensions)
            self.selectors = nn.ModuleList(nn.Linear(dimensions, len(cells)) for _ in range(2))
        self.register_buffer("bank", torch.zeros(len(cells), size, dimensions))
        self.register_buffer("filled", torch.zeros(len(cells), dtype=torch.long))
        self.membership = Membership(cells, table)

    @torch.no_grad()
    def store(self, features: Tensor, p: Tensor, annotation: Tensor) -> None:
        """Keep the voxels that are rightly predicted with most confidence, ahead of older ones.

        Args:
            features: (B, width, *space).
            p: probabilities (B, cells, *space).
            annotation: (B, *space), indices into the table of label sets.
        """
        vectors = _listed(features.detach())
        confidence, predicted = (t.flatten() for t in p.max(dim=1))
        truth = self._inside(annotation).flatten(0, -2)
        size = self.bank.shape[1]
        place = torch.arange(size, device=vectors.device)
        for cell in self.foreground:
            right = (predicted == cell) & truth[:, cell]
            best, found = highest(confidence, right, size)
            new, count = self.projection(vectors[best]), found.sum()
            after = torch.cat([new, self.bank[cell].new_zeros(size - len(new), new.shape[1])])
            # The first `count` are new, the rest move up behind them.
            row = torch.where(place < count, place, size + place - count)
            self.bank[cell] = torch.cat([after, self.bank[cell]])[row]
            self.filled[cell] = (self.filled[cell] + count).clamp(max=size)

    @torch.no_grad()
    def classes(self, p: Tensor, annotation: Tensor) -> Tensor:
        """Return the cell of each voxel: the one its annotation lies inside, or the predicted."""
        truth = self._inside(annotation)
        return torch.where(truth.any(dim=-1), truth.int().argmax(dim=-1), p.argmax(dim=1))

    def _inside(self, annotation: Tensor) -> Tensor:
        """Mark the cell that each annotation lies inside: (B, *space, cells).

        A coarse annotation may lie in none.
        """
        member, decided = self.membership(annotation)
        return (member & decided).movedim(1, -1)

    def distance(self, features: Tensor, classes: Tensor, samples: int) -> Tensor:
        """Return mean_c mean_v,m  w_v w_m (1 - cos(e_v, m)): v of cell c, m in the memory of c.

        Over the cells that are remembered and found; each w has mean 1.

        Args:
            features: (B, width, *space).
            classes: (B, *space), the cell of each voxel.
            samples: how many voxels of a cell are drawn at most.

        Returns:
            The distance, a scalar; 0 without a cell.
        """
        vectors, classes = _listed(features), classes.flatten()
        total, count = vectors.sum() * 0, vectors.new_zeros(())
        for cell in self.foreground:
            chosen, found = some(classes == cell, samples)
            kept = self.bank[cell].clone()
            filled = torch.arange(len(kept), device=kept.device) < self.filled[cell]
            embedded = self.predictor(self.projection(vectors[chosen]))
            one, other = F.normalize(embedded.float(), dim=1), F.normalize(kept.float(), dim=1)
            with float32(one):
                far = 1 - one @ other.T
            here, there = (
                _weights(selector(x.detach())[:, cell], known)
                for selector, x, known in zip(
                    self.selectors, (embedded, kept), (found, filled), strict=True
                )
            )
            pairs = found.sum() * filled.sum()
            total = total + (here[:, None] * there * far).sum() / pairs.clamp(min=1)
            count = count + (pairs > 0)
        return total / count.clamp(min=1)


def _listed(features: Tensor) -> Tensor:
    """Reshape (B, width, *space) to (voxels, width)."""
    return features.float().movedim(1, -1).flatten(0, -2)


def _weights(scores: Tensor, known: Tensor) -> Tensor:
    """Return sigmoid(scores) where known, scaled to a mean of 1 there, and 0 elsewhere."""
    w = scores.sigmoid() * known
    return w / (w.sum() / known.sum().clamp(min=1)).clamp(min=1e-8)
