"""A run's network in int8: calibrated on training cases, judged on validation cases."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hinterland.data.io.files import atomic_path, write_text
from hinterland.data.preprocessing.cache import Prepared, prepare
from hinterland.inference.backends.registry import BACKENDS, Settings, silence_telemetry
from hinterland.inference.volumes import Predictor
from hinterland.training.runs.compiled import (
    INT8,
    MANY,
    NOTE,
    checkpoint_stamp,
    compiled_predictor,
    converted,
)
from hinterland.training.validation.validate import mean_score, validate
from hinterland.types import Case, HinterlandError, Plan

if TYPE_CHECKING:
    from hinterland.training.runs.run import Run, Which

TILES = 128
"""Tiles of training cases from which the ranges of activations are taken."""
TIMED = 5


@dataclass(frozen=True)
class Quantised:
    """What int8 cost: Dice of each class on validation cases, and seconds of a tile.

    `full` and `int8` map a class to its mean Dice; `seconds` has full precision's first.
    """

    full: dict[str, float]
    int8: dict[str, float]
    cases: int
    seconds: tuple[float, float]

    @property
    def losses(self) -> dict[str, float]:
        """What each class loses."""
        return {name: dice - self.int8[name] for name, dice in self.full.items()}

    def rows(self) -> list[str]:
        """Describe each class in a line."""
        return [
            f"{name}: Dice {dice:.4f} in full precision, {self.int8[name]:.4f} in int8, "
            f"lost {self.losses[name]:+.4f}"
            for name, dice in self.full.items()
        ]


def quantise(
    run: Run,
    which: Which | None = None,
    *,
    tolerance: float = 0.01,
    tiles: int = TILES,
    overwrite: bool = False,
    stage: Callable[[str], None] = lambda _: None,
) -> Quantised:
    """Write RUN/int8, which `predict --backend openvino-int8` computes with.

    Post-training quantisation (NNCF): weights and activations of convolutions in 8 bits, ranges
    from seeded tiles of training cases; biases corrected. Full precision and int8 then predict the
    validation cases, without mirroring.

    Args:
        run: a run with validation cases, whose data set is where it was.
        which: the checkpoint; None is the one that the run reports.
        tolerance: the most that any class may lose in mean Dice.
        tiles: that are calibrated on.
        overwrite: replace what is there.
        stage: is told what begins.

    Returns:
        What it cost.

    Raises:
        HinterlandError: a package is missing, there are no validation cases, RUN/int8 exists, or a
            class loses more than the tolerance; nothing is written then.
    """
    missing = [m for m in ("nncf", "onnx", "onnxscript", "openvino") if find_spec(m) is None]
    if missing:
        raise HinterlandError(f"int8 needs {', '.join(missing)}: pip install 'hinterland[fast]'")
    out, plan = run.path / INT8, run.record.plan
    if out.exists() and not overwrite:
        raise HinterlandError(f"{out} exists already. Give --overwrite to replace it.")
    if len(run.method.cells) > MANY:
        raise HinterlandError(
            f"int8 is for up to {MANY} classes, and this run has {len(run.method.cells)}. Use "
            "predict --backend openvino."
        )
    training = run.record.cases(run.dataset, "train")
    judged = [case for case in run.record.cases(run.dataset, "val") if case.labelled]
    if not judged:
        raise HinterlandError(
            f"{run.path} has no labelled validation cases, on which the loss of int8 would be "
            "measured. Train with --fold fixed or a split that has some."
        )
    stage("converting")
    options = replace(run.window_options(accelerator="cpu", mirror=False), precision="fp32")
    full = compiled_predictor(run, "openvino", options, which=which)
    source = converted(run, which, "openvino", features=False) / BACKENDS["openvino"].file
    stage("preparing cases")
    prepared = prepare(run.dataset, plan, workers=0, cases=[*training, *judged])
    stage(f"calibrating on {tiles} tiles of {min(tiles, len(training))} training cases")
    inputs = calibration_tiles(training, prepared, plan, tiles)
    with atomic_path(out) as temporary:
        temporary.mkdir()
        write_int8(source, inputs, temporary / BACKENDS["openvino-int8"].file)
        compiled = BACKENDS["openvino-int8"].compile(
            temporary / BACKENDS["openvino-int8"].file, Settings(plan, full.options.batch)
        )
        small = replace(full, model=compiled)
        stage(f"measuring on {len(judged)} validation cases")
        found = Quantised(
            _dice(run, full, judged, prepared), _dice(run, small, judged, prepared),
            len(judged), (_seconds(full, inputs), _seconds(small, inputs)),
        )  # fmt: skip
        worst = max(found.losses.values(), default=0.0)
        if not worst <= tolerance:
            raise HinterlandError(
                f"in int8 a class loses {worst:.4f} of Dice on {len(judged)} validation cases, "
                f"more than the tolerance {tolerance}:\n" + "\n".join(found.rows())
                + "\nUse predict --backend openvino, or allow more with --tolerance."
            )  # fmt: skip
        note = {
            "weights": checkpoint_stamp(run, which), "tolerance": tolerance, "tiles": tiles,
            "dice": {"full": found.full, "int8": found.int8}, "validation_cases": found.cases,
            "seconds_a_tile": {"full": found.seconds[0], "int8": found.seconds[1]},
            "versions": {name: version(name) for name in ("nncf", "openvino")},
        }  # fmt: skip
        write_text(temporary / NOTE, json.dumps(note, indent=2))
        if out.exists():
            shutil.rmtree(out)
    return found


def calibration_tiles(
    cases: Sequence[Case], prepared: Prepared, plan: Plan, count: int, seed: int = 0
) -> list[np.ndarray]:
    """Cut tiles at random places of cases in turn, padded with zeros as in prediction.

    Args:
        cases: training cases.
        prepared: their preprocessed images.
        plan: the tile's size.
        count: of tiles.
        seed: of the places.

    Returns:
        Arrays (1, C, *patch), float32.
    """
    rng, found = np.random.default_rng(seed), []
    size = (1,) * (3 - plan.dims) + tuple(plan.patch_size)
    for i in range(count):
        image = prepared[cases[i % len(cases)].name].image
        starts = [rng.integers(0, max(n - t, 0) + 1) for n, t in
                  zip(image.shape[1:], size, strict=True)]  # fmt: skip
        box = tuple(slice(a, a + t) for a, t in zip(starts, size, strict=True))
        part = np.asarray(image[(slice(None), *box)], np.float32)
        lack = [t - n for t, n in zip(size, part.shape[1:], strict=True)]
        tile = np.pad(part, [(0, 0), *((n // 2, n - n // 2) for n in lack)])
        found.append(tile.reshape(1, len(tile), *plan.patch_size))
    return found


def write_int8(source: Path, inputs: Sequence[np.ndarray], out: Path) -> None:
    """Quantise OpenVINO's file of a network, calibrated on tiles.

    Args:
        source: the network in float32.
        inputs: tiles (1, C, *patch), float32.
        out: the file to write.
    """
    import openvino

    silence_telemetry()
    with redirect_stdout(sys.stderr):  # NNCF reports and draws bars there
        import nncf

        nncf.set_log_level(logging.ERROR)
        model = openvino.Core().read_model(source)
        model.reshape(list(inputs[0].shape))
        small = nncf.quantize(model, nncf.Dataset(list(inputs)), subset_size=len(inputs))
    openvino.save_model(small, out, compress_to_fp16=False)


def _dice(
    run: Run, predictor: Predictor, cases: Sequence[Case], prepared: Prepared
) -> dict[str, float]:
    """Return the mean Dice of each class of what was trained, on the preprocessed grid."""
    spec = run.record.spec
    scores, _ = validate(predictor, cases, prepared, spec, spec.label_sets, predictor.cells)
    return mean_score(scores)[1]


def _seconds(predictor: Predictor, inputs: Sequence[np.ndarray]) -> float:
    """Return the least seconds of a batch of tiles, per tile."""
    batch: Any = np.concatenate([inputs[0]] * predictor.options.batch)
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        predictor.model(torch.from_numpy(batch))
        times.append((time.perf_counter() - started) / len(batch))
    return min(times)
