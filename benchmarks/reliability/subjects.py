"""The commands that are troubled, each on tiny phantoms, and how each is gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.moments import Check, refused, succeeded
from benchmarks.reliability.process import Command, Ended

_TINY = {
    "network_options.features": "[4, 8]", "batch_size": "2", "patch_size": "[16, 16]",
    "validation.mirror": "false", "validation.interval": "2", "precision": "fp32",
    "accelerator": "cpu",
}  # fmt: skip
TINY = [word for key, value in _TINY.items() for word in ("--set", f"{key}={value}")]


@dataclass(frozen=True)
class Bench:
    """Where a subject works.

    Attributes:
        base: Inputs, never changed: `data`, `runs/a`, `runs/b`, `predictions`, `masks`.
        place: Everything that the command writes, emptied before each moment: `out` and `cache`.
    """

    base: Path
    place: Path
    logs: Path

    @property
    def out(self) -> Path:
        """What the command is asked to make."""
        return self.place / "out"

    def start(
        self, arguments: list[str], before: Callable[[], None] | None = None, **environment: str
    ) -> Command:
        """Start `hinterland ARGUMENTS` with its cache in the place."""
        known = {"HINTERLAND_CACHE": str(self.place / "cache"), **environment}
        return Command(arguments, self.logs, known, before)

    def run(self, arguments: list[str], **environment: str) -> Ended:
        """Run `hinterland ARGUMENTS` to its end."""
        return self.start(arguments, **environment).end()

    def empty(self) -> None:
        """Empty the place; it stays, as it may be a file system of its own."""
        self.place.mkdir(parents=True, exist_ok=True)
        for path in self.place.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@dataclass(frozen=True)
class Subject:
    """A command under trouble.

    Attributes:
        arguments: What is typed, for a bench.
        resumable: Whether `hinterland resume OUT` goes on with it once OUT holds a run.
        grows: Globs of files that are rewritten or grow while the command works; all others appear
            whole and for good.
        broken: The names of inputs that cannot be read: the command does the rest, names them and
            ends with exit code 1.
    """

    name: str
    arguments: Callable[[Bench], list[str]]
    resumable: bool = False
    grows: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def ended_well(self, ended: Ended) -> Check:
        """Check that the command did what its inputs allow, and said so."""
        return refused(ended, self.broken) if self.broken else succeeded(ended)

    def go_on(self, bench: Bench) -> list[str]:
        """What is typed after a stop: the same again, or `resume` where a run was begun."""
        if self.resumable and (bench.out / "config.yaml").is_file():
            return ["resume", str(bench.out)]
        return self.arguments(bench)


def _train(bench: Bench) -> list[str]:
    return ["train", str(bench.base / "data"), "--method", "backsplit", "--fold", "fixed",
            "--dims", "2", "--steps", "6", "--out", str(bench.out), *TINY]  # fmt: skip


def _predict(bench: Bench) -> list[str]:
    return ["predict", str(bench.base / "runs" / "b"), str(bench.base / "data" / "imagesTs"),
            str(bench.out), "--probabilities", "--uncertainty"]  # fmt: skip


def _predict_folder(bench: Bench) -> list[str]:
    return ["predict", str(bench.base / "runs" / "b"), str(bench.base / "scans" / "imagesTs"),
            str(bench.out)]  # fmt: skip


def _evaluate(bench: Bench) -> list[str]:
    data = bench.base / "data"
    return ["evaluate", str(bench.base / "predictions"), str(data / "labelsTs"), "--labels",
            str(data / "labels.yaml"), "--lesions", "--out", str(bench.out / "t.csv")]  # fmt: skip


def _compare(bench: Bench) -> list[str]:
    runs = [str(bench.base / "runs" / name) for name in ("a", "b")]
    return ["compare", *runs, "--at", "target", "--no-images", "--out", str(bench.out)]


def _export(bench: Bench) -> list[str]:
    return ["export", str(bench.base / "runs" / "b"), str(bench.out), "--to", "monai"]


def _supports(bench: Bench) -> list[str]:
    return ["supports", "masks", str(bench.base / "data"), str(bench.base / "masks"), "--out",
            str(bench.out)]  # fmt: skip


def _study(bench: Bench) -> list[str]:
    return ["study", "supports", str(bench.base / "data"), "one-by-one", "--supports", "host",
            "--fold", "fixed", "--dims", "2", "--steps", "3", "--out", str(bench.out),
            *TINY]  # fmt: skip


TRUNCATED = "phantom_006"
_RUN = ("*/checkpoints/*.ckpt", "*/log.csv", "*/summary.json", "*/plan.json")
SUBJECTS = {
    s.name: s
    for s in (
        Subject("train", _train, resumable=True, grows=_RUN),
        Subject("predict", _predict),
        Subject("evaluate", _evaluate),
        Subject("compare", _compare),
        Subject("export", _export),
        Subject("supports", _supports),
        Subject("study", _study, grows=_RUN),
        Subject("predict 12, one truncated", _predict_folder, broken=(TRUNCATED,)),
    )
}


def prepare(folder: Path) -> Bench:
    """Make the inputs of all subjects below `folder`, once.

    Raises:
        RuntimeError: A command failed without any trouble.
    """
    bench = Bench(folder / "base", folder / "place", folder / "logs")
    bench.empty()
    if (bench.base / "whole").is_file():
        return bench
    shutil.rmtree(bench.base, ignore_errors=True)
    data = make_data(bench.base)
    made = Bench(bench.base, bench.base / "made", bench.logs)
    for name, method in (("a", "supervised"), ("b", "backsplit")):
        _must(made.run(["train", data, "--method", method, "--fold", "fixed", "--dims", "2",
                        "--steps", "4", "--out", str(bench.base / "runs" / name),
                        *TINY]))  # fmt: skip
    predictions = str(bench.base / "predictions")
    _must(made.run(["predict", str(bench.base / "runs" / "b"), f"{data}/imagesTs", predictions]))
    made.empty()
    (bench.base / "whole").touch()
    return bench


def make_data(base: Path) -> str:
    """Write a phantom data set `data`, and masks of a structure for `supports masks`."""
    from hinterland.phantoms.dataset import make_phantoms

    data = make_phantoms(base / "data", (4, 2, 3), size=24)
    masks = base / "masks"
    masks.mkdir()
    for label in sorted((data / "labelsTr").iterdir()):
        shutil.copy(label, masks / label.name)
    scans = make_phantoms(base / "scans", (1, 1, 12), size=24)
    (scan,) = (scans / "imagesTs").glob(f"{TRUNCATED}_*")
    scan.write_bytes(scan.read_bytes()[:-400])
    labels = {"background": 0, "bone": 1, "muscle": 2}
    (masks / "dataset.json").write_text(json.dumps({"labels": labels}))
    return str(data)


def _must(ended: Ended) -> None:
    if ended.code:
        raise RuntimeError(f"failed without any trouble: {ended.last_words}")
