"""Support structures one by one, partial, virtual, fine-tuned; does the adviser rank them right?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.harness.cell import Cell
from benchmarks.harness.lesions import lesion_section
from benchmarks.harness.tables import Table, difference, per_case
from benchmarks.papers.backsplit import _CPU as SIZES
from benchmarks.papers.backsplit import ANY_CLASS, sampling
from benchmarks.papers.support_cells import ORGANS, AdviceCell, OrganCell, SupportCell, support_cell
from hinterland.studies.supports.arms import (
    BINARY,
    Arm,
    fine_tuning,
    one_by_one,
    partial,
    virtual,
    with_supports,
)

TITLE = "Support structures"
TEXT = """
MyoPS (target scar; supports LV, RV, normal myocardium, edema) and
COVID-19 CT (target infection; support lung) by fold, seed s on fold s: nothing is selected, the
last checkpoint is reported out of fold. Partial supervision: the supports are labelled in a share
of the cases only; elsewhere their voxels are trained as the remainder (naive) or as "a support or
the rest" (marginal); at 100 % both are "all supports". Fine-tuning: the binary run's head grown to
all supports and trained on for 5 to 25 % of its steps (paper 1: 50 to 250 epochs after 1000) at a
tenth of its learning rate; "no support" is the same without any. `organs ...`: supports
LV, RV and normal myocardium, of which the second half of the training patients has the true ones,
those of a model trained on the first half, or none (marginal). The adviser (`hinterland advise
supports`) sees training and held-out cases and the binary run; its scores are held against the
gains of the arms `+ support` over binary, pooled over phantoms with informative supports, null
phantoms (the same images, labels that say nothing), MyoPS and COVID-19 CT. It assumes patches that
are centred on the target's classes, as those of all arms are but "any class" (nnU-Net's rule, which
centres on supports, too).
"""
SUPPORTS = {
    "myops": ("LV", "RV", "normal", "edema"),
    "covid": ("lung",),
    "phantom": ("host", "decoy", "bowel", "spine"),
    "null-phantom": ("host", "decoy", "bowel", "spine"),
}
DATA: dict[str, dict[str, Any]] = {
    "myops": {"dataset": "Dataset116_MyoPS", "labels": "myops-scar.yaml", "dims": 2, "memory": 2.0},
    "covid": {"dataset": "Dataset115_COVID19CT", "labels": "covid19ct.yaml", "dims": 2,
              "memory": 2.0},
    "phantom": {"dataset": "phantom", "dims": 3, "memory": 2.0},
    "null-phantom": {"dataset": "null-phantom", "dims": 3, "memory": 2.0},
}  # fmt: skip
PHANTOM_STEPS = 600
NNUNET_STEPS = 250_000
EVIDENCE = ("score", "holds", "borders", "false_positives", "information", "variance", "learnt")


def _base(size: str, group: str, seed: int) -> SupportCell:
    """Data, fold and full-length settings of a group."""
    fold = "fixed" if group.endswith("phantom") else str(seed % 5)
    settings: dict[str, Any] = {"steps": NNUNET_STEPS}
    if size != "paper":
        settings = {**SIZES[group], "validation": {"mirror": False}}
        settings["steps"] = PHANTOM_STEPS if fold == "fixed" else settings["steps"]
    if size == "smoke":
        settings |= {"steps": 2, "network_options": {"features": [4, 8]}, "batch_size": 2}
        settings["validation"] = {"mirror": False, "overlap": 0.0, "window_batch": 16}
    data = DATA[group]
    if size == "paper":
        data = {**data, "memory": 8.0}
    return SupportCell(
        arm=BINARY, seed=seed, group=group, fold=fold, settings=settings, whole=settings["steps"],
        **data,
    )  # fmt: skip


def cells(size: str, seeds: int) -> list[Cell]:
    """Seed by seed: both data sets, the advice, the organ model; later seeds what a claim needs."""
    result: list[Cell] = []
    for seed in range(seeds):
        for group in ("myops", "covid"):
            base = _base(size, group, seed)
            arms = _arms(SUPPORTS[group])
            if seed and size != "paper":
                arms = [a for a in arms if _claimed(a)]
            result += [support_cell(arm, base) for arm in arms]
        for group in ("phantom", "null-phantom"):
            arms = one_by_one(SUPPORTS[group])
            result += [
                support_cell(a, _base(size, group, seed)) for a in arms if a.name != "all supports"
            ]
        for group in SUPPORTS:
            base = _base(size, group, seed)
            result.append(
                AdviceCell(
                    arm="advice",
                    seed=seed,
                    group=f"advice {group}",
                    fold=base.fold,
                    base=base,
                    steps=base.whole if size == "smoke" else 200,
                )
            )
        base = _base(size, "myops", seed)
        for source, name in ORGAN_ARMS.items():
            cell = support_cell(Arm(name, with_supports(ORGANS)), base)
            result.append(OrganCell(**{**vars(cell), "source": source}))
    for seed in range(seeds):
        for group, supports in SUPPORTS.items():
            result += [
                support_cell(arm, _base(size, group, seed)) for arm in any_class(_arms(supports))
                if not (group.endswith("phantom") and arm.name.startswith("all"))
            ]  # fmt: skip
    return result


def any_class(arms: Sequence[Arm]) -> list[Arm]:
    """The arms of single and of all supports, with patches centred on every class."""
    return [
        replace(a, name=a.name + ANY_CLASS, settings={**a.settings, **sampling(ANY_CLASS)})
        for a in arms
        if a.name == "all supports" or a.name.startswith("+ ")
    ]


ORGAN_ARMS = {
    "truth": "organs: true in all",
    "model": "organs: true in half, own model's in half",
    "half": "organs: true in half, marginal",
}


def _arms(supports: Sequence[str]) -> list[Arm]:
    """One by one, virtual, partial, fine-tuning: each arm once, 100 % being all supports."""
    arms = one_by_one(supports)
    if len(supports) == 1:
        arms[-1] = replace(arms[-1], name="all supports")
    arms += [a for a in virtual(supports) if a.changes.get("virtual") == 1]
    arms += [a for a in partial(supports) if a.x is not None and a.x < 100]
    arms += [a for a in fine_tuning(supports)
             if a.init_from and (a.curve == "all supports" or a.x == 1.0)]  # fmt: skip
    return arms


def _claimed(arm: Arm) -> bool:
    """Arms of all seeds: all but the middle of the fine-tuning curve."""
    return not arm.init_from or arm.x in (0.2, 1.0)


def tables(size: str) -> list[Table]:
    """One a data set."""
    del size
    columns = [
        (name, "target", (), metric)
        for name, metric in (("Dice", "dice"), ("HD95", "hd95"), ("NSD", "nsd"))
    ]
    published = {BINARY: "KiTS cyst .2033 (fold)", "1 virtual": ".2469", "all supports": ".5297"}
    return [
        Table("MyoPS, scar (out-of-fold, seed s on fold s)", "myops", columns, BINARY, published),
        Table("COVID-19 CT, infection (out-of-fold)", "covid", columns, BINARY, published),
        Table("Phantom, lesion", "phantom", columns, BINARY),
        Table("Null phantom, lesion", "null-phantom", columns, BINARY),
    ]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Marginal against naive; the adviser against measured gains; the organ model's quality."""
    del size
    lines = [*marginal_against_naive(all_cells, results), "", *adviser(all_cells, results)]
    quality = [r["organs"] for r in results.values() if r.get("organs")]
    if quality:
        mean = {o: np.mean([q[o] for q in quality]) for o in ORGANS}
        text = ", ".join(f"{o} {v:.3f}" for o, v in mean.items())
        lines += ["", f"Dice of the organ model's labels with the true ones, on "
                      f"patients it was not trained on: {text} ({len(quality)} runs)."]  # fmt: skip
    found = [lesion_section(t.title, t.group, all_cells, results) for t in tables("cpu")]
    return "\n".join([*lines, "", *found])


