"""One training step of everything on the GPU, against the same step on the CPU."""

from __future__ import annotations

import time
import traceback
from typing import Any

import torch

from benchmarks.gpu.jobs import Job, all_jobs, engines

AGREE = 2e-3
"""Largest relative difference of a loss, GPU against CPU in float32, that counts as equal."""


def run_matrix(tiny: bool, end: float) -> dict[str, Any]:
    """Step through all jobs until `end`; a method that draws random numbers on the device cannot
    agree with the CPU, and is only asked for finite losses."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(False)
    rows: list[dict[str, Any]] = []
    for job in list(all_jobs())[:: 12 if tiny else 1]:
        if time.monotonic() > end:
            rows.append({"job": job.name, "status": "not run (time)"})
            continue
        try:
            rows += _rows(job, device)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            rows.append({
                "job": job.name, "status": "failed",
                "error": f"{type(error).__name__}: {str(error)[:300]} at {place.filename}:"
                f"{place.lineno}",
            })  # fmt: skip
            print(f"failed: {job.name}: {rows[-1]['error']}", flush=True)
    failed = [r for r in rows if r["status"] == "failed"]
    print(f"matrix: {len(rows)} rows, {len(failed)} failed", flush=True)
    return {"rows": rows, "failed": len(failed), "device": device}


def _rows(job: Job, device: str) -> list[dict[str, Any]]:
    rows = []
    for precision in ("fp32", "bf16") if device == "cuda" else ("fp32",):
        for here, there in zip(engines(job, "cpu"), engines(job, device), strict=True):
            expected = _loss(here, "cpu", "fp32") if precision == "fp32" else None
            found, seconds = _timed(there, device, precision)
            known = "" if expected is None else abs(found - expected) / max(abs(expected), 1e-6)
            finite = found == found and abs(found) != float("inf")
            status = "failed" if not finite else "ok"
            rows.append({
                "job": job.name, "phase": there[0], "precision": precision, "status": status,
                "loss": found, "relative": known, "seconds": seconds,
                **({} if finite else {"error": f"loss {found}"}),
            })  # fmt: skip
    return rows


def _step(item: tuple[str, Any, Any], device: str, precision: str) -> None:
    _, engine, batch = item
    with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
        engine.training_step(batch, 0)


def _loss(item: tuple[str, Any, Any], device: str, precision: str) -> float:
    """The loss of one step."""
    written: list[dict[str, float]] = []
    item[1]._write = lambda _, values: written.append(values)
    _step(item, device, precision)
    return written[-1]["train/loss"]


def _timed(item: tuple[str, Any, Any], device: str, precision: str) -> tuple[float, float]:
    """The loss of a first step, and the seconds of a second."""
    loss = _loss(item, device, precision)
    started = time.perf_counter()
    _step(item, device, precision)
    if device == "cuda":
        torch.cuda.synchronize()
    return loss, round(time.perf_counter() - started, 4)
