"""A MONAI bundle: network and preprocessing in a folder that MONAI runs without Hinterland.

MONAI's transforms are not ours to the letter: it resamples about the centre of the first voxel,
not of the volume, and never separates a thick axis. Predictions agree closely, not exactly.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hinterland.data.io.volume import file_ending as known_ending
from hinterland.export.folder import fresh_output
from hinterland.export.model import ExportedModel
from hinterland.export.monai_axes import MonaiAxes, monai_network
from hinterland.types import HinterlandError, Plan

if TYPE_CHECKING:
    from torch import nn

    from hinterland.training.runs.run import Run, Which

_RASTER = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")


def export(
    run: Run, out: Path, *, checkpoint: Which | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Export a run as a MONAI bundle; see `export_monai`.

    Args:
        run: a finished run.
        out: the folder to write.
        checkpoint: "best" or "last"; None is the one that the run reports.
        overwrite: replace what is there.

    Returns:
        Class -> integer in the bundle's predictions.
    """
    model = ExportedModel.of(run, checkpoint)
    export_monai(
        model.network,
        model.plan,
        model.labels,
        out,
        file_ending=model.file_ending,
        overwrite=overwrite,
    )
    return model.labels


def export_monai(
    network: nn.Module,
    plan: Plan,
    labels: Mapping[str, int],
    out: Path,
    *,
    file_ending: str = ".nii.gz",
    overwrite: bool = False,
) -> None:
    """Write a bundle: configs/inference.json, configs/metadata.json, models/model.ts (TorchScript).

    Predict with
    `python -m monai.bundle run --bundle_root OUT --config_file OUT/configs/inference.json
    --images "['a.nii.gz']" --output_dir RESULTS` (a case of several channel files is a list).

    Args:
        network: (B, C, *patch) -> logits.
        plan: the plan it was trained with.
        labels: its channels in order -> the integer each is written as, 0 the background.
        out: the folder to make.
        file_ending: of the images that MONAI will be given.
        overwrite: replace `out` if it is there.

    Raises:
        HinterlandError: TorchScript cannot hold the network, MONAI's transforms cannot express the
            normalisation, the labels do not fit, or `out` exists.
    """
    axes = MonaiAxes.of(plan, flat_files=known_ending(file_ending) in _RASTER)
    if len(set(labels.values())) != len(labels) or 0 not in labels.values():
        raise HinterlandError(
            f"labels {dict(labels)}: expected different integers, 0 for the background"
        )
    names = sorted(labels, key=labels.__getitem__)
    order = [list(labels).index(name) for name in names]
    with fresh_output(out, overwrite) as folder:
        for part in ("configs", "models"):
            (folder / part).mkdir(parents=True)
        _save_network(network, axes, order, plan, folder / "models" / "model.ts")
        values = [labels[name] for name in names]
        config = _inference(plan, axes, values, ".png" if axes.flat_files else file_ending)
        for name, content in (("inference", config), ("metadata", _metadata(plan, names))):
            text = json.dumps(content, indent=4)
            (folder / "configs" / f"{name}.json").write_text(text, encoding="utf-8")


def _save_network(
    network: nn.Module, axes: MonaiAxes, order: Sequence[int], plan: Plan, path: Path
) -> None:
    import torch

    wrapped = monai_network(network, axes, order)

    def patches(batch: int) -> torch.Tensor:
        shape = (batch, len(plan.channels), *axes.roi)
        return torch.randn(shape, generator=torch.Generator().manual_seed(batch))

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = torch.jit.trace(wrapped, patches(1), check_trace=False)
            # Given a path on a full disk, torch ends the process.
            torch.jit.save(traced, content := io.BytesIO())
            loaded = torch.jit.load(io.BytesIO(content.getvalue()))
            worst = max(
                (loaded(x) - wrapped(x)).abs().max().item() for x in (patches(1), patches(3))
            )
        except Exception as error:
            raise HinterlandError(
                f"TorchScript cannot hold this network ({str(error).splitlines()[-1:]}). "
                "Use --to onnx."
            ) from error
    path.write_bytes(content.getvalue())
    if worst > 1e-3:
        raise HinterlandError(
            f"the TorchScript network differs from the original by {worst:.1e}. Use --to onnx."
        )


