"""A side of `prediction_backends`: a process that loads what predicting needs.

python -m benchmarks.peers.prediction_by_backend RUN BACKEND OUT.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from benchmarks.peers.prediction_sides import peak_mib
from hinterland.training.runs.run import Run


def main(path: str, backend: str, target: str) -> None:
    """Predict the test cases with one backend, in a process of its own."""
    torch.set_num_threads(1)
    run, out = Run(Path(path)), Path(target)
    predictor = run.predictor(backend=backend, accelerator="cpu", mirror=False)
    cases = run.record.cases(run.dataset, "test")
    cpu = time.process_time()
    run.predict(cases, out.with_suffix(""), at=run.record.spec.target, predictor=predictor,
                overwrite=True)  # fmt: skip
    content = {"cpu_seconds": time.process_time() - cpu, "peak_mib": peak_mib()}
    out.write_text(json.dumps(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
