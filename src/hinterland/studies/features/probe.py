"""Read the feature maps of a trained network, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hinterland.data.io.volume import read_label, read_volume
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.inference.tiling import tile_starts
from hinterland.losses.discrepancy import feature_discrepancy, pool_membership, sides
from hinterland.networks.base import Network
from hinterland.networks.registry import require_maps
from hinterland.training.device import resolve_accelerator
from hinterland.training.runs.run import Run
from hinterland.types import Case


@dataclass(frozen=True)
class FeatureProbe:
    """A trained network whose feature maps can be read, and what annotations say of the target.

    Attributes:
        network: the deployed network of a run, on `device`.
        member: bool (label sets, groups), whether a label set lies inside a foreground group of the
            target.
        decided: bool (label sets, groups), whether a label set says so at all.
    """

    network: Network
    member: Tensor
    decided: Tensor
    device: torch.device | str

    @classmethod
    def at(cls, run: Run) -> FeatureProbe:
        """Load the deployed network of a run.

        Raises:
            HinterlandError: The network shows no feature maps.
        """
        device = resolve_accelerator(run.record.train.accelerator)
        network = require_maps(run.method.deployed(run.networks().to(device)), "analyse features")
        spec = run.record.spec
        groups = list(spec.target.foreground)
        member, decided = (
            torch.tensor(known[:, groups])
            for known in (
                spec.label_sets.member(spec.target),
                spec.label_sets.decided(spec.target),
            )
        )
        return cls(network, member, decided, device)

    def feature_maps(self, image: np.ndarray) -> dict[str, Tensor]:
        """Compute the feature maps of one tile (C, *tile): each (1, channels, *space), on CPU."""
        with torch.inference_mode():
            maps = self.network.logits_and_maps(torch.from_numpy(image)[None].to(self.device))[1]
        return {name: value.float().cpu() for name, value in maps.items()}

    def discrepancies(self, image: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """Compute L_fd (prototypes, normalised) of one tile for each layer.

        Args:
            image: Float32 (C, *tile).
            rows: Index of each voxel's label set, (*tile).

        Returns:
            Layer -> L_fd; layers on which foreground or background is missing are left out.
        """
        index = torch.from_numpy(rows.astype(np.int64))[None]
        member, decided = (t[index].movedim(-1, 1) for t in (self.member, self.decided))
        found = {}
        for name, features in self.feature_maps(image).items():
            pooled = pool_membership(member, decided, tuple(features.shape[2:]))
            layer = sides(features, *pooled, normalise=True)
            if bool((layer.has_foreground & layer.has_background).any()):
                found[name] = float(feature_discrepancy(layer))
        return found


def tiles_of(run: Run, case: Case) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a labelled case into tiles of the plan's patch size, side by side.

    Images smaller than a tile are padded with zeros, their annotation with "any leaf" (row 0).

    Yields:
        The preprocessed tile, float32 (C, *tile), and its label-set indices (*tile).
    """
    assert case.label is not None
    plan, spec = run.record.plan, run.record.spec
    image, label, _ = preprocess(
        read_volume(case.images), plan, read_label(case.label, case.images[0]).array[0]
    )
    assert label is not None
    rows = LabelSetLookup(spec.label_sets, spec.scheme(case.scheme))(label, case.name)
    tile = plan.patch_size
    flat = len(tile) == 2
    planes = [(image[:, z], rows[z]) for z in range(len(rows))] if flat else [(image, rows)]
    for pixels, known in planes:
        short = [max(t - n, 0) for t, n in zip(tile, known.shape, strict=True)]
        widths = [(s // 2, s - s // 2) for s in short]
        pixels, known = np.pad(pixels, [(0, 0), *widths]), np.pad(known, widths)
        starts = [tile_starts(n, t, 0.0) for n, t in zip(known.shape, tile, strict=True)]
        for corner in product(*starts):
            box = tuple(slice(a, a + t) for a, t in zip(corner, tile, strict=True))
            yield np.ascontiguousarray(pixels[(slice(None), *box)], np.float32), known[box]
