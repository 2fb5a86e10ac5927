"""Breakages of run folders and of predictions."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.reliability.break_files import edit, text
from benchmarks.reliability.break_images import damage, header

Break = Callable[[Path], object]
Breaks = dict[tuple[str, tuple[str, ...]], dict[str, Break]]


class Shell:
    """Runs a command when it is unpickled: a run that does so ends with a strange exit code."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (42,)


def contents(name: str) -> dict[str, Break]:
    """What a file of a run may be found to hold."""
    return {
        f"{name}: {what}": change
        for what, change in {
            "missing": lambda root: (root / name).unlink(),
            "empty": text(name, ""),
            "cut off": lambda root: os.truncate(root / name, (root / name).stat().st_size // 2),
            "random bytes": text(name, bytes(range(256)) * 8),
            "a list": text(name, "[1, 2]"),
            "null": text(name, "null"),
            "a pickle that runs": text(name, pickle.dumps(Shell())),
            "a folder": lambda root: ((root / name).unlink(), (root / name).mkdir()),
            "a pipe": lambda root: ((root / name).unlink(), os.mkfifo(root / name)),
        }.items()
    }  # fmt: skip


def lines(old: str, new: str) -> Break:
    """Replace a part of config.yaml."""

    def apply(root: Path) -> None:
        file = root / "config.yaml"
        content = file.read_text()
        if old not in content:
            raise AssertionError(f"config.yaml has no {old!r}")
        file.write_text(content.replace(old, new, 1))

    return apply


def config() -> dict[str, Break]:
    """Single settings of a run."""
    return {
        "an unknown method": lines("method: supervised", "method: magic"),
        "a method that is a number": lines("method: supervised", "method: 5"),
        "an unknown key": lines("method:", "colour: red\nmethod:"),
        "a key missing": lines("method: supervised\n", ""),
        "no such network": lines("network: ", "network: magic-"),
        "a case that is not there": lines("- a1", "- zz"),
        "a case that is a path": lines("- a1", "- ../../../etc/passwd"),
        "an object that calls": lines("method: supervised", "method: !!python/name:os.system"),
        "another data set": lines("path: ", "path: /nowhere"),
    }


def checkpoints() -> dict[str, Break]:
    """Checkpoints that are not what they were."""

    def change(what: Callable[[dict], object]) -> Break:
        def apply(root: Path) -> None:
            for file in (root / "checkpoints").glob("*.ckpt"):
                content = torch.load(file, weights_only=True)
                torch.save(what(content), file)

        return apply

    def each(what: Callable[[Path], object]) -> Break:
        return lambda root: [what(f) for f in (root / "checkpoints").glob("*.ckpt")]

    def cast(content: dict, value: float) -> dict:
        found = content["networks"]
        return content | {
            "networks": {k: torch.full_like(v, value) if v.is_floating_point() else v
                         for k, v in found.items()}
        }  # fmt: skip

    return {
        "a pickle that runs": each(lambda f: f.write_bytes(pickle.dumps(Shell()))),
        "a pickle inside that runs": change(lambda c: {**c, "networks": Shell()}),
        "of another format": change(lambda c: {**c, "format": 99}),
        "no networks": change(lambda c: {k: v for k, v in c.items() if k != "networks"}),
        "networks empty": change(lambda c: {**c, "networks": {}}),
        "networks a number": change(lambda c: {**c, "networks": 5}),
        "a tensor only": change(lambda _: torch.zeros(3)),
        "weights NaN": change(lambda c: cast(c, float("nan"))),
        "weights 1e38": change(lambda c: cast(c, 1e38)),
        "cut off": each(lambda f: os.truncate(f, f.stat().st_size // 2)),
        "empty": each(lambda f: f.write_bytes(b"")),
        "missing": each(lambda f: f.unlink()),
        "a text": each(lambda f: f.write_text("no")),
        "no folder": lambda root: shutil.rmtree(root / "checkpoints"),
    }


def metrics() -> dict[str, Break]:
    """Tables and summaries that a comparison reads."""
    head = "case,class,coarsening,dice\n"
    return {
        **contents("metrics.csv"),
        **contents("summary.json"),
        "metrics: no rows": text("metrics.csv", head),
        "metrics: words": text("metrics.csv", head + "t1,lesion,target,much\n"),
        "metrics: infinite": text("metrics.csv", head + "t1,lesion,target,inf\n"),
        "metrics: a case twice": text("metrics.csv", head + "t1,lesion,target,1\n" * 2),
        "metrics: other columns": text("metrics.csv", "a,b\n1,2\n"),
        "log.csv cut": lambda root: os.truncate(root / "log.csv", 7),
        "log.csv bytes": text("log.csv", bytes(range(256))),
    }


def meanings() -> dict[str, Break]:
    """dataset.json beside predictions."""
    name = "dataset.json"
    return {
        **contents(name),
        "labels: missing": edit(name, labels=...),
        "labels: a list": edit(name, labels=[1]),
        "labels: text": edit(name, labels={"lesion": "two"}),
        "labels: an unknown class": edit(name, labels={"background": 0, "kidney": 1}),
        "labels: a stray integer missing": edit(name, labels={"background": 0}),
        "no prediction": lambda root: [p.unlink() for p in root.glob("*.nii.gz")],
        "another name": lambda root: (root / "t1.nii.gz").rename(root / "zz.nii.gz"),
        "one more": lambda root: shutil.copyfile(root / "t1.nii.gz", root / "zz.nii.gz"),
    }


BREAKS: Breaks = {
    ("run: config.yaml", ("use", "resume", "compare")): contents("config.yaml") | config(),
    ("run: plan.json", ("use",)): contents("plan.json"),
    ("run: labels.yaml", ("use", "compare")): contents("labels.yaml"),
    ("run: checkpoints", ("use", "export", "resume")): checkpoints(),
    ("run: tables", ("compare",)): metrics(),
    ("predictions", ("judge",)): damage("t1.nii.gz") | header("t1.nii.gz") | meanings(),
}
