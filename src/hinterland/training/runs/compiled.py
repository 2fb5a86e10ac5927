"""Prediction by a backend: a run's networks converted once, kept in the cache, compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hinterland.data.dataset.files import read_object
from hinterland.data.io.files import atomic_path
from hinterland.data.preprocessing.cache import cache_root
from hinterland.inference.backends.graph import Answer, example, write_onnx
from hinterland.inference.backends.registry import Settings, backend_named, refuse_unfit
from hinterland.inference.volumes import Predictor, WindowOptions
from hinterland.networks.base import SplitNetwork
from hinterland.networks.in_parts import head_in_parts
from hinterland.training.device import window_batch
from hinterland.types import HinterlandError

if TYPE_CHECKING:
    from hinterland.training.runs.run import Run, Which

TOLERANCE = 1e-4
"""By how much a probability may differ from torch's."""
MANY = 32
"""Classes above which the feature maps are smaller than the probabilities."""
INT8, NOTE = "int8", "quantised.json"
_VERSION = 1  # of what is kept; raise it when graphs change


def compiled_predictor(
    run: Run, name: str, options: WindowOptions, *, which: Which | None = None,
    precision: str | None = None,
) -> Predictor:  # fmt: skip
    """Make a predictor of volumes whose network a backend computes.

    Its graph is converted when it is first asked for, and compared with torch then. With many
    classes it ends before the head, which torch computes a part at a time (`head_in_parts`).

    Args:
        run: whose weights.
        name: of the backend.
        options: how volumes are predicted.
        which: the checkpoint; None is the one that the run reports.
        precision: that was asked for; None is the backend's choice.

    Returns:
        The predictor.

    Raises:
        HinterlandError: there is no such backend or a package of it is missing, it does not compute
            on this device, the method cannot be expressed, or the answers differ.
    """
    refuse_unfit(name, options.device, precision)
    backend, plan, cells = backend_named(name), run.record.plan, run.method.cells
    chosen = options.precision if options.precision in backend.precisions else "fp32"
    batch = window_batch(run.record.train, plan.patch_size, options.device, compiled=True)
    settings = Settings(plan, batch, chosen)
    # the precision is the runtime's matter, not autocast's
    options = replace(options, precision="fp32", batch=batch)
    head = _head_apart(run, which) if len(cells) > MANY else None
    folder = (
        _quantised(run, which) if backend.from_run
        else converted(run, which, name, features=head is not None)
    )  # fmt: skip
    compiled = backend.compile(folder / backend.file, settings)
    if head is None:
        return Predictor(compiled, plan, cells, options)

    def summed(x: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        return head_in_parts(head, compiled(x), len(cells), then)

    return Predictor(lambda x: summed(x, lambda p: p), plan, cells, options, summed)


def checkpoint_stamp(run: Run, which: Which | None) -> str:
    """Return what tells a run's weights and method from all others', wherever the run is copied."""
    weights = run.path / "checkpoints" / f"{which or run.reported}.ckpt"
    if not weights.is_file():
        run.networks(which)  # says what is missing
    digest = hashlib.blake2b(digest_size=16)
    for path in (weights, run.path / "config.yaml"):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _head_apart(run: Run, which: Which | None) -> nn.Module | None:
    """Return the head that can be computed after all else, a part at a time; None without one."""
    if not run.method.is_softmax:
        return None
    network = run.method.deployed(run.networks(which))
    if isinstance(network, SplitNetwork) and network.pointwise_head:
        return network.head
    return None


def _finest(network: SplitNetwork, image: Tensor) -> Tensor:
    return network.decode(network.encode(image))[0]


def converted(run: Run, which: Which | None, name: str, *, features: bool) -> Path:
    """Return the folder of the converted graph, made if it is not there.

    Args:
        run: whose weights.
        which: the checkpoint.
        name: of the backend.
        features: whether the graph ends at the finest feature maps.

    Returns:
        A folder with the backend's file.

    Raises:
        HinterlandError: the method cannot be expressed, or the answers differ.
    """
    backend = backend_named(name)
    asked: tuple[Any, ...] = (
        _VERSION, name, features, checkpoint_stamp(run, which), torch.__version__,
        sorted(backend.versions().items()),
    )  # fmt: skip
    key = hashlib.blake2b(repr(asked).encode(), digest_size=12).hexdigest()
    folder = cache_root() / "compiled" / key
    if (folder / backend.file).is_file():
        return folder
    networks, method, plan = run.networks(which), run.method, run.record.plan
    if features:
        answer = Answer(method.deployed(networks), _finest)
    else:
        answer = Answer(networks, method.probabilities)
    answer = answer.float().eval()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        onnx = temporary / "network.onnx"
        write_onnx(answer, plan, onnx, "leave --backend away.")
        backend.convert(onnx, temporary)
        compiled = backend.compile(temporary / backend.file, Settings(plan, 2))
        for batch in (1, 2):
            image = example(plan, batch)
            with torch.inference_mode():
                difference = float((compiled(image) - answer(image)).abs().max())
            if not features and difference > TOLERANCE:
                raise HinterlandError(
                    f"backend {name} differs from torch by {difference:.1e} in probability, more "
                    f"than {TOLERANCE:.0e}. Leave --backend away, and please report this."
                )
    return folder


def _quantised(run: Run, which: Which | None) -> Path:
    """Return the run's folder of int8 weights, if they are those of the checkpoint."""
    folder = run.path / INT8
    made = read_object(folder / NOTE) if (folder / NOTE).is_file() else {}
    if made.get("weights") != checkpoint_stamp(run, which):
        raise HinterlandError(
            f"{run.path} has no int8 network of its {which or run.reported} checkpoint. Make it: "
            f"hinterland quantise {run.path}"
        )
    return folder
