"""Backends by name: what compiles a network's graph, and what it needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hinterland.inference.backends.graph import INPUT
from hinterland.types import HinterlandError, Plan

Compiled = Callable[[Tensor], Tensor]
TORCH = "torch"
"""The name of no backend: the network computes itself."""


@dataclass(frozen=True)
class Settings:
    """What a graph is compiled for: `batch` patches at a time, in "fp32" or "bf16"."""

    plan: Plan
    batch: int
    precision: str = "fp32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, C, *patch)."""
        return (self.batch, len(self.plan.channels), *self.plan.patch_size)


@dataclass(frozen=True)
class Backend:
    """A runtime.

    Attributes:
        packages: modules that converting or running needs.
        file: name of the file that is kept of a converted network.
        convert: (ONNX file, folder): writes what is kept; the ONNX file lies in the folder.
        compile: (file, settings) -> the network's answer to a batch of at most settings.batch.
        precisions: that it computes in.
        from_run: whether the file is made by `hinterland quantise` and lies in the run.
    """

    packages: tuple[str, ...]
    file: str
    convert: Callable[[Path, Path], None]
    compile: Callable[[Path, Settings], Compiled]
    precisions: tuple[str, ...] = ("fp32",)
    from_run: bool = False

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages."""
        return {name: version(name) for name in self.packages}


def _keep_onnx(onnx: Path, folder: Path) -> None:
    """Leave the file, which onnxruntime reads itself."""


def _run_onnx(file: Path, settings: Settings) -> Compiled:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # blocks that were used are not kept for ever: the largest activations of a network come once
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        (answer,) = session.run(None, {INPUT: _array(x)})
        return torch.from_numpy(answer)

    return run


def _write_ir(onnx: Path, folder: Path) -> None:
    import openvino

    model = openvino.Core().read_model(onnx)
    openvino.save_model(model, folder / IR, compress_to_fp16=False)
    onnx.unlink()


def _run_ir(file: Path, settings: Settings) -> Compiled:
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    # one shape is fastest; the last batch of an image may be smaller than the others
    model.reshape([settings.batch if settings.batch == 1 else -1, *settings.shape[1:]])
    compiled = core.compile_model(model, "CPU", openvino_options(settings.precision))
    request = compiled.create_infer_request()

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(request.infer([_array(x)], share_inputs=True)[0])

    return run


def openvino_options(precision: str) -> dict[str, Any]:
    """Return OpenVINO's settings: as many threads as torch has, and not half the numbers' digits.

    It would compute in bf16 by itself where the processor can.
    """
    return {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": {"bf16": "bf16"}.get(precision, "f32"),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().float().numpy())


IR = "network.xml"
BACKENDS: Mapping[str, Backend] = {
    "onnxruntime": Backend(("onnx", "onnxscript", "onnxruntime"), "network.onnx",
                           _keep_onnx, _run_onnx),
    "openvino": Backend(("onnx", "onnxscript", "openvino"), IR, _write_ir, _run_ir,
                        ("fp32", "bf16")),
    "openvino-int8": Backend(("openvino",), IR, _write_ir, _run_ir, from_run=True),
}  # fmt: skip


def backend_named(name: str) -> Backend:
    """Return a backend whose packages are here.

    Raises:
        HinterlandError: there is none of this name, or a package is not installed.
    """
    if name not in BACKENDS:
        raise HinterlandError(f"backend {name!r}: expected one of {', '.join((TORCH, *BACKENDS))}.")
    backend = BACKENDS[name]
    missing = [package for package in backend.packages if find_spec(package) is None]
    if missing:
        raise HinterlandError(
            f"backend {name} needs {', '.join(missing)}: pip install 'hinterland[fast]'"
        )
    return backend


def refuse_unfit(name: str, device: str, precision: str | None) -> None:
    """Refuse what a backend does not compute on, or in.

    Args:
        name: of the backend.
        device: "cpu", "cuda" or "mps".
        precision: that was asked for; None or "auto" is the backend's choice.

    Raises:
        HinterlandError: it is for CPUs, or does not have the precision.
    """
    backend = backend_named(name)
    if device != "cpu":
        raise HinterlandError(
            f"backend {name} computes on CPUs, not on {device}. Add --accelerator cpu, or leave "
            "--backend away: on a GPU torch is the fastest that there is here."
        )
    if precision not in (None, "auto", *backend.precisions):
        raise HinterlandError(
            f"backend {name} computes in {' or '.join(backend.precisions)}, not in {precision}. "
            "Leave --precision away."
        )


def silence_telemetry() -> None:
    """Tell NNCF not to report to its makers' servers what it does: data of patients are near."""
    os.environ.setdefault("NNCF_CI", "1")
