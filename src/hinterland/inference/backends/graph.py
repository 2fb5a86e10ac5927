"""A network's answer as an ONNX file, which every backend and `export --to onnx` begin with."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hinterland.types import HinterlandError, Plan

INPUT, OUTPUT = "image", "probabilities"


class Answer(nn.Module):
    """What is asked of networks: `function(networks, image)`, as a module of its own."""

    def __init__(self, networks: nn.Module, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.networks = networks
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        """Return the function's answer to (B, C, *patch)."""
        return self.function(self.networks, image)


def example(plan: Plan, batch: int) -> Tensor:
    """Return seeded noise of the shape of `batch` patches, (batch, C, *patch)."""
    shape = (batch, len(plan.channels), *plan.patch_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(batch))


def write_onnx(answer: nn.Module, plan: Plan, path: Path, otherwise: str) -> None:
    """Write what a module answers to batches of any size.

    Args:
        answer: (B, C, *patch) -> (B, K, *patch), in evaluation mode, float32, on the CPU.
        plan: channels and patch.
        path: the file to write.
        otherwise: what the user may do where the module cannot be expressed.

    Raises:
        HinterlandError: it cannot be expressed.
    """
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                answer,
                (example(plan, 2),),
                path,
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except OSError:
        raise  # of the disk, not of the network
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HinterlandError(
            f"this network cannot be exported to ONNX: {first} Use another form: {otherwise}"
        ) from error
    finally:
        noisy.setLevel(level)
