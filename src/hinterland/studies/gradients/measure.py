"""Scores and Fisher information of a trained network's last layer, structure by structure.

Paper 1, figure 2 and appendix A.7. With h the features below the last layer and a 1 for its bias,
the score of a label k at a voxel is (e_k - p) h^T, that of the background (pi - p) h^T, pi being p
inside the background; the information is the mean of C(p) x h h^T, C as in `theory.fisher`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hinterland.labels import Coarsening
from hinterland.studies.features.probe import FeatureProbe, tiles_of
from hinterland.theory import fisher
from hinterland.training.runs.run import Run
from hinterland.types import Case, HinterlandError

FINEST = "decoder.0"
VOXELS = 2000
"""Of each case, drawn over all of its tiles."""
MOST = 1200
"""Parameters of the last layer that are looked at; of more, the features' main directions."""


@dataclass(frozen=True)
class Voxels:
    """Voxels of one case as a network sees them.

    Attributes:
        features: (voxels, channels + 1), a one behind the channels.
        probabilities: (voxels, cells).
        cells: which cell the annotation says, -1 where it leaves several open.
    """

    features: Tensor
    probabilities: Tensor
    cells: Tensor


@dataclass(frozen=True)
class Gradients:
    """What `measure` finds.

    Attributes:
        structures: names of the cells in the target's background.
        scores: (structures, parameters), mean score of the voxels of each, by their own label.
        background: (parameters,), mean score of all these voxels by the label "background".
        counts: voxels of each structure.
        fine: (parameters, parameters), information of all cells.
        coarse: the same of the target's groups.
        cases: one row a case: case, group, fine and coarse (traces), lost (share).
        shares: structure -> what splitting it off from the background adds, as a share of fine.
    """

    structures: tuple[str, ...]
    scores: np.ndarray
    background: np.ndarray
    counts: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    cases: pd.DataFrame
    shares: dict[str, float]

    @property
    def alike(self) -> float:
        """Mean cosine of the structures' scores with each other; 1 where all ask for the same."""
        seen = self.scores[self.counts > 0]
        if len(seen) < 2:
            return float("nan")
        unit = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
        pairs = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
        return float(pairs.mean())


def measure(
    run: Run,
    cases: Sequence[Case],
    *,
    voxels: int = VOXELS,
    seed: int = 0,
    tick: Callable[[int, int], None] | None = None,
) -> Gradients:
    """Look at the voxels of cases through a trained network.

    Args:
        run: a finished run that tells more apart than the target.
        cases: labelled cases.
        voxels: of each case at most, drawn uniformly over its tiles.
        seed: of the draw.
        tick: called with (done, of how many).

    Returns:
        The scores, and the information of its last layer.

    Raises:
        HinterlandError: the run tells nothing apart beside the target, or shows no features.
    """
    method, target = run.method, run.record.spec.target
    coarse = torch.tensor(target.over(method.cells))
    background = coarse[target.background]
    if int(background.sum()) < 2 or not method.is_softmax:
        raise HinterlandError(
            f"{run.path} tells no structures apart beside the target, or does not answer by one "
            "softmax. Expected a run that was trained on more (--method backsplit)."
        )
    seen = []
    for done, case in enumerate(cases, start=1):
        rng = np.random.default_rng([seed, done])
        seen.append(_look(run, case, method.cells, voxels, rng))
        if tick:
            tick(done, len(cases))
    return summarise(seen, method.cells.names, coarse, target.background, cases)


