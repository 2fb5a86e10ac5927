"""The contract of classifiers, of the same shape as a method's, and the two of paper 5.

A classifier predicts image labels. It sees whole images on one canvas, so that the engine, the data
and the augmentation are those of segmentation; instead of a voxel's row, a case's class is its
target.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hinterland.classification.dataset.answers import Target
from hinterland.classification.networks import create_classifier
from hinterland.labels import Coarsening, common_refinement
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.base import BuildContext, Losses, TrainableMethod
from hinterland.networks.base import SplitNetwork, forward_with_features
from hinterland.networks.container import Networks
from hinterland.networks.initialise import seeded
from hinterland.networks.registry import require_split
from hinterland.types import Batch, Progress

UNKNOWN = -100


@dataclass(frozen=True)
class ClassifierContext(BuildContext):
    """What a classifier is built for. `plan.patch_size` is the canvas.

    Attributes:
        channels: of the canvas, be it an image, a mask or an embedding.
        classes: their names.
        targets: case -> answer (see `Target`); a case that is not there has none.
    """

    channels: int = 1
    classes: tuple[str, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=dict)


N = TypeVar("N", bound=nn.Module)


class Classifier(TrainableMethod[N]):
    """A recipe for image labels."""

    @abstractmethod
    def probabilities(self, networks: N, image: Tensor) -> Float[Tensor, "batch classes"]:
        """Return (B, classes) of (B, C, *canvas).

        They sum to one over classes that exclude each other; of findings each is by itself.
        """


class ClassTargets(nn.Module):
    """Case names to answers, `UNKNOWN` where there is none. No parameters.

    Classes that exclude each other have one index a case, (B,). Findings have a column each,
    (B, findings), with 1, 0 or `UNKNOWN`.
    """

    def __init__(self, targets: Mapping[str, Target], findings: int = 0) -> None:
        super().__init__()
        nothing: Target = (None,) * findings if findings else UNKNOWN
        self.targets = {name: _known(target) for name, target in targets.items()}
        self.nothing = _known(nothing)

    def forward(self, cases: Sequence[str]) -> Tensor:
        return torch.tensor([self.targets.get(name, self.nothing) for name in cases])


def _known(target: Target) -> int | list[int]:
    if isinstance(target, tuple):
        return [UNKNOWN if known is None else known for known in target]
    return target


def class_loss(logits: Float[Tensor, "batch classes"], target: Tensor) -> Float[Tensor, ""]:
    """Return the mean of -log p over what is known; 0 where nothing is.

    With one index an item (batch,), p is softmax(logits)_y and the mean is over items. With a
    column for each finding (batch, classes), p is sigmoid(logits) or what it leaves to 1, and the
    mean is over all known entries.

    Args:
        logits: of the classes or findings.
        target: (batch,) or (batch, classes), `UNKNOWN` where nothing is known.
    """
    target, logits = target.to(logits.device), logits.float()
    known = target != UNKNOWN
    if target.ndim == 1:
        total = F.cross_entropy(logits, target, ignore_index=UNKNOWN, reduction="sum")
    else:
        each = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
        total = each.where(known, torch.zeros_like(each)).sum()
    return total / known.sum().clamp(min=1)


def class_probabilities(
    logits: Float[Tensor, "batch classes"], independent: bool
) -> Float[Tensor, "batch classes"]:
    """Return the softmax of logits, or of independent findings the sigmoid, in float32."""
    return logits.float().sigmoid() if independent else logits.float().softmax(dim=1)


class ImageNetworks(Networks):
    """A network from the canvas to the classes, and the classes of the cases."""

    network: nn.Module
    targets: ClassTargets


@dataclass(frozen=True)
class ImageClassifier(Classifier[ImageNetworks]):
    """One network from the canvas to the classes, trained with cross entropy alone.

    With a mask or an embedding on the canvas it is a trained summarising function.
    `independent`: the classes are findings, several of which may hold at once.
    """

    network: str = "resnet50"
    independent: bool = False
    name: str = "classifier"

    def build(self, context: BuildContext) -> ImageNetworks:
        assert isinstance(context, ClassifierContext)
        network = create_classifier(
            self.network, context.channels, len(context.classes), context.plan.patch_size,
            seed=context.seed,
        )  # fmt: skip
        targets = ClassTargets(context.targets, self.independent * len(context.classes))
        return ImageNetworks(network=network, targets=targets)

    def losses(self, networks: ImageNetworks, batch: Batch, progress: Progress) -> Losses:
        del progress
        target = networks.targets(batch.case)
        return Losses({"ce": class_loss(networks.network(batch.image), target)})

    def probabilities(
        self, networks: ImageNetworks, image: Tensor
    ) -> Float[Tensor, "batch classes"]:
        return class_probabilities(networks.network(image), self.independent)


class TwoTaskNetworks(Networks):
    """A segmentation network, a head for the class, and the loss and targets of both tasks."""

    network: SplitNetwork
    head: nn.Module
    supervision: SegmentationLoss
    targets: ClassTargets


@dataclass(frozen=True)
class YNet(Classifier[TwoTaskNetworks]):
    """Multitask Y-Net: one encoder, one decoder for segmentation, one linear layer for the class.

    The class head reads the pooled bottleneck.
    L = CE(class) + segmentation_weight CE(voxels at `on`), cross entropy alone in both; items
    without annotation or class count for the other task only. `independent` as in
    `ImageClassifier`.
    """

    on: tuple[Coarsening, ...]
    segmentation_weight: float = 1.0
    independent: bool = False
    name: str = "y-net"

    def build(self, context: BuildContext) -> TwoTaskNetworks:
        assert isinstance(context, ClassifierContext)
        cells = common_refinement(self.on)
        network = require_split(context.create_network(len(cells)), self.name)
        with seeded(context.seed + 1):
            head = nn.Linear(network.widths[-1], len(context.classes))
        return TwoTaskNetworks(
            network=network,
            head=head,
            supervision=SegmentationLoss(self.on, cells, context.label_sets, loss="ce"),
            targets=ClassTargets(context.targets, self.independent * len(context.classes)),
        )

    def losses(self, networks: TwoTaskNetworks, batch: Batch, progress: Progress) -> Losses:
        del progress
        levels, maps = forward_with_features(networks.network, batch.image)
        logits = networks.head(pooled(maps["bottleneck"]))
        return Losses(
            {
                "ce": class_loss(logits, networks.targets(batch.case)),
                "voxels": networks.supervision(levels, batch.annotation),
            },
            {"voxels": self.segmentation_weight},
        )

    def probabilities(
        self, networks: TwoTaskNetworks, image: Tensor
    ) -> Float[Tensor, "batch classes"]:
        logits = networks.head(pooled(networks.network.encode(image)[-1]))
        return class_probabilities(logits, self.independent)

    def voxel_probabilities(self, networks: TwoTaskNetworks, image: Tensor) -> Tensor:
        """Return (B, cells, *canvas) of (B, C, *canvas): the mask beside the class."""
        return networks.network(image).float().softmax(dim=1)


def pooled(features: Float[Tensor, "batch channels *space"]) -> Float[Tensor, "batch channels"]:
    """Return the mean over all voxels."""
    return features.flatten(2).mean(dim=2)
