"""Dice against seconds and steps: nnU-Net's own trainer, and each recipe of ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import KEPT, ROOT, Cell, ResampledCell
from benchmarks.harness.tables import Table
from hinterland.export.nnunet import export_nnunet
from hinterland.networks import create
from hinterland.training.runs.new_run import with_patch
from hinterland.types import Dataset

TITLE = "The race: how soon a recipe is there"
TEXT = """
Five data sets; per data set one split, one plan and one network of ours for all recipes, and
nnU-Net's own trainer, as it comes, in an environment of its own (`HINTERLAND_NNUNET_PYTHON`), with
its own plan. Every budget is a run of its own, whose schedule ends with it. `nnU-Net TIME` has that
time for its steps on the same cores; its curve is its own pseudo-Dice on validation patches, its
figure in the table the Dice of the final checkpoint on the test cases, measured by us as for the
others. Its own plan is made for a GPU, so that on a CPU it may not leave the first transient;
`nnU-Net, our plan` is the same trainer with the patches, batch, spacing and widths of our runs.
Test cases are read once, by the checkpoint that validation cases chose. Ours computes in the
precision that the processor is best at (`auto`), nnU-Net's trainer in float32 on a CPU, as it does.
Seconds compare within a data set on one processor alone; the sessions of development had several.
"""


@dataclass(frozen=True)
class Track:
    """A data set of the race, at the size that a CPU can do and at the one of a GPU."""

    dataset: str
    labels: str
    dims: int
    cpu: Mapping[str, Any]
    step: float = 1.0


TRACKS = {
    "ACDC 2D": Track(
        "Dataset027_ACDC", "acdc.yaml", 2,
        {"patch_size": [112, 112], "batch_size": 8, "network_options": {"features": [16, 256]}},
        step=2.0,
    ),
    "Hippocampus 3D": Track(
        "Dataset004_Hippocampus", "hippocampus.yaml", 3,
        {"batch_size": 2, "network_options": {"features": [16, 128]}},
    ),
    "COVID-19 CT": Track(
        "Dataset115_COVID19CT", "covid19ct.yaml", 2,
        {"patch_size": [128, 128], "batch_size": 8, "network_options": {"features": [16, 128]}},
        step=2.0,
    ),
    "MyoPS": Track(
        "Dataset116_MyoPS", "myops.yaml", 2,
        {"patch_size": [128, 128], "batch_size": 8, "network_options": {"features": [16, 128]}},
    ),
    "BUSI": Track(
        "BUSI", "busi.yaml", 2,
        {"patch_size": [128, 128], "batch_size": 8, "network_options": {"features": [16, 128]}},
        step=2.0,
    ),
}  # fmt: skip
FAST = "fast"
RECIPES: dict[str, Mapping[str, Any]] = {
    FAST: {"recipe": "fast"},
    "fast, growing": {"recipe": "fast", "data": {"growing": True}},
    "nnunet": {"recipe": "nnunet"},
}
DICE = ("Dice", "target", (), "dice")
PEER_ARM = "nnU-Net, our plan {:g} min"
REPLACED = ("batch_size", "patch_size", "spacing", "median_image_size_in_voxels", "architecture")
BUDGETS = {"smoke": (4,), "cpu": (250, 1000, 3000), "gpu": (1000, 4000), "paper": (1000, 250_000)}
PEER_SECONDS: dict[str, tuple[float, ...]] = {
    "smoke": (), "cpu": (1800.0,), "gpu": (60.0,), "paper": (36_000.0,),
}  # fmt: skip


@dataclass(frozen=True)
class PeerCell(ResampledCell):
    """nnU-Net's own trainer, for so many seconds or iterations.

    settings: as our runs have them, whose plan it follows then; without any, its own plan.
    """

    seconds: float | None = None
    iterations: int | None = None
    epochs: int = 20
    threads: int = field(default=1)

    def blocked(self) -> str:
        if os.environ.get("HINTERLAND_NNUNET_PYTHON"):
            return ""
        return "set HINTERLAND_NNUNET_PYTHON to a Python that has nnunetv2"

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.evaluation.folders import evaluate_folders
        from hinterland.training.runs.supervision import split_cases

        python = os.environ["HINTERLAND_NNUNET_PYTHON"]
        data = self.read()
        dataset, splits = split_cases(data, "fixed", self.seed)
        write_raw(folder / "raw" / "Dataset001_race", splits, dataset.labels)
        job = {
            "folder": str(folder), "name": "Dataset001_race",
            "configuration": "2d" if self.dims == 2 else "3d_fullres",
            "train": [c.name for c in splits["train"]], "val": [c.name for c in splits["val"]],
            "seconds": self.seconds, "iterations": self.iterations, "epochs": self.epochs,
            "threads": self.threads, "mirror": False, "out": str(folder / "theirs"),
            "images": str(folder / "raw" / "Dataset001_race" / "imagesTs"),
            "plan": self._configuration(dataset, folder / "plan") if self.settings else None,
        }  # fmt: skip
        (folder / "job.json").write_text(json.dumps(job))
        script = ROOT / "benchmarks" / "peers" / "race_nnunet.py"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run([python, str(script), str(folder / "job.json")], env=environment, check=True)
        found = json.loads((folder / "theirs.json").read_text())
        table = evaluate_folders(
            folder / "theirs", splits["test"], spec=dataset.labels, extra=True,
            at=dict(dataset.labels.questions), trust_reference=True,  # raw files have no directions
        )  # fmt: skip
        kept = table[[c for c in KEPT if c in table.columns]].round(5)
        return {
            "cases": {"last": json.loads(kept.to_json(orient="split", index=False))},
            "reported": "last",
            "curve": [[steps, dice] for steps, _, dice in found["curve"]],
            "seconds_training": found["seconds_training"],
            "peer": found,
            "summary": {"steps": found["iterations"]},
        }

    def _configuration(self, dataset: Dataset, folder: Path) -> dict[str, Any]:
        """Describe our plan in nnU-Net's words: what replaces its own."""
        plan = replace(self.plan(dataset), unit="mm", batch_size=self.settings["batch_size"])
        if patch := self.settings.get("patch_size"):
            plan = with_patch(plan, tuple(patch))
        labels = {name: i for i, name in enumerate(dataset.labels.tree.leaf_names)}
        labels = {("background" if i == 0 else name): i for name, i in labels.items()}
        network = create("unet", plan, len(labels), True, **self.settings["network_options"])
        export_nnunet(network.state_dict(), "unet", plan, labels, folder, overwrite=True)
        plans = json.loads((folder / "plans.json").read_text())
        (found,) = plans["configurations"].values()
        return {name: found[name] for name in REPLACED}