def _look(run: Run, case: Case, cells: Coarsening, voxels: int, rng: np.random.Generator) -> Voxels:
    probe = FeatureProbe.at(run)
    member = torch.tensor(run.record.spec.label_sets.member(cells))
    cell_of_set = torch.where(member.any(1), member.int().argmax(1), -1)
    tiles = list(tiles_of(run, case))
    each = max(1, voxels // len(tiles))
    found: list[tuple[Tensor, ...]] = []
    for image, rows in tiles:
        with torch.inference_mode():
            batch = torch.from_numpy(image)[None].to(probe.device)
            (logits, *_), maps = probe.network.logits_and_maps(batch)
            values = [logits.float().softmax(1), maps[FINEST].float()]
        chosen = torch.from_numpy(rng.choice(rows.size, min(each, rows.size), replace=False))
        p, h = (v[0].flatten(1).T.cpu()[chosen].double() for v in values)
        known = cell_of_set[torch.from_numpy(rows.astype(np.int64)).flatten()[chosen]]
        found.append((torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], dim=1), p, known))
    return Voxels(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def summarise(
    seen: Sequence[Voxels],
    names: Sequence[str],
    coarse: Tensor,
    background: int,
    cases: Sequence[Case],
) -> Gradients:
    """Compute scores and information from voxels.

    Args:
        seen: the voxels of each case.
        names: of the cells.
        coarse: (groups, cells) bool, the target's groups.
        background: which group is background.
        cases: whose voxels they are.

    Returns:
        The result.
    """
    h, p, cell = (
        torch.cat([getattr(v, part) for v in seen])
        for part in ("features", "probabilities", "cells")
    )
    fine, whole = fisher.leaves(len(names)), fisher.whole(len(names))
    inside = [k for k in range(len(names)) if coarse[background, k]]
    label = torch.eye(len(names), dtype=p.dtype)
    rest = fisher.within(p, coarse)[:, background]

    def mean(direction: Tensor, where: Tensor) -> Tensor:
        scores = direction[where].T @ h[where] / max(int(where.sum()), 1)
        return scores.flatten()

    # one voxel counts once for its structure, and once for all of them together
    scores = torch.stack([mean(label[k] - p, cell == k) for k in inside])
    together = mean(rest - p, torch.isin(cell, torch.tensor(inside)))
    rows = []
    for case, one in zip(cases, seen, strict=True):
        energy = one.features.square().sum(1)
        every, asked = (
            float((_trace(one.probabilities, at, whole) * energy).mean()) for at in (fine, coarse)
        )
        rows.append({"case": case.name, "group": case.group or case.name, "fine": every,
                     "coarse": asked, "lost": 1 - asked / max(every, 1e-300)})  # fmt: skip
    energy = h.square().sum(1)
    total = float((_trace(p, fine, whole) * energy).mean())
    shares = {
        names[k]: float((_trace(p, _split_off(coarse, background, k), coarse) * energy).mean())
        / max(total, 1e-300)
        for k in inside
    }
    kept = _main_directions(h, len(names))
    return Gradients(
        tuple(names[k] for k in inside), scores.numpy(), together.numpy(),
        np.array([int((cell == k).sum()) for k in inside]),
        _information(p, kept, fine, whole).numpy(), _information(p, kept, coarse, whole).numpy(),
        pd.DataFrame(rows), shares,
    )  # fmt: skip


def _trace(p: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
    """Return the trace of C(fine | coarse) of each voxel."""
    return fisher.factor(p, fine, coarse).square().sum((-1, -2))


def _split_off(coarse: Tensor, background: int, cell: int) -> Tensor:
    """Return the partition in which one cell of the background is a group of its own."""
    alone = torch.zeros_like(coarse[:1])
    alone[0, cell] = True
    left = coarse.clone()
    left[background, cell] = False
    return torch.cat([left, alone])


def _main_directions(h: Tensor, cells: int) -> Tensor:
    """Return the features, or their coordinates along as many main directions as are looked at."""
    most = max(1, MOST // cells)
    if h.shape[1] <= most:
        return h
    values, vectors = torch.linalg.eigh(h.T @ h)
    return h @ vectors[:, values.argsort(descending=True)[:most]]


def _information(p: Tensor, h: Tensor, fine: Tensor, coarse: Tensor, step: int = 4096) -> Tensor:
    """Return the mean of C(fine | coarse) x h h^T over voxels, (cells x features) squared."""
    size = p.shape[1] * h.shape[1]
    total = torch.zeros(size, size, dtype=p.dtype)
    for start in range(0, len(p), step):
        root = fisher.factor(p[start : start + step], fine, coarse)
        # a column of the root is one direction of the logits, times the features
        columns = torch.einsum("vkg,vc->vgkc", root, h[start : start + step]).reshape(-1, size)
        total += columns.T @ columns
    return total / len(p)
