"""How sure a model is: over training, where in an image, and how far apart its classes lie.

Figures 8 and 13 of paper 3 (t-SNE of features, confidence maps), for any runs side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.networks.base import SplitNetwork
from hinterland.studies import confidence_figures as figures
from hinterland.studies.features.probe import FeatureProbe, tiles_of
from hinterland.studies.runner import write_summary, write_table
from hinterland.training.runs.outcome import evaluated_cases
from hinterland.training.runs.run import Run
from hinterland.types import Case, HinterlandError

LOGGED = {"val/dice": "Dice", "val/confidence": "confidence", "val/entropy": "entropy"}
PER_CLASS = 150
"""Voxels of each class that an embedding shows."""


def analyse_confidence(
    runs: Sequence[Run],
    out: Path,
    *,
    maps: int = 3,
    seed: int = 0,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Compare how sure runs are of the same test cases.

    Writes curves.csv and curves.png (validation Dice, confidence and entropy by step), maps.png (of
    `maps` cases), embedding.csv and embedding.png (t-SNE of the features that the last layer
    reads), and summary.json: for each run the last logged values, and the
    silhouette of its classes in feature space, -1 to 1.

    Args:
        runs: finished runs on one data set.
        out: the folder to write into.
        maps: cases that are drawn.
        seed: of the voxels that are embedded.
        overwrite: write into a folder that is not empty.
        tick: called with (done, of how many).

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: `out` is not empty, no labelled cases that all runs were tested on.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise HinterlandError(f"{out} is not empty. Give --overwrite, or another --out.")
    names = run_names(runs)
    cases = common_cases(runs)
    log, parts = curves(runs), []
    for done, (name, run) in enumerate(zip(names, runs, strict=True), start=1):
        found = embedding(run, cases, seed)
        if found is not None:
            parts.append(found.assign(run=name))
        if tick:
            tick(done, 2 * len(runs))
    out.mkdir(parents=True, exist_ok=True)
    write_table(log, out / "curves.csv")
    figures.draw_curves(log, out / "curves.png")
    if parts:
        points = pd.concat(parts, ignore_index=True)
        write_table(points.drop(columns="silhouette"), out / "embedding.csv")
        figures.draw_embedding(points, out / "embedding.png")
    shown = [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, maps).astype(int))]
    if maps:
        figures.draw_maps(
            dict(zip(names, runs, strict=True)), shown, out / "maps.png",
            lambda done: tick(len(runs) + done, 2 * len(runs)) if tick else None,
        )  # fmt: skip
    silhouettes = {str(p["run"].iloc[0]): float(p["silhouette"].iloc[0]) for p in parts}
    summary = {
        "cases": len(cases), "out": str(out),
        "runs": {n: {**_last(log, n), "silhouette": silhouettes.get(n)} for n in names},
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def run_names(runs: Sequence[Run]) -> list[str]:
    """Name runs by their folders, or by whole paths where those repeat."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]


def common_cases(runs: Sequence[Run]) -> tuple[Case, ...]:
    """List the labelled cases that every run was evaluated on, as the first one reads them.

    Raises:
        HinterlandError: there is none.
    """
    tested = [evaluated_cases(run, run.dataset)[0] for run in runs]
    shared = set.intersection(*({c.name for c in cases} for cases in tested))
    if not shared:
        raise HinterlandError(
            "there is no labelled case that all of the runs were tested on."
            " Give runs of one data set and split."
        )
    return tuple(c for c in tested[0] if c.name in shared)


def curves(runs: Sequence[Run]) -> pd.DataFrame:
    """Tabulate what validations have logged: columns run, step (steps done), quantity, value."""
    parts = []
    for name, run in zip(run_names(runs), runs, strict=True):
        log = pd.read_csv(run.path / "log.csv")
        log = log[log["key"].isin(LOGGED)]
        parts.append(
            pd.DataFrame(
                {
                    "run": name, "step": log["step"] + 1, "quantity": log["key"].map(LOGGED),
                    "value": log["value"],
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def embedding(run: Run, cases: Sequence[Case], seed: int = 0) -> pd.DataFrame | None:
    """Embed decoder features of voxels of known class by t-SNE: x, y, cell, case, silhouette.

    Of each case, the tile with most foreground is taken; at most `PER_CLASS` voxels a class, drawn
    by
    `seed`, scaled to unit variance a channel. None for a network without maps, or a single class.

    Args:
        run: a finished run.
        cases: whose voxels are drawn.
        seed: of the draws.

    Returns:
        x, y, cell, case and silhouette of each voxel; or None.
    """
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score

    if not isinstance(run.method.deployed(run.networks()), SplitNetwork):
        return None
    vectors, cells, names = _voxels(run, cases, np.random.default_rng(seed))
    if len(set(cells)) < 2 or len(vectors) < 10:
        return None
    spread = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    perplexity = min(30.0, (len(scaled) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
    return pd.DataFrame(
        {
            "x": points[:, 0], "y": points[:, 1], "cell": cells, "case": names,
            "silhouette": silhouette_score(scaled, cells),
        }
    )  # fmt: skip


def _voxels(
    run: Run, cases: Sequence[Case], rng: np.random.Generator
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return features (voxels, channels), the cell and the case of each."""
    probe, of, spec = FeatureProbe.at(run), run.method.cells, run.record.spec
    inside = spec.label_sets.member(of).astype(bool) & spec.label_sets.decided(of).astype(bool)
    foreground = inside[:, list(of.foreground)].any(axis=1)
    quota = max(1, -(-PER_CLASS // len(cases)))
    vectors, cells, names = [], [], []
    for case in cases:
        image, rows = max(tiles_of(run, case), key=lambda tile: int(foreground[tile[1]].sum()))
        features = probe.feature_maps(image)["decoder.0"][0].numpy()
        for index, cell in enumerate(of.names):
            places = np.argwhere(inside[rows, index])
            for place in rng.permutation(places)[:quota]:
                vectors.append(features[(slice(None), *place)])
                cells.append(cell)
                names.append(case.name)
    return np.array(vectors), cells, names


def _last(log: pd.DataFrame, name: str) -> dict[str, float]:
    own = log[log["run"] == name]
    return {str(q): float(part["value"].iloc[-1]) for q, part in own.groupby("quantity")}
