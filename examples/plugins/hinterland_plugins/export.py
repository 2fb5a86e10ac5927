"""Add an export: a TorchScript file, whose outputs are the logits of the classes in labels.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch

from hinterland.export.folder import fresh_output
from hinterland.export.model import ExportedModel
from hinterland.training.run import Run


def export(
    run: Run,
    out: Path,
    *,
    checkpoint: Literal["best", "last"] | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write `out`, a folder with model.pt and labels.json."""
    model = ExportedModel.of(run, checkpoint)
    patch = torch.zeros(1, len(model.plan.channels), *model.plan.patch_size)
    with fresh_output(out, overwrite) as folder:
        folder.mkdir()
        torch.jit.trace(model.network, patch).save(folder / "model.pt")
        (folder / "labels.json").write_text(json.dumps(model.labels))
    return model.labels
