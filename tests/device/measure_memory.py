"""Measure the peak memory of a training step at any size: on meta tensors, nothing is computed.

    python measure_memory.py [--classes 118] [--patch 128 128 128] [--batch 2]
        [--method supervised] [--discrepancy]

It prints one line of JSON: GB of the weights, at the peak of a step, and moved in it, and the line
of the package that the peak is at. Caches of convolutions' algorithms and of PyTorch's allocator
come on top.
"""

from __future__ import annotations

import argparse
import json
import sys
import weakref
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

import torch
from factories import batch_of, plan_of, spec_of
from pretended_device import DEVICE, TYPE, Elsewhere, Pretence
from torch import Tensor
from torch.utils._pytree import tree_leaves

from hinterland.methods import BuildContext, make_method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.types import Progress

GB = 1e9


class Meter(Pretence):
    """A pretence without numbers that counts the bytes of tensors on the device.

    Attributes:
        now, peak: bytes.
        at: line of the package at the peak.
        moved: bytes read and written.
    """

    def __init__(self) -> None:
        super().__init__(behind="meta")
        self.now = self.peak = self.moved = 0
        self.at = ""
        self._known: set[int] = set()

    def start(self) -> None:
        """Measure from here on."""
        self.peak, self.moved = self.now, 0

    def ran(self, func: Any, there: list[Elsewhere], found: Any) -> None:
        results = [t for t in tree_leaves(found) if isinstance(t, Tensor)]
        new = [
            t.untyped_storage() for t in results if t.untyped_storage()._cdata not in self._known
        ]
        for storage in {s._cdata: s for s in new}.values():
            self._known.add(storage._cdata)
            self.now += storage.nbytes()
            weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        if self.now > self.peak:
            self.peak, self.at = self.now, self.line()
        if new or func._schema.is_mutable:
            self.moved += sum(t.numel() * t.element_size() for t in (*there, *results))

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def measure(
    classes: int, patch: tuple[int, ...], batch: int, method: str, discrepancy: bool, network: str
) -> dict[str, Any]:
    """Take one step in bf16, with nnU-Net's widths, and say what it needed."""
    dims, levels = len(patch), 6 if len(patch) == 3 else 7
    names = ["background", *(f"class{i}" for i in range(1, classes))]
    spec = spec_of({name: {} for name in names}, names[1:])
    most = 320 if dims == 3 else 512
    features = tuple(min(32 * 2**i, most) for i in range(levels))
    plan = plan_of(patch, features, batch_size=batch, batch_dice=True)
    context = BuildContext(plan, spec, spec.label_sets, network)
    chosen = make_method(method, spec)
    phase = chosen.phases()[0]
    asked = {"discrepancy": {"warm_start": 0.0}} if discrepancy else {}
    regularisers = build_regularisers(asked, context, chosen)
    with Meter() as meter:
        networks = chosen.build(context).to(DEVICE).train()
        regularisers.to(DEVICE)
        weights = meter.now
        streams = [q.name for q in phase.quotas]
        count = max(1, batch // len(streams))
        items = count * len(streams)
        image = torch.empty(items, 1, *patch, device=DEVICE)
        annotation = torch.empty(items, *patch, dtype=torch.long, device=DEVICE)
        seen = batch_of(
            image, annotation, nodes=len(names),
            streams=tuple(name for name in streams for _ in range(count)),
        )  # fmt: skip
        meter.start()
        with torch.autocast(TYPE, dtype=torch.bfloat16):
            progress = Progress(phase.name, 5, 10)
            losses = chosen.losses(networks, seen, progress)
            total = losses.total
            for regulariser in regularisers.values():
                total = total + regulariser(losses.views, progress).total
        del losses
        total.backward()
    return {
        "classes": classes, "patch": patch, "batch": items, "method": method,
        "discrepancy": discrepancy, "weights_gb": round(weights / GB, 2),
        "peak_gb": round(meter.peak / GB, 2), "moved_gb": round(meter.moved / GB, 1),
        "at": meter.at,
    }  # fmt: skip


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--classes", type=int, default=3)
    ask.add_argument("--patch", type=int, nargs="+", default=[128, 128, 128])
    ask.add_argument("--batch", type=int, default=2)
    ask.add_argument("--method", default="supervised")
    ask.add_argument("--network", default="unet")
    ask.add_argument("--discrepancy", action="store_true")
    asked = ask.parse_args()
    found = measure(
        asked.classes, tuple(asked.patch), asked.batch, asked.method, asked.discrepancy,
        asked.network,
    )  # fmt: skip
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
