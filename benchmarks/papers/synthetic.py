"""Classifier against segmentation-for-classification on synthetic images: seven sweeps and a grid.

python -m benchmarks synthetic --size cpu --seeds 1      train what is missing
python -m benchmarks.papers.synthetic --figures docs/figures    figures from results
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell
from benchmarks.harness.tables import load

TITLE = "Synthetic images: classifier or segmentation"
TEXT = """
Paper 5, section 4.1, Tables A2 and A3, section A4.3. Is there a navy circle?
Both arms have the same residual trunk, Adam, batches, steps, schedule and validation images; the
classifier sees image labels, the segmentation network masks, and its output is summarised by the
rule (t = 0.5; tau is half the area of the smallest target, as the paper's 100 pixels are). The
checkpoint with the best balanced accuracy on validation images is tested. Size `cpu` is the paper's
world at 2/7 of its edges (64 pixels, 10 objects, 4,000 training images for 100,000, 600 steps of
32); world, budget and learning rate (3e-3 of 1e-3, 3e-3, 1e-2) were chosen once for all sweeps and
arms, on images that are not tested here, by balanced accuracy at 125 to 4,000 training images.
Balanced accuracy is at one half, as in the paper, and beside it at the Youden point of the
validation images; intervals are 95 % bootstraps over test images of one seed. Robust: on test
images that break the spurious correlation.
"""
METRICS = (
    ("balanced accuracy", "balanced_accuracy"),
    ("at the fitted point", "balanced_accuracy_fitted"),
    ("AUROC", "auroc"),
    ("robust AUROC", "robust_auroc"),
)
CLAIMS = ("images", "spurious", "annotation")
"""Sweeps with a claim of their own; further seeds train these only."""


@dataclass(frozen=True)
class SyntheticCell(Cell):
    """One trial. `trial` is there so that a change of its definition makes the result stale."""

    sweep: str = ""
    value: float = 0.0
    size: str = "cpu"
    trial: Mapping[str, Any] = field(default_factory=dict)

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.studies.synthetic.sweeps import sweep_of
        from hinterland.studies.synthetic.trial import run_trial

        for value, trial in sweep_of(self.sweep).trials(self.size, self.seed):
            if (value, trial.arm) == (self.value, self.arm):
                return {"trial": trial.key, **run_trial(trial, folder)}
        raise ValueError(f"no trial {self.sweep} {self.value} {self.arm}")


def cells(size: str, seeds: int) -> list[Cell]:
    """One cell a trial; a trial that two sweeps share stands in the first."""
    from hinterland.studies.synthetic.sweeps import SWEEPS

    found: dict[str, Cell] = {}
    for seed in range(seeds):
        for sweep in SWEEPS.values():
            if seed == 0 or sweep.name in CLAIMS:
                for value, trial in sweep.trials(size, seed):
                    found.setdefault(
                        trial.key,
                        SyntheticCell(
                            trial.arm, seed, f"{sweep.name}-{value:g}", sweep=sweep.name,
                            value=value, size=size, trial=asdict(trial),
                        ),
                    )  # fmt: skip
    return list(found.values())


def outcomes(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Results by the key of their trial."""
    return {str(result["trial"]): result for result in results.values()}


def page(size: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """One table a sweep, what it says in sentences, and the theory beside it."""
    from hinterland.studies.synthetic.study import findings, sweep_table
    from hinterland.studies.synthetic.sweeps import SWEEPS
    from hinterland.studies.synthetic.theory import theory_table

    done, seeds = outcomes(results), 1 + max(c.seed for c in cells)
    runs = {name: sweep_table(sweep, size, seeds, done) for name, sweep in SWEEPS.items()}
    terms = {name: theory_table(sweep, size) for name, sweep in SWEEPS.items()}
    parts = []
    for name, sweep in SWEEPS.items():
        table = runs[name]
        head = [sweep.axis, "arm", "runs", *(label for label, _ in METRICS)]
        parts += [f"#### {sweep.title} (`--sweep {sweep.name}`)", "", _line(head)]
        parts += ["|" + " --- |" * len(head)]
        for value in sweep.along[size]:
            for arm in sweep.arms:
                rows = table
                if len(table):
                    rows = table[(table["value"] == value) & (table["arm"] == arm)]
                figures = [_figure(rows, metric) for _, metric in METRICS]
                parts.append(_line([f"{value:g}", arm, str(len(rows)), *figures]))
        said = [line for line in findings(sweep, table) if "cross" in line] if len(table) else []
        parts += ["", *said, ""]
    return "\n".join([*parts, *theory(terms), *agreement(terms, runs)])


def theory(terms: Mapping[str, Any]) -> list[str]:
    """Proposition 1 along three sweeps, exactly, as a table. terms: sweep -> `theory_table`."""
    from hinterland.studies.synthetic.theory import NOISE

    head = ["sweep", "value", "target's share", "masks: KL(S=0, S=1)", "labels: KL(y=0, y=1)",
            "labels, scaled", "background alone", "proposition holds"]  # fmt: skip
    lines = ["#### Proposition 1 on the generator, exactly (nats; colour of one pixel)", ""]
    lines += [_line(head), "|" + " --- |" * len(head)]
    for name in ("target-size", "objects", "spurious"):
        for row in terms[name].to_dict("records"):
            figures = [row[k] for k in ("masks", "labels", "scaled_labels", "background")]
            lines.append(
                _line([name, f"{row['value']:g}", f"{row['share']:.3f}",
                       *(f"{x:.4f}" for x in figures), "yes" if row["holds"] else "no"])
            )  # fmt: skip
    note = (
        f"A share of {NOISE:g} of the pixels has a random colour; without noise the first "
        "divergence is infinite (the target has one colour only)."
    )
    return [*lines, "", note, ""]


def agreement(terms: Mapping[str, Any], runs: Mapping[str, Any]) -> list[str]:
    """Whether the proposition's terms order the points of all sweeps as the measured gains do.

    terms, runs: sweep -> `theory_table`, `sweep_table`.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    points = []
    for name, table in runs.items():
        if len(terms[name]) and len(table):
            means = table.pivot_table(index="value", columns="arm", values="auroc")
            if {"segmentation", "classifier"} <= set(means):
                gain = (means["segmentation"] - means["classifier"]).dropna().rename("gain")
                points.append(terms[name].merge(gain, left_on="value", right_index=True))
    table = pd.concat(points) if points else pd.DataFrame()
    if len(table) < 4:
        return []
    measures = {
        "masks less scaled labels": table["masks"] - table["scaled_labels"],
        "background alone": table["background"],
        "background alone, as a share of labels": table["background"] / table["labels"],
    }
    found = {name: spearmanr(values, table["gain"]) for name, values in measures.items()}
    said = "; ".join(f"{n} {r.statistic:+.2f} (p = {r.pvalue:.2g})" for n, r in found.items())
    return [
        f"Spearman's rank correlation of these terms with the AUROC gained by segmentation over "
        f"{len(table)} points of all sweeps (not planned beforehand): {said}.",
        "",
    ]


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _figure(rows: Any, metric: str) -> str:
    """Mean over seeds with their standard deviation; of one seed, its interval."""
    if not len(rows) or metric not in rows or rows[metric].isna().all():
        return "not run" if not len(rows) else "-"
    text = f"{rows[metric].mean():.3f}"
    if len(rows) > 1:
        return text + f" ± {rows[metric].std(ddof=1):.3f}"
    if f"{metric}_low" in rows:
        low, high = (float(rows[f"{metric}_{end}"].iloc[0]) for end in ("low", "high"))
        text += f" [{low:.3f}, {high:.3f}]"
    return text


def draw(out: Path, size: str = "cpu", seeds: int = 3) -> list[Path]:
    """Figures of the sweeps that have results, into `out`/synthetic; returns the files."""
    from hinterland.studies.synthetic.figures import draw_sweep
    from hinterland.studies.synthetic.study import sweep_table
    from hinterland.studies.synthetic.sweeps import SWEEPS

    done = outcomes(load("synthetic", size, cells(size, seeds)))
    files: list[Path] = []
    for sweep in SWEEPS.values():
        table = sweep_table(sweep, size, seeds, done)
        if len(table):
            files += draw_sweep(sweep, table, out / "synthetic", endings=("svg",))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, required=True, metavar="DIR")
    parser.add_argument("--size", choices=("smoke", "cpu", "paper"), default="cpu")
    args = parser.parse_args()
    for file in draw(args.figures, args.size):
        print(os.path.relpath(file))


if __name__ == "__main__":
    main()
