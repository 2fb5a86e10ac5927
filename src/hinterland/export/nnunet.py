"""A model folder that a plain nnU-Net installation loads and predicts with from raw images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hinterland.export.folder import fresh_output
from hinterland.export.model import ExportedModel
from hinterland.export.nnunet_weights import Shape, nnunet_weights, shape_of
from hinterland.types import HinterlandError, Normalisation, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from hinterland.training.runs.run import Run, Which

_NETWORKS = {"unet": "PlainConvUNet", "resenc-m": "ResidualEncoderUNet"}
_NETWORKS["resenc-l"] = _NETWORKS["resenc-m"]
_READERS = {
    ".nii.gz": "SimpleITKIO", ".nrrd": "SimpleITKIO", ".mha": "SimpleITKIO", ".nii": "NibabelIO",
    ".png": "NaturalImage2DIO", ".bmp": "NaturalImage2DIO",
}  # fmt: skip
_ELSE = "Use --to onnx: that file holds the network alone."


def export(
    run: Run, out: Path, *, checkpoint: Which | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Export a run for a plain nnU-Net; see `export_nnunet`.

    Args:
        run: a finished run.
        out: the folder to write.
        checkpoint: "best" or "last"; None is the one that the run reports.
        overwrite: replace what is there.

    Returns:
        Class -> integer in nnU-Net's predictions.
    """
    model = ExportedModel.of(run, checkpoint)
    return export_nnunet(
        model.network.state_dict(),
        model.architecture,
        model.plan,
        model.labels,
        out,
        mirror=model.mirror,
        file_ending=model.file_ending,
        dataset=model.dataset,
        overwrite=overwrite,
    )


def export_nnunet(
    weights: Mapping[str, Tensor],
    network: str,
    plan: Plan,
    labels: Mapping[str, int],
    out: Path,
    *,
    mirror: Sequence[int] = (),
    file_ending: str = ".nii.gz",
    dataset: str = "Dataset001_Hinterland",
    overwrite: bool = False,
) -> dict[str, int]:
    """Write `out` as nnU-Net writes a trained model: plans.json, dataset.json, fold_0.

    Predict with `nnUNetv2_predict_from_modelfolder -i IMAGES -o OUT -m MODEL -f 0`.

    Args:
        weights: state of a network that `create(network, plan, ...)` made.
        network: its name.
        plan: the plan it was trained with.
        labels: the network's output channels by name, in their order, and the integer each is
            written
            as; the background is 0. nnU-Net writes the number of its channel, so gaps are closed
            and
            channels are put into the order of their integers.
        out: the folder to make.
        mirror: axes of the patch (0 first) that prediction may flip.
        file_ending: of the images nnU-Net will be given.
        dataset: nnU-Net's name of the data set.
        overwrite: replace `out` if it is there.

    Returns:
        Channel name -> the number that nnU-Net writes for it.

    Raises:
        HinterlandError: nnU-Net cannot express this network or preprocessing, the labels do not fit
            the weights, or `out` exists.
    """
    if network not in _NETWORKS:
        raise HinterlandError(f"nnU-Net has no network like {network}. {_ELSE}")
    shape = shape_of(weights)
    numbers, channels = _number(labels, shape.out_channels)
    reader = _reader(file_ending, plan)
    plans = {
        "dataset_name": dataset,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [s or 1.0 for s in plan.spacing],
        "original_median_shape_after_transp": list(plan.median_shape),
        "image_reader_writer": reader,
        "transpose_forward": list(plan.transpose),
        "transpose_backward": np.argsort(plan.transpose).tolist(),
        "configurations": {configuration(plan): _configuration(network, plan, shape)},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(i): _intensities(n) for i, n in enumerate(plan.normalisation)
        },
    }
    names = {("background" if number == 0 else name): number for name, number in numbers.items()}
    description = {
        "channel_names": {str(i): name for i, name in enumerate(plan.channels)},
        "labels": dict(sorted(names.items(), key=lambda item: item[1])),
        "numTraining": 0,
        "file_ending": file_ending,
        "overwrite_image_reader_writer": reader,
        "hinterland": {"labels": numbers},
    }
    with fresh_output(out, overwrite) as folder:
        (folder / "fold_0").mkdir(parents=True)
        _write_json(folder / "plans.json", plans)
        _write_json(folder / "dataset.json", description)
        _write_checkpoint(folder / "fold_0", nnunet_weights(weights, channels), plan, mirror)
    return numbers


def configuration(plan: Plan) -> str:
    """Return nnU-Net's name for a plan of these dimensions."""
    return "2d" if plan.dims == 2 else "3d_fullres"


