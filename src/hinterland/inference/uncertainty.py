"""Rank unlabelled cases for annotation: first those on which a model's own predictions differ most.

CVBM's outlook on active learning, for any method that makes several predictions of an image
(`Method.ensemble_predictions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hinterland.data.io.journal import Journal
from hinterland.data.io.volume import (
    Volume,
    file_ending,
    probability_ending,
    read_volume,
    write_probabilities,
)
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.inference.window import sliding_window
from hinterland.types import Case, HinterlandError

if TYPE_CHECKING:
    import pandas as pd

    from hinterland.data.preprocessing.geometry import Geometry
    from hinterland.inference.volumes import WindowOptions
    from hinterland.training.runs.run import Run, Which

MAPS = ("uncertainty", "disagreement")


def uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of (cells, z, y, x) over cells by log(cells): 0 sure, 1 no idea."""
    p = np.clip(probabilities, 1e-12, 1)
    return (-(p * np.log(p)).sum(axis=0) / np.log(len(p))).astype(np.float32)


def disagreement(estimates: Sequence[np.ndarray]) -> np.ndarray:
    """Return total variation distance 1/2 sum_k |p_k - q_k| of (cells, z, y, x), mean over pairs.

    In [0, 1], with two cells |p - q|; zero where there is one estimate only.
    """
    pairs = list(combinations(estimates, 2))
    total = np.zeros(estimates[0].shape[1:], np.float32)
    for p, q in pairs:
        total += np.abs(p - q).sum(axis=0) / 2
    return total / max(len(pairs), 1)


def soft_jaccard_distance(
    estimates: Sequence[np.ndarray], foreground: Sequence[int]
) -> dict[int, float]:
    """Return cell -> 1 - sum min(p, q) / sum max(p, q), the mean over all pairs of estimates.

    How far the opinions are apart about what they call foreground, whatever its size: for masks it
    is 1 - Jaccard. One voxel is added to both sums, so that two empty opinions agree.
    """
    result = {}
    for cell in foreground:
        values = [
            1 - (np.minimum(p[cell], q[cell]).sum() + 1) / (np.maximum(p[cell], q[cell]).sum() + 1)
            for p, q in combinations(estimates, 2)
        ]
        result[cell] = float(np.mean(values))
    return result


def rank_cases(
    run: Run,
    cases: Sequence[Case],
    *,
    maps: Path | None = None,
    which: Which | None = None,
    options: WindowOptions | None = None,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
    journal: Journal | None = None,
) -> pd.DataFrame:
    """Rank the cases, the one most worth annotating first.

    With several opinions the score is the mean over foreground cells of `soft_jaccard_distance`;
    with one it is the `uncertainty` column: entropy summed over voxels, over the expected
    foreground in voxels.

    Args:
        run: the finished run that predicts.
        cases: the unlabelled cases.
        maps: a folder for the maps of `write_maps`; of disagreement only with several opinions.
        which: the checkpoint; default, the one that the run reports.
        options: how it predicts; default, as the run does.
        overwrite: replace maps that are there.
        tick: called with (done, of how many).
        journal: whose maps may be there: those of the same command, before it was stopped.

    Returns:
        The columns rank (from 1), case, group, score, uncertainty, and one a foreground cell.

    Raises:
        HinterlandError: no cases, or maps exist and may not be overwritten.
    """
    import pandas as pd

    if not cases:
        raise HinterlandError("there are no cases to rank. Give a folder of images.")
    journal = journal or Journal()
    if maps is not None and not overwrite:
        refuse_existing(maps, cases, journal=journal)
    cells = run.method.cells
    rows = []
    found = ensemble_predictions(run, cases, which, options)
    for done, (case, volume, geometry, estimates) in enumerate(found, start=1):
        mean = np.mean(estimates, axis=0)
        drawn = _maps(estimates, MAPS if len(estimates) > 1 else MAPS[:1])
        expected = mean[list(cells.foreground)].sum() + 1
        row: dict[str, object] = {"case": case.name, "group": case.group}
        row["uncertainty"] = float(drawn["uncertainty"].sum() / expected)
        row["score"] = row["uncertainty"]
        if len(estimates) > 1:
            distances = soft_jaccard_distance(estimates, cells.foreground)
            row["score"] = float(np.mean(list(distances.values())))
            row |= {cells.names[cell]: value for cell, value in distances.items()}
        rows.append(row)
        if maps is not None:
            paths = [map_path(maps, case, kind) for kind in drawn]
            replaced = overwrite or any(map(journal.ours, paths))
            journal.begin(*paths)
            _write(maps, case, volume, geometry, drawn, replaced)
            journal.finish(*paths)
        if tick:
            tick(done, len(cases))
    table = pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable")
    table.insert(0, "rank", range(1, len(table) + 1))
    front = ["rank", "case", "group", "score", "uncertainty"]
    return table[[*front, *(c for c in table.columns if c not in front)]].reset_index(drop=True)


