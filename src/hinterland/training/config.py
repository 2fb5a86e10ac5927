"""What a run is asked to do: every setting, checked, with the default a user would expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from hinterland.data.on_device.augmentation import BATCH_AUGMENTATIONS
from hinterland.data.sampling.augmentation import AUGMENTATIONS
from hinterland.labels.strict_yaml import parse_yaml
from hinterland.training.optimisation.pace import seconds_of
from hinterland.types import HinterlandError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserConfig(_Strict):
    """Overrides of the network's own recipe (`networks.recipe`); None keeps the recipe's value."""

    optimiser: Literal["sgd", "adam", "adamw", "muon"] | None = None
    lr: float | None = Field(None, gt=0)
    weight_decay: float | None = Field(None, ge=0)
    momentum: float | None = Field(None, ge=0, lt=1)
    nesterov: bool | None = None
    eps: float | None = Field(None, gt=0)
    schedule: Literal["poly", "cosine", "linear"] | None = None
    power: float | None = Field(None, gt=0)
    min_lr: float | None = Field(None, ge=0)
    adam_share: float | None = Field(
        None, gt=0, description="with muon: share of lr for AdamW on ends, norms and biases"
    )
    warmup_share: float | None = Field(None, ge=0, le=1)
    warmup: int = Field(
        0, ge=0, description="steps over which lr rises linearly from zero; 0: warmup_share's"
    )
    clip: float = Field(12.0, gt=0, description="norm to which gradients are clipped")


class DataConfig(_Strict):
    """How patches are drawn and changed."""

    augmentation: str = Field("nnunet", description="nnunet, flips, none, or a registered one")
    foreground: float = Field(0.33, ge=0, le=1, description="share of patches on foreground")
    foreground_on: Literal["target", "on"] = Field(
        "target",
        description="centre on the target question's classes (the same patches in every arm), or "
        "on all classes of the coarsenings trained on, as nnU-Net does",
    )
    by_domain: bool = Field(
        False,
        description="draw each quota of a batch in equal parts from every domain among its cases, "
        "however many cases a domain has",
    )
    growing: bool = Field(
        False,
        description="small patches first: half the edges until 40 % of a phase, three quarters "
        "until 70 %, then whole ones; steps are cheaper, the network is the same",
    )
    workers: int | None = Field(None, ge=0, description="None: 0 on a CPU, else up to 8")
    device: Literal["auto", "cpu", "accelerator"] = Field(
        "auto",
        description="where patches are cut and changed: one by one on the CPU, or a batch at a "
        "time on the device that trains; auto: on CUDA there, else on the CPU",
    )

    @field_validator("augmentation")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        if name not in AUGMENTATIONS.names():
            raise ValueError(f"expected one of {', '.join(AUGMENTATIONS.names())}")
        return name

    @model_validator(mode="after")
    def _has_batches(self) -> DataConfig:
        if self.device == "accelerator" and not self.on_accelerator("cuda"):
            raise ValueError(
                f"device accelerator: the augmentation {self.augmentation!r} knows patches one by "
                f"one only; expected one of {', '.join(BATCH_AUGMENTATIONS.names())}, or device cpu"
            )
        return self

    def on_accelerator(self, accelerator: str) -> bool:
        """Tell whether batches are made on the device that trains, if it is of this kind."""
        if self.augmentation not in BATCH_AUGMENTATIONS.names():
            return False
        return self.device == "accelerator" or (self.device == "auto" and accelerator == "cuda")


class ValidationConfig(_Strict):
    """Prediction of whole validation volumes while training, and of the test volumes after it."""

    interval: int | None = Field(None, ge=1, description="steps; None: a twentieth of all steps")
    select: Literal["dice", "auroc", "balanced-accuracy", "last"] | None = Field(
        None,
        description="what the best checkpoint is best at on validation cases: the mean Dice, or "
        "telling images with the target from images without it; last takes the last one. "
        "None: dice, and auroc for classifiers",
    )
    overlap: float = Field(0.5, ge=0, lt=1)
    mirror: bool | Literal["auto"] = Field(
        True,
        description="average over mirrored copies when predicting at the end; auto: where it was "
        "measured on validation cases that this pays",
    )
    shortcuts: int | None = Field(
        None,
        ge=0,
        description="validation cases on which is measured, after training, what mirroring and "
        "predict --fast change; None: up to 8 in a twentieth of the training's time, after a "
        "minute of training and without `time`; 0: none",
    )
    hidden: int = Field(
        3,
        ge=0,
        description="training cases whose labels are hidden from the run, on which a "
        "method's teacher is scored for the log; 0: none",
    )
    window_batch: int | None = Field(
        None, ge=1, description="tiles at a time; None: 4, or on a CPU what its cache holds"
    )


class TrainConfig(_Strict):
    """A training run. `hinterland train --set a.b=c` sets `b` of section `a`."""

    steps: int = Field(25_000, ge=1)
    time: float | None = Field(
        None, description="seconds (or 20min, 1.5h) for training and prediction, in place of steps"
    )
    seed: int = Field(0, ge=0)
    recipe: str = Field("paper", description="fast, nnunet or paper: see training.recipes")
    network: str = "unet"
    network_options: dict[str, Any] = Field(default_factory=dict)
    pretrained: str | None = Field(
        None,
        description="begin with ImageNet weights: a file of torchvision's ResNet, or imagenet",
    )
    loss: str = Field("dice-ce", description="segmentation loss: a name of the losses' registry")
    batch_size: int | None = Field(None, ge=1, description="None: the plan's")
    patch_size: tuple[int, ...] | None = Field(None, description="None: the plan's")
    virtual_dice: bool = Field(
        False,
        description="count a class without labels as absent in Dice, as nnU-Net does",
    )
    init_head: Literal["grown", "fresh"] = Field(
        "grown", description="of a run from --init-from: what becomes of output layers that grow"
    )
    batch_dice: bool | None = Field(None, description="None: the plan's")
    deep_supervision: bool | None = Field(None, description="None: the network's recipe")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where it is native, fp16 on older cards, else fp32"
    )
    tf32: bool = Field(
        True, description="on CUDA, round factors to 10 bits of mantissa in what is left of fp32"
    )
    accelerator: str = "auto"
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    averaging: float = Field(
        0.0, ge=0, lt=1,
        description="decay of the moving average of weights that is deployed; 0: none",
    )  # fmt: skip
    deterministic: Literal["auto"] | bool = Field(
        "auto",
        description="auto: on on a CPU, where a resumed run is equal to the bit. Off on CUDA, "
        "where the fastest algorithms are taken: a resumed run then draws the same numbers and "
        "sees the same patches, and is equal but for rounding, as two runs are",
    )
    compile: Literal["graphs"] | bool = Field(
        False,
        description="compile encoders, decoders and heads with torch.compile: pays on long runs; "
        "graphs: and replay them as CUDA graphs, where issuing a step takes longer than the step",
    )
    channels_last: bool | None = Field(
        None, description="store weights with channels last. None: on a CPU, where it is faster"
    )
    logger: Literal["tensorboard", "mlflow", "wandb", "none"] = Field(
        "tensorboard",
        description="where scalars go beside log.csv; mlflow and wandb: packages",
    )
    image_label_weight: float = Field(
        1.0,
        ge=0,
        validation_alias=AliasChoices("image_label_weight", "bag_weight"),  # its older name
        description="of the term for positive image labels, where a view shows the image",
    )
    regularisers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    optimiser: OptimiserConfig = OptimiserConfig()
    optimisers: dict[str, OptimiserConfig] = Field(
        default_factory=dict, description="of a method's further optimisers, by name"
    )
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()

    @field_validator("time", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return value if value is None else seconds_of(value)

    @property
    def interval(self) -> int:
        """Steps between two validations (and checkpoints)."""
        return self.validation.interval or max(1, self.steps // 20)


def shortcut_cases(config: TrainConfig) -> int:
    """Return on how many validation cases it is measured, at most, what shortcuts change."""
    asked = config.validation.shortcuts
    if asked is not None:
        return asked
    return 8 if config.time is None or config.validation.mirror == "auto" else 0


def make_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Check settings, and fill in the defaults of those that are not given.

    Args:
        settings: Nested as `hinterland train --set a.b=c` names them.

    Returns:
        The configuration, frozen.

    Raises:
        HinterlandError: The message names each setting whose value is not allowed.

    Examples:
        >>> config = make_config({"steps": 1000, "network": "resenc-m"})
        >>> config.steps, config.network, config.interval
        (1000, 'resenc-m', 50)
    """
    try:
        return TrainConfig.model_validate(dict(settings))
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}: {_reason(e['type'], e['loc'], e['msg'])} "
            f"(got {e['input']!r})"
            for e in error.errors()
        ]
        raise HinterlandError("settings that cannot be meant:\n  " + "\n  ".join(lines)) from None


