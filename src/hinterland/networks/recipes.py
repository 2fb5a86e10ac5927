"""Optimiser and schedule of each network: those of papers 1 and 3, and of the authors of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class OptimiserRecipe:
    """How a network is trained unless the user says otherwise.

    With t the share of the steps done: `poly` is lr (1 - t)^power, `linear` the same with power 1,
    `cosine` is min_lr + (lr - min_lr) (1 + cos(pi t)) / 2. `momentum` and `nesterov` are for SGD,
    `eps` is for Adam and AdamW; Muon has `momentum`, and `adam_share` of the rate goes to the AdamW
    beside it. Over the first `warmup_share` of the steps the rate rises linearly from zero.
    """

    optimiser: Literal["sgd", "adam", "adamw", "muon"]
    lr: float
    weight_decay: float
    momentum: float = 0.0
    nesterov: bool = False
    eps: float = 1e-8
    schedule: Literal["poly", "cosine", "linear"] = "poly"
    power: float = 0.9
    min_lr: float = 0.0
    warmup_share: float = 0.0
    adam_share: float = 0.15
    deep_supervision: bool = True


MUON = OptimiserRecipe("muon", 0.06, 1e-2, momentum=0.95, schedule="linear", warmup_share=0.05)
NNUNET = OptimiserRecipe("sgd", 1e-2, 3e-5, momentum=0.99, nesterov=True)
_MONAI = replace(NNUNET, momentum=0.0, nesterov=False, eps=1e-5, deep_supervision=False)
_ADAM = OptimiserRecipe("adam", 1e-4, 0.0, deep_supervision=False)
CLASSIC = replace(NNUNET, weight_decay=1e-4, momentum=0.9, nesterov=False, deep_supervision=False)
TRANSFORMER = CLASSIC  # of TransUNet's and Swin-Unet's authors
SEGRESNET = replace(_MONAI, optimiser="adam", lr=1e-4, weight_decay=1e-5)
SWINUNETR = replace(
    _MONAI, optimiser="adamw", lr=8e-4, weight_decay=1e-2, schedule="cosine", min_lr=1e-6
)
ATTENTION_UNET = _ADAM
NUCLEISEGNET = replace(_ADAM, lr=1e-3)
DILATED = _ADAM
CMUNET = replace(_ADAM, weight_decay=1e-4, schedule="cosine", min_lr=1e-5)
# Paper 5: cross entropy alone and Adam with lr 1e-4; heads on frozen maps are small and want more.
_CLASSIFIER = replace(_MONAI, optimiser="adam", lr=1e-4, weight_decay=0.0, eps=1e-8)
_HEAD_RATES = {"simple": 1e-3, "complex": 1e-3, "small": 1e-3, "pool": 1e-2}


def classifier_recipe(name: str) -> OptimiserRecipe:
    """Return the recipe of a classifier or summarising function."""
    return replace(_CLASSIFIER, lr=_HEAD_RATES.get(name, _CLASSIFIER.lr))