def marginal_against_naive(
    all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Paired difference in Dice at each share of cases with support labels."""
    shares = sorted({a.x for a in partial(("any",)) if a.x is not None and a.x < 100})
    lines = ["#### Partial supervision: marginal minus naive, Dice [95 % CI]; p", "",
             "| data | " + " | ".join(f"{x:g} %" for x in shares) + " |",
             "| --- |" + " --- |" * len(shares)]  # fmt: skip
    for group in ("myops", "covid"):
        row = [group]
        for x in shares:
            table = Table("", group, [("Dice", "target", (), "dice")], f"naive {x:g} %")
            row.append(difference(table, table.arms(all_cells), results, f"marginal {x:g} %"))
        lines.append("| " + " | ".join(row) + " |")
    return lines


def adviser(all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the adviser said, what the supports gained, and how the two orders agree."""
    rows = advice_rows(all_cells, results)
    if not rows:
        return ["#### The adviser against measured gains", "", "not run"]
    lines = ["#### The adviser against measured gains", "",
             "| data | support | " + " | ".join(EVIDENCE) + " | gain in Dice | runs |",
             "| --- | --- |" + " --- |" * (len(EVIDENCE) + 2)]  # fmt: skip
    for row in rows:
        values = " | ".join(_digits(row[e]) for e in EVIDENCE)
        gain = "not run" if row["gain"] is None else f"{row['gain']:+.3f}"
        lines.append(f"| {row['group']} | {row['support']} | {values} | {gain} | {row['runs']} |")
    measured = [r for r in rows if r["gain"] is not None]
    return [*lines, "", _agreement(measured), "", _within(measured)]


def advice_rows(
    all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each data set and support: the advice, mean over seeds, and the gain in Dice."""
    rows = []
    for group, supports in SUPPORTS.items():
        advice = [r["advice"] for r in results.values()
                  if r["config"]["group"] == f"advice {group}"]  # fmt: skip
        if not advice:
            continue
        for support in supports:
            said = [s for a in advice for s in a["supports"] if s["support"] == support]
            row: dict[str, Any] = {"group": group, "support": support}
            for name in EVIDENCE:
                known = [s[name] for s in said if s[name] is not None]
                row[name] = float(np.mean(known)) if known else None
            arm = "all supports" if len(supports) == 1 else f"+ {support}"
            row["gain"], row["runs"] = _gain(all_cells, results, group, arm)
            rows.append(row)
    return rows


def _gain(
    all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]], group: str, arm: str
) -> tuple[float | None, int]:
    """Mean paired difference in Dice to binary over the seeds that both have."""
    column = ("Dice", "target", (), "dice")
    found = {
        c.seed: per_case([results[c.name]], column)
        for c in all_cells if c.group == group and c.arm == arm and c.name in results
    }  # fmt: skip
    base = {
        c.seed: per_case([results[c.name]], column)
        for c in all_cells if c.group == group and c.arm == BINARY and c.name in results
    }  # fmt: skip
    both = sorted(found.keys() & base.keys())
    if not both:
        return None, 0
    return float(np.mean([(found[s] - base[s]).dropna().mean() for s in both])), len(both)


def _agreement(rows: Sequence[Mapping[str, Any]]) -> str:
    """Spearman's rank correlation of each column with the gain, over all supports."""
    from scipy.stats import pearsonr, permutation_test, rankdata

    if len(rows) < 4:
        return f"Rank correlation: not enough supports measured ({len(rows)})."
    parts = []
    for name in EVIDENCE:
        known = [(r[name], r["gain"]) for r in rows if r[name] is not None]
        x, y = (rankdata(v) for v in zip(*known, strict=True))
        rho = float(pearsonr(x, y).statistic)
        p = permutation_test(
            (x,), lambda a, axis, y=y: (a * y).sum(axis), permutation_type="pairings",
            n_resamples=5000, rng=np.random.default_rng(0), vectorized=True,
        ).pvalue  # fmt: skip
        parts.append(f"{name} {rho:+.2f} (p = {p:.2g}, {len(known)} supports)")
    return (
        "Spearman's rank correlation with the gain: " + "; ".join(parts) + ". Supports of one data "
        "set share the binary runs, so that p is somewhat too small."
    )


def _within(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rank correlation of the score inside each data set: the order that a user sees."""
    from scipy.stats import spearmanr

    parts = []
    for group in SUPPORTS:
        own = [(r["score"], r["gain"]) for r in rows if r["group"] == group]
        if len(own) > 2:
            scores, gains = zip(*own, strict=True)
            if max(scores) < 0.005:
                parts.append(f"{group} no order (it finds nothing to take)")
            else:
                parts.append(f"{group} {spearmanr(scores, gains).statistic:+.2f} of {len(own)}")
    return "Of the score inside a data set: " + "; ".join(parts) + "."


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
