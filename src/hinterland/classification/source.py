"""What a classifier reads: the image, or what a frozen segmentation run makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from hinterland.classification.canvas import embedding_size, on_canvas
from hinterland.classification.embeddings import stitched_features
from hinterland.data.io.files import atomic_path, file_stamp
from hinterland.data.preprocessing.cache import Prepared, cache_root
from hinterland.inference.volumes import Predictor
from hinterland.labels import Coarsening, LabelError
from hinterland.networks.registry import require_split
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError

IMAGES, MASKS, EMBEDDINGS = "images", "masks", "embeddings"


@dataclass(frozen=True)
class Frozen:
    """A trained segmentation run whose outputs are summarised; its weights stay as they are."""

    run: Run
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def cells(self) -> Coarsening:
        """The coarsening that its channels stand for."""
        return self.run.method.cells

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor of the checkpoint that the run reports."""
        return self.run.predictor()

    def masks(self, image: np.ndarray) -> np.ndarray:
        """Predict the probabilities (cells, z, y, x) of a preprocessed image (C, z, y, x).

        They are not binarised.
        """
        return np.exp(self.predictor.log_probabilities(image, self.cells))

    def of_node(self, masks: np.ndarray, node: str) -> np.ndarray:
        """Sum probabilities (cells, ...) into those of one node of the tree, (...)."""
        members = members_of(self.cells, node)
        return np.minimum(masks[members].sum(axis=0), 1.0)

    def layer(self, name: str) -> str:
        """Resolve `shallow` and `deep` as the paper has them, or the name of a feature map.

        Shallow is the fifth decoder map from the bottleneck, deep the third (Table A1's
        `conv_blocks_localization[4]` and `[2]`), or the last one there is.

        Raises:
            HinterlandError: the network has no such feature map.
        """
        network = self._network()
        names = list(network.feature_widths())
        if name in ("shallow", "deep"):
            last = len(network.widths) - 2
            return f"decoder.{max(0, last - (4 if name == 'shallow' else 2))}"
        if name not in names:
            raise HinterlandError(
                f"embedding {name!r}: expected shallow, deep or one of {', '.join(names)}."
            )
        return name

    def embedding(self, image: np.ndarray, layer: str) -> np.ndarray:
        """Compute the stitched feature map of a preprocessed image (C, z, y, x).

        It is float32 (F, z, y, x).
        """
        network, options = self._network(), self.predictor.options
        network.to(options.device)

        def encode(part: Any) -> Any:
            features = network.encode(part)
            return network.feature_maps(features, network.decode(features))[layer]

        return stitched_features(
            encode, image, self.run.record.plan.patch_size, self.stride(layer),
            overlap=options.overlap, device=options.device, precision=options.precision,
        )  # fmt: skip

    def stride(self, layer: str) -> tuple[int, ...]:
        """Tell how much coarser a feature map is than the image, per axis."""
        network, patch = self._network(), self.run.record.plan.patch_size
        blank = torch.zeros(
            1, network.in_channels, *patch, device=next(network.parameters()).device
        )
        with torch.inference_mode():
            features = network.encode(blank)
            shape = network.feature_maps(features, network.decode(features))[layer].shape[2:]
        return tuple(p // n for p, n in zip(patch, shape, strict=True))

    def width(self, layer: str) -> int:
        """Return the number of channels of a feature map."""
        return self._network().feature_widths()[layer]

    def _network(self) -> Any:

        if "network" not in self._loaded:
            deployed = self.run.method.deployed(self.run.networks())
            self._loaded["network"] = require_split(deployed, "embeddings")
        return self._loaded["network"]


def members_of(cells: Coarsening, node: str) -> np.ndarray:
    """Find the indices of the cells below a node.

    Raises:
        LabelError: the model does not tell it apart.
    """
    leaves = cells.tree.leaves_under(node)
    inside = [i for i, group in enumerate(cells.groups) if group <= leaves]
    if frozenset().union(*(cells.groups[i] for i in inside)) != leaves:
        raise LabelError(
            f"the segmentation run does not tell {node!r} apart; it knows ({cells}). Ask for "
            "another class, or train a run on finer groups."
        )
    return np.array(inside)


def mask_canvases(
    frozen: Frozen,
    names: Sequence[str],
    prepared: Prepared,
    canvas: tuple[int, ...],
    layer: str,
    tick: Callable[[int, int], None] | None = None,
) -> tuple[Path, int, tuple[int, ...]]:
    """Bring the masks (or, with a layer, embeddings) of these cases onto the canvas, in the cache.

    Args:
        frozen: the segmentation run.
        names: of the cases.
        prepared: their preprocessed images.
        canvas: voxels, one number an axis.
        layer: a feature map's name; empty takes the masks.
        tick: called with (done, of how many).

    Returns:
        The folder of NAME.npy (float16), the number of channels and the canvas they are on: that of
        embeddings is as much coarser as the feature map.
    """
    size, channels = canvas, len(frozen.cells)
    if layer:
        stride = frozen.stride(layer)
        lead = (1,) * (len(canvas) - len(stride))
        size, channels = embedding_size(canvas, (*lead, *stride)), frozen.width(layer)
    checkpoint = frozen.run.path / "checkpoints" / f"{frozen.run.reported}.ckpt"
    key = repr((file_stamp(checkpoint), str(prepared.folder), size, layer))
    folder = cache_root() / "frozen" / hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    for done, name in enumerate(names, start=1):
        file = folder / f"{name}.npy"
        if not file.is_file():
            image = np.asarray(prepared[name].image)
            found = frozen.embedding(image, layer) if layer else frozen.masks(image)
            with atomic_path(file) as temporary:
                np.save(temporary, on_canvas(found, size).astype(np.float16))
        if tick:
            tick(done, len(names))
    return folder, channels, size


def stored(folder: Path) -> Callable[[str], tuple[np.ndarray, None]]:
    """Read the files of `mask_canvases`, as `Canvases` asks for them."""
    return lambda name: (cast(np.ndarray, np.load(folder / f"{name}.npy")).astype(np.float32), None)