def _reason(kind: str, place: tuple[int | str, ...], message: str) -> str:
    """Return Pydantic's reason; for an unknown name, the names that there are."""
    if kind != "extra_forbidden":
        return message
    model: Any = TrainConfig
    for name in place[:-1]:
        model = getattr(model.model_fields.get(name), "annotation", None)
        if not hasattr(model, "model_fields"):
            return "there is no such setting"
    return f"there is no such setting; expected one of {', '.join(sorted(model.model_fields))}"


def apply_overrides(settings: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Apply `a.b=value` texts to settings; values are read as YAML (`1e-3`, `true`, `[2, 3]`).

    Raises:
        HinterlandError: A text has no `=`, or a section's name stands for a value.

    Examples:
        >>> apply_overrides({"steps": 10}, ["optimiser.optimiser=adam", "patch_size=[32, 32]"])
        {'steps': 10, 'optimiser': {'optimiser': 'adam'}, 'patch_size': [32, 32]}
        >>> apply_overrides({}, ["data.foreground_on=on"])
        {'data': {'foreground_on': 'on'}}
    """
    result: dict[str, Any] = {
        k: dict(v) if isinstance(v, Mapping) else v for k, v in settings.items()
    }
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise HinterlandError(f"--set {text!r}: expected name=value, as in optimiser.lr=0.001")
        *sections, last = key.strip().split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise HinterlandError(f"--set {text!r}: {section!r} is a value, not a section.")
        place[last] = _value(value)
    return result


_WORDS = ("on", "off", "yes", "no")
"""Booleans of old YAML that are words here (`data.foreground_on=on`); a switch takes them, too."""


def _value(text: str) -> Any:
    if text.strip().lower() in _WORDS:
        return text.strip()
    try:
        return float(text) if "e" in text.lower() else parse_yaml(text)
    except ValueError:
        return parse_yaml(text)
