"""The folder that support labels are written to: a data set of its own, whole or not there.

While cases are worked on it is called OUT.partial, and the same command goes on where it stopped.
The data set it is made from is never touched: its images and splits are linked (or copied).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hinterland.data.derived.provenance import SHEETS, provenance_of
from hinterland.data.io.files import remove, write_text
from hinterland.data.io.volume import file_ending, label_ending
from hinterland.types import Case, Dataset, HinterlandError

_RECORD = "asked.json"


@dataclass(frozen=True)
class Output:
    """OUT, and the folder beside it that is being filled."""

    out: Path
    dataset: Dataset

    @property
    def work(self) -> Path:
        """Where files are until all are there."""
        return self.out.with_name(self.out.name + ".partial")

    def claim(self, asked: Mapping[str, Any], overwrite: bool) -> bool:
        """Make room, or find the unfinished work of the same command.

        Returns:
            Whether nothing is left to do but `tidy`.

        Raises:
            HinterlandError: OUT is there and may not be replaced, or is no folder of this kind, or
                lies in the data set; or unfinished work with other settings is there.
        """
        out, root = self.out.resolve(), self.dataset.root.resolve()
        if out == root or out in root.parents or root in out.parents:
            raise HinterlandError(
                f"--out {self.out} and the data set {self.dataset.root} lie inside of each other; "
                "the data set is never changed. Choose another --out."
            )
        content = json.dumps(asked, indent=1, sort_keys=True)
        if _holds(self.out / SHEETS / _RECORD, content):
            return True
        if self.out.exists() or self.out.is_symlink():
            ours = provenance_of(self.out) is not None
            if not overwrite or not ours:
                why = (
                    "exists already"
                    if ours
                    else "is there already and was not made by this command"
                )
                hint = "Give --overwrite, or choose" if ours else "Choose"
                raise HinterlandError(f"{self.out} {why}. {hint} another --out.")
        record = self.work / SHEETS / _RECORD
        if self.work.exists() and any(p.is_file() for p in self.work.rglob("[!.]*")):
            if _holds(record, content):
                return False
            if not record.is_file() or not overwrite:
                raise HinterlandError(_other_work(self.work, record, asked))
            remove(self.work)
        try:
            write_text(record, content)
        except HinterlandError as error:
            raise HinterlandError(
                f"--out {self.out}: the folder cannot be made; choose another. {error}"
            ) from None
        return False

    def label_of(self, case: Case) -> Path:
        """Tell where the label file of a case goes, relative to the data set's folder."""
        root = self.dataset.root
        if case.label is not None:
            return case.label.relative_to(root)
        image = case.images[0].relative_to(root)
        folder = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}.get(image.parts[0], "masks")
        if folder == "masks" and (root / "labels").is_dir() and not (root / "masks").is_dir():
            folder = "labels"
        return Path(folder) / f"{case.name}{label_ending(file_ending(image))}"

    def fact_of(self, case: Case) -> Path:
        """Return the record of a finished case; written after its label."""
        return self.work / SHEETS / "cases" / f"{case.name}.json"

    def give_up(self) -> None:
        """Remove the unfinished folder after an error, if no case is finished in it."""
        if not any((self.work / SHEETS / "cases").glob("*.json")):
            shutil.rmtree(self.work, ignore_errors=True)

    def finish(self, done: Sequence[Case], copy: bool) -> None:
        """Link what was not made, and give the folder its name.

        Args:
            done: the cases whose label files were written.
            copy: copy instead of linking.
        """
        written = {case.name for case in done}
        files = [path for case in self.dataset.cases for path in case.images]
        files += [
            case.label
            for case in self.dataset.cases
            if case.label is not None and case.name not in written
        ]
        files += [
            path
            for name in ("splits.json", "splits_final.json")
            if (path := self.dataset.root / name).is_file()
        ]
        for path in files:
            _place(path, self.work / path.relative_to(self.dataset.root), copy)
        if self.out.exists():
            remove(self._old)
            self.out.rename(self._old)
        self.work.rename(self.out)
        self.tidy()

    def tidy(self) -> None:
        """Remove what is needed while cases are worked on only; the record last."""
        remove(self._old)
        remove(self.out / SHEETS / "cases")
        remove(self.out / SHEETS / _RECORD)

    @property
    def _old(self) -> Path:
        """Where OUT is while another takes its place."""
        return self.out.with_name(f".{self.out.name}.old")


def _holds(file: Path, content: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == content


def _place(source: Path, target: Path, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        target.unlink()
    if not copy and source.suffix != ".json":
        try:
            target.symlink_to(source.resolve())
            return
        except OSError:
            pass  # a file system without links: a copy is as good
    shutil.copyfile(source, target)


def _other_work(work: Path, record: Path, asked: Mapping[str, Any]) -> str:
    if not record.is_file():
        return (
            f"{work} is in the way and holds nothing of this command. Remove it, or choose another "
            "--out."
        )
    known = json.loads(record.read_text(encoding="utf-8"))
    differs = sorted(k for k in {**known, **asked} if known.get(k) != asked.get(k))
    return (
        f"{work} holds unfinished work that was asked for differently ({', '.join(differs)}). Give "
        "the same command again to go on with it, --overwrite to start anew, or another --out."
    )