def write_raw(out: Path, splits: Mapping[str, Sequence[Any]], spec: Any) -> None:
    """The cases as a raw data set of nnU-Net's, with their own integers as labels.

    Raises
    ------
    SystemExit: the integers are not 0 to K for single leaves, as nnU-Net wants them.
    """
    import SimpleITK as sitk

    from hinterland.data.io.volume import read_volume

    if (out / "dataset.json").is_file():
        return
    leaves = spec.tree.leaf_names
    values = dict(spec.default_scheme.values)
    if sorted(values) != list(range(len(values))) or any(len(s) != 1 for s in values.values()):
        raise SystemExit(f"labels {sorted(values)}: nnU-Net wants 0, 1, 2, ..., each for one leaf")
    count = 0
    for part, cases in splits.items():
        side = "Ts" if part == "test" else "Tr"
        for kind in ("images", "labels"):
            (out / f"{kind}{side}").mkdir(parents=True, exist_ok=True)
        for case in cases:
            volumes = [read_volume(image) for image in case.images]
            channels = [channel for volume in volumes for channel in volume.array]
            count = len(channels)
            for i, channel in enumerate(channels):
                _write(sitk, channel.astype(np.float32), volumes[0],
                       out / f"images{side}" / f"{case.name}_{i:04d}.nii.gz")  # fmt: skip
            label = read_volume(case.label)
            _write(sitk, label.array[0].astype(np.uint8), label,
                   out / f"labels{side}" / f"{case.name}.nii.gz")  # fmt: skip
    names = {leaves[next(iter(s))]: v for v, s in values.items() if v}
    description = {
        "channel_names": {str(i): f"channel{i}" for i in range(count)},
        "labels": {"background": 0, **names},
        "numTraining": len(splits["train"]) + len(splits["val"]),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    (out / "dataset.json").write_text(json.dumps(description))


def _write(sitk: Any, array: np.ndarray, like: Any, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(tuple(float(s) if s else 1.0 for s in reversed(like.spacing)))
    sitk.WriteImage(image, str(path))


def cells(size: str, seeds: int) -> list[Cell]:
    """One seed of everything before the next, small budgets first."""
    found: list[Cell] = []
    for seed in range(seeds):
        for name, track in TRACKS.items():
            for steps in BUDGETS[size]:
                found += [our_cell(size, name, track, recipe, steps, seed) for recipe in RECIPES]
            found += [
                PeerCell(
                    f"nnU-Net{word} {seconds / 60:g} min", seed, name, dataset=track.dataset,
                    labels=track.labels, dims=track.dims, seconds=seconds,  # type: ignore[arg-type]
                    settings=settings, step=track.step if settings else 1.0,
                )
                for seconds in PEER_SECONDS[size]
                for word, settings in (("", {}), (", our plan", track.cpu))
            ]  # fmt: skip
    return found


def our_cell(
    size: str, name: str, track: Track, recipe: str, steps: int, seed: int
) -> ResampledCell:
    on_cpu = size != "paper"  # a GPU runs the same cells longer
    settings = {
        "steps": steps,
        **RECIPES[recipe],
        "validation": {"interval": max(1, steps // 5), "mirror": False},
        **(track.cpu if on_cpu else {}),
    }
    if size == "smoke":
        settings["network_options"] = {"features": [4, 8]}
        settings["batch_size"] = 2
    return ResampledCell(
        f"{recipe} {steps:,}", seed, name, dataset=track.dataset, labels=track.labels,
        dims=track.dims, memory=2.0 if on_cpu else 8.0,  # type: ignore[arg-type]
        step=track.step if on_cpu else 1.0, method="supervised", on=("leaves",), settings=settings,
    )  # fmt: skip


def tables(size: str) -> list[Table]:
    """One table for each data set."""
    columns = [DICE, ("NSD", "target", (), "nsd")]
    baseline = PEER_ARM.format(PEER_SECONDS[size][0] / 60) if PEER_SECONDS[size] else ""
    return [Table(f"{name}, target classes", name, columns, baseline) for name in TRACKS]


def machine(result: Mapping[str, Any]) -> str:
    """The minute of a run's end and what its processor can do, as far as it was noted."""
    known = result.get("hardware", {})
    noted = [known[key] for key in ("gpu", "instructions", "auto_precision") if known.get(key)]
    return ", ".join([str(result.get("finished", ""))[:16], *noted])


def seconds_of_curve(result: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(seconds of training, validation Dice); steps of one run take the same time each."""
    if "peer" in result:
        return [(seconds, dice) for _, seconds, dice in result["peer"]["curve"]]
    last = result["curve"][-1][0] if result["curve"] else 1
    return [(result["seconds_training"] * step / last, dice) for step, dice in result["curve"]]


def time_to(curve: Sequence[Sequence[float]], share: float) -> float | None:
    """Steps until the curve (steps, Dice) first reaches a share of its highest value."""
    best = max((dice for _, dice in curve), default=0.0)
    return next((steps for steps, dice in curve if dice >= share * best > 0), None)


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Curves, seconds and steps to shares of the best Dice, of every run that is there."""
    from hinterland.evaluation.statistics.take_off import take_off

    del size
    lines = [
        "| data set | arm | seed | finished, on | seconds | steps | validation Dice after steps "
        "| 90 / 95 / 98 % of its best after steps | took off after |",
        "|" + " --- |" * 9,
    ]
    for cell in all_cells:
        if (found := results.get(cell.name)) is None:
            continue
        curve = [(int(s), float(d)) for s, d in found["curve"]]
        shares = " / ".join(str(time_to(curve, share) or "-") for share in (0.9, 0.95, 0.98))
        lines.append(
            f"| {cell.group} | {cell.arm} | {cell.seed} | {machine(found)} | "
            f"{found['seconds_training']:.0f} | "
            f"{curve[-1][0] if curve else '-'} | "
            + ", ".join(f"{s}: {d:.3f}" for s, d in curve[:: max(1, len(curve) // 8)])
            + f" | {shares} | {take_off(curve) or 'never'} |"
        )
    return "\n".join(lines)
