"""Weights of our U-Nets under the names of nnU-Net's networks.

nnU-Net registers most layers twice (in a list and by name, the encoder again inside the decoder),
gives each convolution a bias that the normalisation after it cancels, and has a head at every
decoder level. So here keys are doubled, biases are zero, and missing heads are zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hinterland.types import HinterlandError

if TYPE_CHECKING:
    from torch import Tensor

_PLAIN_STAGE = re.compile(r"encoder\.stages\.(\d+)\.(\d+)\.(?:conv|adn)\.")
_BLOCK = re.compile(r"encoder\.stages\.(\d+)\.(\d+)\.conv1\.")
_DECODER_STAGE = re.compile(r"decoder\.stages\.(\d+)\.(\d+)\.conv\.")


@dataclass(frozen=True)
class Shape:
    """What the weights of a U-Net say about it; levels from the highest resolution down.

    `depths` counts convolutions (plain) or residual blocks per encoder level, `decoder_depths`
    convolutions per decoder level.
    """

    residual: bool
    norm: str
    features: tuple[int, ...]
    depths: tuple[int, ...]
    decoder_depths: tuple[int, ...]
    out_channels: int


def shape_of(weights: Mapping[str, Tensor]) -> Shape:
    """Read the shape of a `hinterland.networks.UNet` off its state.

    Raises:
        HinterlandError: these are not the weights of one with transposed convolutions, whose head
            gives logits.
    """
    residual = any(_BLOCK.match(k) for k in weights)
    depths = _counts(weights, _BLOCK if residual else _PLAIN_STAGE)
    decoder_depths = _counts(weights, _DECODER_STAGE)
    if len(depths) < 2 or not all(
        f"decoder.upsample.{i}.conv.weight" in weights for i in range(len(depths) - 1)
    ):
        raise HinterlandError(
            "these weights are not those of a U-Net of ours with transposed convolutions, which is "
            "all that nnU-Net can load. Use --to onnx."
        )
    if "head.layers.0.weight" not in weights:
        raise HinterlandError(
            "the head of this network is more than a convolution (complement classes, or branches "
            "for subclasses), and nnU-Net has no place for that. Use --to onnx."
        )
    last = "conv1.adn.N.weight" if residual else "adn.N.weight"
    batch = any(k.endswith("running_mean") for k in weights)
    return Shape(
        residual=residual,
        norm="batch" if batch else "instance",
        features=tuple(len(weights[f"encoder.stages.{s}.0.{last}"]) for s in range(len(depths))),
        depths=depths,
        decoder_depths=decoder_depths,
        out_channels=len(weights["head.layers.0.weight"]),
    )


def _counts(weights: Mapping[str, Tensor], pattern: re.Pattern[str]) -> tuple[int, ...]:
    """Count the members of each numbered stage."""
    found = {(int(m[1]), int(m[2])) for k in weights if (m := pattern.match(k))}
    stages = sorted({stage for stage, _ in found})
    return tuple(sum(s == stage for s, _ in found) for stage in stages)


def nnunet_weights(
    weights: Mapping[str, Tensor], channels: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """Return the weights of the PlainConvUNet or ResidualEncoderUNet that computes the same.

    `channels[k]` is our output channel that becomes nnU-Net's channel k (default: as they are).
    """
    shape = shape_of(weights)
    order = list(channels) if channels is not None else list(range(shape.out_channels))
    top = len(shape.features) - 2  # nnU-Net counts decoder levels from the lowest resolution up
    renamed: dict[str, Tensor] = {}
    for key, value in weights.items():
        place, _, field = key.rpartition(".")
        room, number, rest = _split(place)
        if room == "encoder":
            for prefix in ("encoder", "decoder.encoder"):
                _layer(renamed, f"{prefix}.{_encoder_place(number, rest, shape)}", field, value)
        elif room == "decoder.stages":
            _layer(renamed, f"decoder.stages.{top - number}.convs.{rest}", field, value)
        elif room == "decoder.upsample":
            renamed[f"decoder.transpconvs.{top - number}.{field}"] = value
        else:
            renamed[f"decoder.seg_layers.{top - number}.{field}"] = value[order].clone()
    head = renamed[f"decoder.seg_layers.{top}.weight"]
    for level, width in enumerate(shape.features[:-1]):
        place = f"decoder.seg_layers.{top - level}"
        missing = head.new_zeros(len(head), width, *head.shape[2:])
        renamed.setdefault(f"{place}.weight", missing)
        renamed.setdefault(f"{place}.bias", head.new_zeros(len(head)))
    return renamed


def _split(place: str) -> tuple[str, int, str]:
    """Split a place: "decoder.stages.2.0.conv" is room stages, level 2, and "0.conv"."""
    for room in ("decoder.stages", "decoder.upsample", "head.layers"):
        if place.startswith(room + "."):
            number, _, rest = place[len(room) + 1 :].partition(".")
            return room, int(number), rest
    stem, _, rest = place.removeprefix("encoder.").partition(".")
    if stem == "stem":
        return "encoder", -1, rest
    number, _, rest = rest.partition(".")
    return "encoder", int(number), rest


def _encoder_place(stage: int, rest: str, shape: Shape) -> str:
    if stage < 0:
        return f"stem.convs.{rest}"
    if not shape.residual:
        return f"stages.{stage}.0.convs.{rest}"
    return f"stages.{stage}.blocks.{rest}".replace(".shortcut.", ".skip.")


def _layer(out: dict[str, Tensor], place: str, field: str, value: Tensor) -> None:
    """Name a parameter of a convolution or its norm in both ways; a bias for the former."""
    if place.endswith(".conv"):
        base, names = place.removesuffix(".conv"), ("conv", "all_modules.0")
    else:
        base, names = place.removesuffix(".adn.N"), ("norm", "all_modules.1")
    for name in names:
        out[f"{base}.{name}.{field}"] = value
    if field == "weight" and names[0] == "conv" and ".skip." not in place:
        bias = value.new_zeros(len(value))
        out[f"{base}.conv.bias"] = out[f"{base}.all_modules.0.bias"] = bias