def write_maps(
    run: Run,
    cases: Sequence[Case],
    out: Path,
    kinds: Sequence[str] = MAPS,
    *,
    which: Which | None = None,
    options: WindowOptions | None = None,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
    journal: Journal | None = None,
) -> None:
    """Write OUT/KIND/CASE of each kind, floats from 0 to 1 in the geometry of the images.

    Args:
        run: a trained run.
        cases: whose images are predicted.
        out: the folder to write into.
        kinds: "uncertainty", the entropy of the mean of the ensemble's predictions, and
            "disagreement" between them, which is 0 where a method has one only.
        which: "best" or "last"; None is the checkpoint that the run reports.
        options: of the sliding window; None is the run's own.
        overwrite: replace maps that are there.
        tick: called with (done, of how many).
        journal: see `predict_files`.

    Raises:
        HinterlandError: a map exists and may not be overwritten, before anything is computed.
    """
    journal = journal or Journal()
    if not overwrite:
        refuse_existing(out, cases, kinds, journal)
    files = {c.name: [map_path(out, c, kind) for kind in kinds] for c in cases}
    todo = [c for c in cases if not journal.finished(*files[c.name])]
    found = ensemble_predictions(run, todo, which, options)
    start = len(cases) - len(todo) + 1
    for done, (case, volume, geometry, estimates) in enumerate(found, start=start):
        paths = files[case.name]
        replaced = overwrite or any(map(journal.ours, paths))
        journal.begin(*paths)
        _write(out, case, volume, geometry, _maps(estimates, kinds), replaced)
        journal.finish(*paths)
        if tick:
            tick(done, len(cases))


def _maps(estimates: Sequence[np.ndarray], kinds: Sequence[str]) -> dict[str, np.ndarray]:
    make = {
        "uncertainty": lambda: uncertainty(np.mean(estimates, axis=0)),
        "disagreement": lambda: disagreement(estimates),
    }
    return {kind: make[kind]() for kind in kinds}


def ensemble_predictions(
    run: Run,
    cases: Sequence[Case],
    which: Which | None = None,
    options: WindowOptions | None = None,
) -> Iterator[tuple[Case, Volume, Geometry, list[np.ndarray]]]:
    """Predict each case by every member of the ensemble: (cells, z, y, x), preprocessed geometry.

    All predictions come from one pass over the tiles: their channels lie one after the other, and
    the constant a voxel that a logarithm is known up to falls out when each is normalised by
    itself.

    Args:
        run: a trained run.
        cases: whose images are predicted.
        which: "best" or "last"; None is the checkpoint that the run reports.
        options: of the sliding window; None is the run's own.

    Yields:
        The case, its image as read, the geometry, and the probabilities of each member.
    """
    import torch
    from scipy.special import softmax

    options = options or run.window_options()
    networks = run.networks(which).to(options.device)
    method, plan = run.method, run.record.plan
    for case in cases:
        volume = read_volume(case.images)
        image, _, geometry = preprocess(volume, plan)

        def stacked(x: torch.Tensor) -> torch.Tensor:
            return torch.cat([p.float() for p in method.ensemble_predictions(networks, x)], dim=1)

        logs = sliding_window(
            stacked, image, plan.patch_size, **vars(options),
        )  # fmt: skip
        apart = np.split(logs, len(logs) // len(method.cells))
        yield case, volume, geometry, [softmax(one, axis=0) for one in apart]


def unseen(run: Run, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Leave out the files of the run's data set whose labels it has trained or validated on.

    The others of that data set are in the group (patient) that the run knows them by.
    """
    record = run.record
    root = Path(record.dataset["path"])
    used = {
        name
        for part in ("train", "val")
        for name in record.split[part]
        if record.schemes[name] != "none"
    }
    kept = []
    for case in cases:
        if not case.images[0].resolve().is_relative_to(root):
            kept.append(case)
        elif case.name not in used:
            kept.append(replace(case, group=record.groups.get(case.name, case.group)))
    return tuple(kept)


def count_predictions(run: Run, which: Which | None = None) -> int:
    """Count the predictions that the method of a run, with its options, has of an image."""
    import torch

    plan = run.record.plan
    probe = torch.zeros(1, len(plan.channels), *plan.patch_size)
    with torch.inference_mode():
        return len(run.method.ensemble_predictions(run.networks(which), probe))


def map_path(folder: Path, case: Case, kind: str) -> Path:
    """Return where a map of a case goes: FOLDER/KIND/CASE.nii.gz, or another floating format.

    Args:
        folder: OUT.
        case: its name, and its format where that holds floats.
        kind: "uncertainty" or "disagreement".

    Returns:
        The path.
    """
    return folder / kind / f"{case.name}{probability_ending(file_ending(case.images[0]))}"


def refuse_existing(
    folder: Path, cases: Sequence[Case], kinds: Sequence[str] = MAPS, journal: Journal | None = None
) -> None:
    """Refuse to write over a map.

    Args:
        folder: OUT.
        cases: whose maps would be written.
        kinds: of maps.
        journal: whose maps may be there.

    Raises:
        HinterlandError: one is there already that is not the journal's.
    """
    ours = (journal or Journal()).ours
    paths = (map_path(folder, c, k) for c in cases for k in kinds)
    existing = [path for path in paths if path.exists() and not ours(path)]
    if existing:
        raise HinterlandError(
            f"{existing[0]} exists already. Give --overwrite to replace it, or another folder."
        )


def _write(
    folder: Path, case: Case, volume: Volume, geometry: Geometry,
    maps: dict[str, np.ndarray], overwrite: bool,
) -> None:  # fmt: skip
    for kind, values in maps.items():
        # Outside of the crop the image is zero and the answer known: the map is 0 there.
        restored = geometry.undo(values[None], background=-1)
        path = map_path(folder, case, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_probabilities(path, restored, like=volume, overwrite=overwrite)
