"""A run directory, and what a finished one can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from hinterland.data.dataset.files import read_object
from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.journal import Journal
from hinterland.inference.backends.registry import TORCH
from hinterland.inference.coarse_to_fine import Search
from hinterland.inference.folder import predict_files
from hinterland.inference.volumes import Decoding, Predictor, WindowOptions
from hinterland.labels import Coarsening, group_values
from hinterland.methods import Method
from hinterland.training.checkpoint import load_networks
from hinterland.training.device import (
    arrange,
    refuse_missing_accelerator,
    resolve_accelerator,
    resolve_precision,
    window_batch,
)
from hinterland.training.runs.compiled import compiled_predictor
from hinterland.training.runs.context import build_context
from hinterland.training.runs.record import RunRecord
from hinterland.types import Case, Dataset, HinterlandError

Which = Literal["best", "last"]


@dataclass(frozen=True)
class Run:
    """A run directory. Everything is read from it; nothing is kept."""

    path: Path

    @cached_property
    def record(self) -> RunRecord:
        """The settings of the run, resolved."""
        return RunRecord.read(self.path)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set it was trained on, read again from where it was, with the run's labels.

        Raises:
            HinterlandError: the folder is gone, or can no longer be read.
        """
        root = Path(self.record.dataset["path"])
        if not root.is_dir():
            raise HinterlandError(
                f"the data set of {self.path} is no longer at {root}. Put it back, or predict on "
                "a folder of images."
            )
        return self.record.present(read_dataset(root, self.record.spec))

    @cached_property
    def method(self) -> Method[Any]:
        """The method it was trained with."""
        return self.record.make_method()

    @cached_property
    def questions(self) -> dict[str, Coarsening]:
        """The questions of labels.yaml that its model can answer, by name."""
        asked, cells = self.record.spec.questions, self.method.cells
        return {name: question for name, question in asked.items() if cells.refines(question)}

    @property
    def parameters(self) -> int:
        """The number of parameters of the network that is deployed."""
        return sum(p.numel() for p in self.method.deployed(self.networks()).parameters())

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end and evaluated."""
        return (self.path / "summary.json").is_file()

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json.

        Raises:
            HinterlandError: the run is not finished.
        """
        if not self.finished:
            raise HinterlandError(f"{self.path} has no summary.json; finish it: hinterland resume")
        return read_object(self.path / "summary.json")

    @property
    def shortcuts(self) -> dict[str, Any] | None:
        """What mirroring and `fast` were measured to change (`measure_shortcuts`), if they were."""
        return self.summary.get("prediction") if self.finished else None

    @property
    def mirrored(self) -> bool:
        """Whether it averages over mirrored copies where nothing else is asked.

        With `validation.mirror=auto` it does until it was measured that this does not pay.
        """
        own = self.record.train.validation.mirror
        if own == "auto":
            return self.shortcuts is None or bool(self.shortcuts["mirroring"]["pays"])
        return own

    @property
    def reported(self) -> Which:
        """The checkpoint whose results are the run's: "best" if validation cases chose it."""
        return "best" if self.record.selection == "val" else "last"

    def networks(self, which: Which | None = None) -> torch.nn.Module:
        """Load the trained networks, in evaluation mode, on the CPU."""
        networks: torch.nn.Module = self.method.build(build_context(self.record))
        load_networks(networks, self.path / "checkpoints" / f"{which or self.reported}.ckpt")
        return networks.eval().requires_grad_(False)

    def window_options(
        self,
        *,
        accelerator: str | None = None,
        precision: str | None = None,
        mirror: bool | Literal["auto"] | None = None,
    ) -> WindowOptions:
        """Return how volumes are predicted.

        Args:
            accelerator: "cpu", "cuda" or "mps"; None is the run's own.
            precision: "fp32" or "bf16"; None is the run's own.
            mirror: whether predictions of mirrored images are averaged; "auto" where that was
                measured to pay (`measure_shortcuts`), None is the run's own.

        Returns:
            The options.

        Raises:
            HinterlandError: the accelerator is not there, or it was not measured what pays.
        """
        config, plan = self.record.train, self.record.plan
        asked = accelerator or config.accelerator
        refuse_missing_accelerator(asked)
        device = resolve_accelerator(asked)
        flips = self.mirrored if mirror is None else mirror
        if flips == "auto":
            if self.shortcuts is None:
                raise HinterlandError(
                    f"{self.path} has not measured what mirroring changes. Measure it: hinterland "
                    f"analyse prediction {self.path}; or say whether to mirror."
                )
            flips = bool(self.shortcuts["mirroring"]["pays"])
        return WindowOptions(
            mirror=tuple(range(plan.dims)) if flips else (),
            overlap=config.validation.overlap,
            batch=window_batch(config, plan.patch_size, device),
            device=device,
            precision=resolve_precision(precision or config.precision, device),
        )

    def predictor(
        self,
        which: Which | None = None,
        *,
        accelerator: str | None = None,
        precision: str | None = None,
        mirror: bool | Literal["auto"] | None = None,
        fast: bool = False,
        backend: str | None = None,
    ) -> Predictor:
        """Make a predictor of volumes.

        Args:
            which: the checkpoint; None is the one that the run reports.
            accelerator: "cpu", "cuda" or "mps"; None is the run's own.
            precision: "fp32" or "bf16"; None is the run's own.
            mirror: see `window_options`.
            fast: whether an image is predicted in full only where a sparse pass finds something.
            backend: what computes the network: "torch" (None), or a name of `BACKENDS`.

        Returns:
            The predictor, with the weights on the device.
        """
        options = self.window_options(accelerator=accelerator, precision=precision, mirror=mirror)
        search = Search() if fast else None
        if backend not in (None, TORCH):
            made = compiled_predictor(self, backend, options, which=which, precision=precision)
            return replace(made, search=search)
        plan, method, networks = self.record.plan, self.method, self.networks(which)
        networks = arrange(networks, plan.dims, options.device).to(options.device)
        return Predictor(
            lambda x: method.probabilities(networks, x), plan, method.cells, options,
            lambda x, then: method.summed(networks, x, then), search,
        )  # fmt: skip

    def predict(
        self,
        cases: Sequence[Case],
        out: Path | None = None,
        *,
        at: Coarsening | None = None,
        which: Which | None = None,
        probabilities: bool = False,
        overwrite: bool = False,
        predictor: Predictor | None = None,
        tick: Callable[[int, int], None] | None = None,
        journal: Journal | None = None,
        broken: dict[str, str] | None = None,
    ) -> Path:
        """Write a segmentation of every case into a folder.

        Integers are the data set's own where its scheme has them, as dataset.json beside the files
        says. Without `at`, coarser questions of labels.yaml are decoded, too, each into a folder
        out/at/QUESTION: there, probabilities are summed by group before the largest is taken.

        Args:
            cases: the cases to predict.
            out: the folder to write into; default RUN/predictions.
            at: what is asked; default, all that the model tells apart.
            which: the checkpoint; default, the one that the run reports.
            probabilities: write the probabilities of the groups, too.
            overwrite: replace results that are there.
            predictor: the predictor to use; default, the run's own.
            tick: called with (done, of how many).
            journal: see `predict_files`.
            broken: see `predict_files`.

        Returns:
            The folder.
        """
        out = out or self.path / "predictions"
        also = {} if at else self._coarser()
        at = at or self.method.cells
        values = group_values(at, self.record.spec.default_scheme)
        jobs = [(c.name, c.images) for c in cases]
        written = predict_files(
            predictor or self.predictor(which), jobs, out, at, values, also=also,
            probabilities=probabilities, overwrite=overwrite, journal=journal, broken=broken,
        )  # fmt: skip
        for done, _ in enumerate(written, start=1):
            if tick:
                tick(done, len(jobs))
        return out

    def _coarser(self) -> dict[str, Decoding]:
        """Find the questions that the most probable cell does not answer: other partitions."""
        seen, found = {frozenset(self.method.cells.groups)}, {}
        for name, at in self.questions.items():
            if (groups := frozenset(at.groups)) not in seen:
                seen.add(groups)
                found[name] = Decoding(at, group_values(at, self.record.spec.default_scheme))
        return found
