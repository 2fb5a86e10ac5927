"""Do cases that segment badly have foreground and background close together in feature space?

Paper 2, figures 1, 2, 4 and 8: Dice against L_fd for each case and layer, learned layer weights,
worst-off and best-off cases, activation maps without and with the loss.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hinterland.data.io.files import write_text
from hinterland.inference.window import tile_starts
from hinterland.studies.runner import target_scores, write_table
from hinterland.types import Case, HinterlandError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor

    from hinterland.networks.base import SplitNetwork
    from hinterland.training.run import Run

log = logging.getLogger(__name__)
WORST = 0.25
SHOWN = ("bottleneck", "decoder.0")


@dataclass(frozen=True)
class FeatureProbe:
    """A trained network with feature taps, and how the target lies in its annotations."""

    network: SplitNetwork
    member: Tensor
    decided: Tensor
    device: torch.device | str

    @classmethod
    def at(cls, run: Run) -> FeatureProbe:
        """The deployed network of a run. HinterlandError if it has no taps."""
        import torch

        from hinterland.networks.base import require_split
        from hinterland.training.device import resolve_accelerator

        device = resolve_accelerator(run.record.train.accelerator)
        network = require_split(run.method.deployed(run.networks().to(device)), "analyse features")
        spec = run.record.spec
        groups = list(spec.target.foreground)
        member, decided = (
            torch.tensor(known[:, groups])
            for known in (
                spec.label_sets.member(spec.target),
                spec.label_sets.decided(spec.target),
            )
        )
        return cls(network, member, decided, device)

    def feature_maps(self, image: np.ndarray) -> dict[str, Tensor]:
        """Feature maps of one tile (C, *tile), each (1, channels, *space), on the CPU."""
        import torch

        with torch.inference_mode():
            features = self.network.encode(torch.from_numpy(image)[None].to(self.device))
            taps = self.network.feature_maps(features, self.network.decode(features))
        return {name: value.float().cpu() for name, value in taps.items()}

    def discrepancies(self, image: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """Layer -> L_fd (prototypes, normalised) of one tile; without layers that lack a side."""
        import torch

        from hinterland.losses.discrepancy import feature_discrepancy, pool_membership, sides

        index = torch.from_numpy(rows.astype(np.int64))[None]
        member, decided = (t[index].movedim(-1, 1) for t in (self.member, self.decided))
        found = {}
        for name, features in self.feature_maps(image).items():
            pooled = pool_membership(member, decided, tuple(features.shape[2:]))
            layer = sides(features, *pooled, normalise=True)
            if bool((layer.has_foreground & layer.has_background).any()):
                found[name] = float(feature_discrepancy(layer))
        return found


def tiles_of(run: Run, case: Case) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Preprocessed tiles (C, *tile) of the plan's patch size with their rows, side by side.

    Images smaller than a tile are padded, with rows of "any leaf".
    """
    from hinterland.data.io.volume import read_label, read_volume
    from hinterland.data.preprocessing.preprocess import preprocess
    from hinterland.data.sampling.label_sets import LabelSetLookup

    assert case.label is not None
    plan, spec = run.record.plan, run.record.spec
    image, label, _ = preprocess(
        read_volume(case.images), plan, read_label(case.label, case.images[0]).array[0]
    )
    assert label is not None
    rows = LabelSetLookup(spec.label_sets, spec.scheme(case.scheme))(label, case.name)
    tile = plan.patch_size
    flat = len(tile) == 2
    planes = [(image[:, z], rows[z]) for z in range(len(rows))] if flat else [(image, rows)]
    for pixels, known in planes:
        short = [max(t - n, 0) for t, n in zip(tile, known.shape, strict=True)]
        widths = [(s // 2, s - s // 2) for s in short]
        pixels, known = np.pad(pixels, [(0, 0), *widths]), np.pad(known, widths)
        starts = [tile_starts(n, t, 0.0) for n, t in zip(known.shape, tile, strict=True)]
        for corner in product(*starts):
            box = tuple(slice(a, a + t) for a, t in zip(corner, tile, strict=True))
            yield np.ascontiguousarray(pixels[(slice(None), *box)], np.float32), known[box]


def case_discrepancies(
    run: Run, cases: Sequence[Case], tick: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Columns case, layer, fd: L_fd of each case and layer, the mean over its tiles."""
    import pandas as pd

    looking = FeatureProbe.at(run)
    rows = []
    for done, case in enumerate(cases, start=1):
        found: dict[str, list[float]] = {}
        for image, known in tiles_of(run, case):
            for layer, value in looking.discrepancies(image, known).items():
                found.setdefault(layer, []).append(value)
        rows += [(case.name, layer, float(np.mean(values))) for layer, values in found.items()]
        if tick:
            tick(done, len(cases))
    return pd.DataFrame(rows, columns=["case", "layer", "fd"])


def layer_weights(run: Run) -> dict[str, float]:
    """The learned w_l of L_fd in the reported checkpoint; {} for a run without that loss."""
    from hinterland.methods.regularisers.discrepancy import FeatureDiscrepancy
    from hinterland.methods.regularisers.registry import build_regularisers
    from hinterland.training.checkpoint import load_checkpoint
    from hinterland.training.trainer import build_context

    asked = run.record.train.regularisers
    if "discrepancy" not in asked:
        return {}
    built = build_regularisers(asked, build_context(run.record), run.method)
    content = load_checkpoint(run.path / "checkpoints" / f"{run.reported}.ckpt")
    built.load_state_dict(content["regularisers"])
    loss = built["discrepancy"]
    assert isinstance(loss, FeatureDiscrepancy)
    return dict(zip(loss.layers, loss.layer_weights().tolist(), strict=True))


def groups_by(dice: pd.Series, threshold: float | None = None) -> dict[str, list[str]]:
    """Worst-off: the cases with a Dice below `threshold`, or the lowest quarter; best-off: equally
    many with the highest. The two never share a case."""
    order = dice.sort_values(kind="stable")
    count = int((order < threshold).sum()) if threshold is not None else round(WORST * len(order))
    count = min(count, len(order) // 2)
    names = [str(name) for name in order.index]
    return {"worst-off": names[:count], "best-off": names[len(names) - count :]}


def correlations(table: pd.DataFrame, weights: dict[str, float]) -> pd.DataFrame:
    """A row a layer: n, Pearson's and Spearman's correlation of L_fd and Dice with p, weight."""
    import pandas as pd
    from scipy import stats

    rows = []
    for layer, part in table.groupby("layer", sort=False):
        row: dict[str, Any] = {"layer": layer, "n": len(part), "mean_fd": part["fd"].mean()}
        varied = len(part) > 2 and part["fd"].std() > 0 and part["dice"].std() > 0
        for name, test in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            result = test(part["fd"], part["dice"]) if varied else (np.nan, np.nan)
            row[name], row[f"{name}_p"] = float(result[0]), float(result[1])
        rows.append({**row, "weight": weights.get(str(layer), np.nan)})
    return pd.DataFrame(rows)


def analyse_features(
    run: Run,
    out: Path,
    *,
    without: Run | None = None,
    threshold: float | None = None,
    maps: int = 4,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Look into a finished run, and beside it into one that was trained `without` the loss.

    Groups are formed by the Dice of `without`, or of the run itself. Writes features.csv (case,
    layer, fd, dice, group, and fd and dice without the loss), layers.csv, features.png, activations
    .png of `maps` worst-off cases, and summary.json, which it returns.
    Raises HinterlandError: no labelled test cases, a network without taps, `out` is not empty.
    """
    from hinterland.studies.feature_figures import draw_activations, draw_scatter
    from hinterland.training.outcome import evaluated_cases

    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise HinterlandError(f"{out} is not empty. Give --overwrite, or another --out.")
    cases, split = evaluated_cases(run, run.dataset)
    if not cases:
        raise HinterlandError(f"{run.path} has no labelled cases to look at ({split}).")
    question = next(iter(run.record.spec.questions))
    dice = _dice(run, question)
    reference = dice if without is None else _dice(without, question)
    groups = groups_by(reference, threshold)
    table = case_discrepancies(run, cases, tick)
    table["dice"] = table["case"].map(dice)
    group_of = {name: group for group, names in groups.items() for name in names}
    table["group"] = table["case"].map(group_of).fillna("")
    if without is not None:
        other = case_discrepancies(without, cases, tick).rename(columns={"fd": "fd_without"})
        table = table.merge(other, on=["case", "layer"], how="left")
        table["dice_without"] = table["case"].map(reference)
    weights = layer_weights(run)
    layers = correlations(table.dropna(subset=["dice"]), weights)
    out.mkdir(parents=True, exist_ok=True)
    write_table(table, out / "features.csv")
    write_table(layers, out / "layers.csv")
    draw_scatter(table, out / "features.png")
    chosen = [c for name in groups["worst-off"][:maps] for c in cases if c.name == name]
    if chosen:
        draw_activations(run, without, chosen, SHOWN, out / "activations.png")
    summary = {
        "run": str(run.path), "without": str(without.path) if without else None, "split": split,
        "cases": len(cases), "layers": json.loads(layers.to_json(orient="records")),
        "groups": {g: _group(names, dice, reference) for g, names in groups.items()},
        "all": _group([c.name for c in cases], dice, reference), "out": str(out),
    }  # fmt: skip
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _dice(run: Run, question: str) -> pd.Series:
    if not (run.path / "metrics.csv").is_file():
        raise HinterlandError(f"{run.path} is not finished. Go on with: hinterland resume")
    scores = target_scores(run.path / "metrics.csv", question)["dice"]
    return scores.reset_index("group", drop=True)


def _group(names: Sequence[str], dice: pd.Series, reference: pd.Series) -> dict[str, Any]:
    known = [n for n in names if n in dice.index and n in reference.index]
    mean, before = (float(s[known].mean()) if known else None for s in (dice, reference))
    return {"cases": len(known), "dice": mean, "dice_reference": before}