def _number(labels: Mapping[str, int], out_channels: int) -> tuple[dict[str, int], list[int]]:
    """Give the channels consecutive numbers.

    Returns:
        Name -> number, and for each number the index of our channel.
    """
    values = list(labels.values())
    if len(values) != out_channels or len(set(values)) != len(values) or 0 not in values:
        raise HinterlandError(
            f"labels {dict(labels)}: expected one integer for each of the network's {out_channels} "
            "channels, all different, 0 for the background"
        )
    if min(values) < 0:
        raise HinterlandError(
            f"labels {dict(labels)}: nnU-Net has no negative integers. Write them as others."
        )
    for name, value in labels.items():
        if name == "ignore" or (name == "background" and value != 0):
            raise HinterlandError(
                f"label {name!r} = {value}: nnU-Net reserves this name. Rename the node. {_ELSE}"
            )
    order = sorted(range(len(values)), key=values.__getitem__)
    names = list(labels)
    return {names[channel]: number for number, channel in enumerate(order)}, order


def _reader(file_ending: str, plan: Plan) -> str:
    if file_ending in (".tif", ".tiff"):
        flat = plan.median_shape[0] == 1 and file_ending == ".tif"
        return "NaturalImage2DIO" if flat else "Tiff3DIO"
    if file_ending not in _READERS:
        raise HinterlandError(
            f"nnU-Net reads no {file_ending} files; it reads {', '.join(_READERS)}, .tif. {_ELSE}"
        )
    return _READERS[file_ending]


def _configuration(network: str, plan: Plan, shape: Shape) -> dict[str, Any]:
    return {
        "data_identifier": f"nnUNetPlans_{configuration(plan)}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": plan.batch_size,
        "patch_size": list(plan.patch_size),
        "median_image_size_in_voxels": list(plan.median_shape[-plan.dims :]),
        "spacing": list(plan.spacing[-plan.dims :]),
        "normalization_schemes": [_scheme(n) for n in plan.normalisation],
        "use_mask_for_norm": [n.masked for n in plan.normalisation],
        **_resampling(plan),
        "batch_dice": plan.batch_dice,
        "architecture": _architecture(network, plan, shape),
    }


def _scheme(normalisation: Normalisation) -> str:
    if normalisation.scheme == "rescale":
        bounds = (normalisation.lower, normalisation.upper)
        if bounds == (0, 255):
            return "RGBTo01Normalization"
        if bounds[1] > bounds[0]:
            raise HinterlandError(f"nnU-Net cannot rescale from the fixed range {bounds}. {_ELSE}")
        return "RescaleTo01Normalization"
    return {"zscore": "ZScoreNormalization", "ct": "CTNormalization", "none": "NoNormalization"}[
        normalisation.scheme
    ]


def _intensities(normalisation: Normalisation) -> dict[str, float]:
    """Write what CTNormalization reads; the other schemes measure the image itself."""
    return {
        "mean": normalisation.mean,
        "std": normalisation.std,
        "percentile_00_5": normalisation.lower,
        "percentile_99_5": normalisation.upper,
    }


def _resampling(plan: Plan) -> dict[str, Any]:
    """Resample images cubically, logits linearly, thick axes by nearest slice; not in voxels."""
    if plan.unit == "voxel":
        if any(s not in (None, 1.0) for s in plan.spacing):
            raise HinterlandError(
                f"a plan in voxels with the target spacing {plan.spacing} resamples by a factor, "
                f"which nnU-Net cannot. {_ELSE}"
            )
        kinds = ("data", "seg", "probabilities")
        return {f"resampling_fn_{k}": "no_resampling_hack" for k in kinds} | {
            f"resampling_fn_{k}_kwargs": {} for k in kinds
        }
    result: dict[str, Any] = {}
    for kind, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        result[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        result[f"resampling_fn_{kind}_kwargs"] = {
            "is_seg": kind == "seg", "order": order, "order_z": 0, "force_separate_z": None,
        }  # fmt: skip
    return result


def _architecture(network: str, plan: Plan, shape: Shape) -> dict[str, Any]:
    norm = "instancenorm.InstanceNorm" if shape.norm == "instance" else "batchnorm.BatchNorm"
    depths = "n_blocks_per_stage" if shape.residual else "n_conv_per_stage"
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet."
        + _NETWORKS[network],
        "arch_kwargs": {
            "n_stages": len(shape.features),
            "features_per_stage": list(shape.features),
            "conv_op": f"torch.nn.modules.conv.Conv{plan.dims}d",
            "kernel_sizes": [list(k) for k in plan.network.kernels],
            "strides": [list(s) for s in plan.network.strides],
            depths: list(shape.depths),
            "n_conv_per_stage_decoder": list(reversed(shape.decoder_depths)),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.{norm}{plan.dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_checkpoint(
    fold: Path, weights: Mapping[str, Tensor], plan: Plan, mirror: Sequence[int]
) -> None:
    import torch

    checkpoint = {
        "network_weights": {k: v.detach().cpu() for k, v in weights.items()},
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": configuration(plan), "fold": 0},
        "inference_allowed_mirroring_axes": tuple(mirror) or None,
    }
    with (fold / "checkpoint_final.pth").open("wb") as file:
        torch.save(checkpoint, file)