def _inference(plan: Plan, axes: MonaiAxes, values: list[int], ending: str) -> dict[str, Any]:
    window = {"roi_size": list(axes.roi), "sw_batch_size": 1, "overlap": 0.5, "mode": "gaussian"}
    inferer = {"_target_": "SlidingWindowInferer", **window}
    if axes.slices is not None:
        inferer = {"_target_": "SliceInferer", "spatial_dim": axes.slices, **window}
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/predictions'",
        "images": [],
        "network": "$torch.jit.load(@bundle_root + '/models/model.ts').eval()",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan, axes)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @images]",
            "transform": "@preprocessing",
        },
        "inferer": inferer,
        "infer": "$torch.no_grad()(lambda d, f=@inferer, n=@network: "
        "{**d, 'pred': f(d['image'][None], n)[0]})",
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(values, ending)},
        "run": ["$list(map(@postprocessing, map(@infer, @dataset)))"],
    }


def _preprocessing(plan: Plan, axes: MonaiAxes) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {
            "_target_": "CropForegroundd",
            "keys": "image",
            "source_key": "image",
            "select_fn": "$lambda x: x != 0",
            "allow_smaller": True,
        },
        *_normalisation(plan),
    ]
    pixdim = axes.pixdim(plan)
    if pixdim is not None:
        steps.append(
            {
                "_target_": "Spacingd",
                "keys": "image",
                "pixdim": pixdim,
                "mode": 3,
                "padding_mode": "nearest",
            }
        )
    return steps


def _normalisation(plan: Plan) -> list[dict[str, Any]]:
    """Clip, then take (x - subtrahend) / divisor by channel, None standing for the image's own."""
    schemes = plan.normalisation
    if len({n.masked for n in schemes}) > 1 or any(
        n.scheme == "rescale" and n.upper <= n.lower for n in schemes
    ):
        raise HinterlandError(
            "MONAI's transforms cannot normalise channels this way (masked and unmasked together, "
            "or by the image's own range). Use --to onnx."
        )
    subtrahend: list[float | None] = []
    divisor: list[float | None] = []
    for n in schemes:
        sub, div = {
            "zscore": (None, None),
            "ct": (n.mean, max(n.std, 1e-8)),
            "rescale": (n.lower, n.upper - n.lower),
            "none": (0.0, 1.0),
        }[n.scheme]
        subtrahend.append(sub)
        divisor.append(div)
    steps: list[dict[str, Any]] = []
    if any(n.scheme == "ct" for n in schemes):
        bounds = [
            [side if n.scheme == "ct" else fallback for n, side in zip(schemes, sides, strict=True)]
            for sides, fallback in (
                ([n.lower for n in schemes], -3.4e38),
                ([n.upper for n in schemes], 3.4e38),
            )
        ]
        shape = "(-1,) + (1,) * (x.ndim - 1)"
        low, high = (f"torch.tensor({b}).reshape({shape})" for b in bounds)
        clip = f"$lambda x: torch.maximum(torch.minimum(x.float(), {high}), {low})"
        steps.append({"_target_": "Lambdad", "keys": "image", "func": clip})
    steps.append(
        {
            "_target_": "NormalizeIntensityd",
            "keys": "image",
            "channel_wise": True,
            "nonzero": schemes[0].masked,
            "subtrahend": subtrahend,
            "divisor": divisor,
        }
    )
    return steps


def _postprocessing(values: list[int], ending: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    ]
    if values != list(range(len(values))):
        steps.append(
            {
                "_target_": "MapLabelValued",
                "keys": "pred",
                "orig_labels": list(range(len(values))),
                "target_labels": values,
            }
        )
    steps.append(
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_ext": ending,
            "output_dtype": "$torch.uint8" if max(values) < 2**8 else "$torch.int32",
            "resample": False,
            "separate_folder": False,
        }
    )
    return steps


def _metadata(plan: Plan, names: list[str]) -> dict[str, Any]:
    """Describe a bundle as MONAI does; channels of the output are in the order of `names`."""
    packages = {f"{p}_version": version(p) for p in ("monai", "numpy")}
    return {
        "version": "1.0.0",
        **packages,
        "pytorch_version": version("torch"),
        "required_packages_version": {"nibabel": version("nibabel")},
        "task": "segmentation",
        "description": f"Segmentation of {', '.join(names)}, exported by Hinterland",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "num_channels": len(plan.channels),
                    "spatial_shape": list(plan.patch_size),
                    "dtype": "float32",
                    "is_patch_data": True,
                    "channel_def": {str(i): n for i, n in enumerate(plan.channels)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": len(names),
                    "spatial_shape": list(plan.patch_size),
                    "dtype": "float32",
                    "is_patch_data": True,
                    "channel_def": {str(i): n for i, n in enumerate(names)},
                }
            },
        },
        "hinterland_plan": json.loads(plan.to_json()),
    }
