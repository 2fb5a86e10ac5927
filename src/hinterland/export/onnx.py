"""One file that any ONNX runtime can run: a patch to class probabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hinterland.export.folder import fresh_output
from hinterland.export.model import ExportedModel
from hinterland.inference.backends.graph import example, write_onnx
from hinterland.types import HinterlandError, Plan

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hinterland.training.runs.run import Run, Which

TOLERANCE = 1e-4


def export(
    run: Run, out: Path, *, checkpoint: Which | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Export a run as one ONNX file; see `export_onnx`.

    Args:
        run: a finished run.
        out: the file to write.
        checkpoint: "best" or "last"; None is the one that the run reports.
        overwrite: replace what is there.

    Returns:
        Class -> integer in the model's predictions.
    """
    model = ExportedModel.of(run, checkpoint)
    export_onnx(model.network, model.plan, model.labels, out, overwrite=overwrite)
    return model.labels


def export_onnx(
    network: nn.Module,
    plan: Plan,
    labels: Mapping[str, int],
    out: Path,
    *,
    overwrite: bool = False,
) -> float:
    """Write `network` with a softmax as `out`.

    The file maps `image` (any batch, C, *patch), float32, preprocessed as the plan says, to
    `probabilities` (batch, K, *patch). The plan and the labels are in its metadata, as JSON under
    "hinterland.plan" and "hinterland.labels".

    Args:
        network: (B, C, *patch) -> logits (B, K, *patch).
        plan: the plan it was trained with.
        labels: channel names in their order -> integer.
        out: the file to write.
        overwrite: replace `out` if it is there.

    Returns:
        The largest difference to torch that was found.

    Raises:
        HinterlandError: the extra is not installed, the network cannot be exported, onnxruntime
            disagrees with torch by more than 1e-4, or `out` exists.
    """
    missing = [m for m in ("onnx", "onnxscript", "onnxruntime") if find_spec(m) is None]
    if missing:
        raise HinterlandError(
            f"export to ONNX needs {', '.join(missing)}: pip install 'hinterland[onnx]'"
        )
    with fresh_output(out, overwrite) as temporary:
        write_onnx(_with_softmax(network), plan, temporary, "--to nnunet or --to monai.")
        _describe(temporary, {"plan": plan.to_json(), "labels": json.dumps(dict(labels))})
        difference = max(_difference(network, temporary, example(plan, n)) for n in (1, 3))
        if difference > TOLERANCE:
            raise HinterlandError(
                f"the exported network differs from the original by {difference:.1e} in "
                f"probability, more than {TOLERANCE:.0e}. Please report this; try --to monai."
            )
    return difference


def _with_softmax(network: nn.Module) -> nn.Module:
    """Return the network as it predicts, its own mode untouched."""
    from copy import deepcopy

    from torch import nn

    return nn.Sequential(deepcopy(network).float().cpu(), nn.Softmax(dim=1)).eval()


def _describe(path: Path, entries: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {f"hinterland.{k}": v for k, v in entries.items()})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _difference(network: nn.Module, path: Path, image: Tensor) -> float:
    """Return the largest difference in probability between onnxruntime and torch on one batch."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"image": image.numpy()})
    with torch.inference_mode():
        ours = _with_softmax(network)(image).numpy()
    return float(np.abs(theirs - ours).max())
