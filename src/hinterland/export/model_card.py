"""The model card: data, labels, protocol, figures and licences of a run, for whoever gets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hinterland.data.dataset.files import read_object
from hinterland.data.derived.provenance import provenance_of
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import METRICS, metric_columns
from hinterland.evaluation.statistics.bootstrap import bootstrap_ci
from hinterland.evaluation.table import read_table
from hinterland.labels import group_values
from hinterland.training.runs.run import Run, Which
from hinterland.training.runs.shortcuts import sentence
from hinterland.training.runs.teachers import leakage
from hinterland.types import HinterlandError

CARD = "model_card.md"
_NOT_SAID = "not said by the data set; ask those who gave it to you"


def model_card(run: Run, checkpoint: Which | None = None, *, kind: str = "") -> str:
    """Write what must be known of a model before it is used.

    Figures are those of the run's held-out cases, each with its 95 % interval over patients
    (bootstrap). Nothing of the machine, its paths or its users is told, nor are case names.

    Args:
        run: The run.
        checkpoint: The checkpoint that is given away; None is the one that the run reports.
        kind: The format that it is given away in.

    Returns:
        Markdown; the same for the same run.
    """
    which = checkpoint or run.reported
    parts = {
        f"# Model card: {run.record.method} on {run.record.dataset['name']}": _what(
            run, which, kind
        ),
        "## Intended use and limits": _limits(run),
        "## Labels": _labels(run),
        "## Data": _data(run),
        "## Figures": _figures(run, which),
        "## Protocol": _protocol(run),
        "## Licences": _licences(run),
    }
    sections = ["\n".join([title, "", *lines]) for title, lines in parts.items()]
    return "\n\n".join(sections) + "\n"


def _what(run: Run, which: Which, kind: str) -> Iterator[str]:
    record = run.record
    form = f" as {kind}" if kind else ""
    yield (
        f"A {record.plan.dims}D segmentation network ({record.train.network}"
        f"{_parameters(run)}) for {', '.join(record.plan.channels)} images{form}, the {which} "
        f"checkpoint of a run of Hinterland {record.versions.get('hinterland', '')}."
    )


def _parameters(run: Run) -> str:
    if not run.finished or not (count := run.summary.get("parameters")):
        return ""
    return f", {count:,} parameters"


def _limits(run: Run) -> Iterator[str]:
    record = run.record
    training = record.split["train"]
    patients = {record.groups.get(name, name) for name in training}
    yield (
        "For research, on images like those it was trained on: "
        f"{', '.join(record.plan.channels)}, {_spacing(run)}. It is no medical device; its output "
        "is not for the care of patients. Other scanners, populations, protocols and diseases "
        "than the training set's have not been tried; look at results before you rely on them."
    )
    yield ""
    yield f"- It has learnt from {len(training)} cases of {len(patients)} patients or groups."
    if record.labelled:
        yield f"- Of these, only a part had labels (`--labelled {Path(record.labelled).name}`)."
    if record.fine:
        yield f"- Of these, only a part had fine labels (`--fine {Path(record.fine).name}`)."
    if record.teachers:
        yield f"- It was distilled from {len(record.teachers)} trained networks."
    if record.seen_by_teachers:
        yield f"- {leakage(record.seen_by_teachers, len(record.split['val']))}"
    if record.noise is not None:
        yield f"- Its support labels were bent to a Dice of {record.noise:g}."
    if not run.finished:
        yield "- Its run is not finished: it has never been evaluated."
    elif run.summary.get("took_off") is False:
        yield "- Its validation Dice never took off: it has learnt next to nothing."
    if record.fold == "all":
        yield "- It was trained on all cases: nothing was held out to judge it by."
    supports = [n for n in record.spec.tree.leaf_names if n not in _asked(run)]
    if supports:
        yield (
            f"- It was asked for {', '.join(sorted(_asked(run)))}. Other classes "
            f"({', '.join(supports)}) support these; their quality is what the table below says."
        )


def _asked(run: Run) -> set[str]:
    target = run.record.spec.target
    names = run.record.spec.tree.leaf_names
    return {names[i] for g in target.foreground for i in target.groups[g]}


def _spacing(run: Run) -> str:
    plan = run.record.plan
    if plan.unit == "voxel":
        return "of unknown voxel size"
    known = [f"{s:.3g}" for s in plan.spacing if s is not None]
    return f"resampled to {' x '.join(known)} mm"


def _labels(run: Run) -> Iterator[str]:
    record = run.record
    values = group_values(run.method.cells, record.spec.default_scheme)
    yield f"Integers that it writes: {', '.join(f'{v} {n}' for n, v in values.items())}."
    yield ""
    yield "```"
    yield record.spec.tree.draw()
    yield "```"
    yield ""
    yield f"Asked by default: {record.spec.target}."
    for node, code in record.spec.codes.items():
        yield f"- {node}: {code.scheme} {code.value} ({code.meaning})"


def _data(run: Run) -> Iterator[str]:
    record = run.record
    described = _described(run)
    for key in ("description", "reference"):
        if text := described.get(key):
            yield f"{key.capitalize()}: {_plain(text)}"
            yield ""
    yield "| split | cases | patients or groups |"
    yield "| --- | ---: | ---: |"
    for split, names in record.split.items():
        yield f"| {split} | {len(names)} | {len({record.groups.get(n, n) for n in names})} |"
    yield ""
    yield f"Fingerprint of names and files: `{record.dataset['fingerprint']}`."


def _figures(run: Run, which: Which) -> Iterator[str]:
    file = run.path / ("metrics.csv" if which == run.reported else f"metrics-{which}.csv")
    if not file.is_file():
        yield "None: no held-out case was evaluated with this checkpoint."
        return
    table = read_table(file)
    shown = metric_columns(table, Shown.HEADLINE)
    unit = str(table["unit"].iloc[0]) if "unit" in table else "mm"
    heads = [METRICS.get(name).axis(unit) for name in shown]
    yield f"Mean over {run.summary['split']} cases, with its 95 % interval over patients."
    yield ""
    yield f"| question | class | cases | {' | '.join(heads)} |"
    yield f"| --- | --- | ---: |{' ---: |' * len(heads)}"
    for (question, name), rows in table.groupby(["coarsening", "class"], sort=False):
        groups = rows["group"].where(rows["group"] != "", rows["case"]).to_numpy()
        cells = []
        for metric in shown:
            found = bootstrap_ci(rows[metric].to_numpy(), groups)
            digits = METRICS.get(metric).decimals
            cells.append(_interval(found.mean, found.low, found.high, digits))
        yield f"| {question} | {name} | {len(rows)} | {' | '.join(cells)} |"
    yield ""
    if run.record.selection != "val" and run.summary["split"] == "val":
        yield "These cases chose nothing: the last checkpoint is reported."
    else:
        yield "Validation cases chose the checkpoint; the cases of the table did not."


def _interval(mean: float, low: float, high: float, digits: int) -> str:
    if mean != mean:
        return "-"
    text = f"{mean:.{digits}f}"
    return text if low != low else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def _protocol(run: Run) -> Iterator[str]:
    record, plan = run.record, run.record.plan
    facts: dict[str, Any] = {
        "method": record.method,
        "what its losses see": "; ".join(" | ".join(groups) for groups in record.on),
        "fold": record.fold,
        "seed": record.train.seed,
        "steps": run.summary["steps"] if run.finished else record.train.steps,
        "patch": " x ".join(map(str, plan.patch_size)),
        "batch": plan.batch_size,
        "chosen by": "validation Dice" if record.selection == "val" else "nothing (the last step)",
        "empty masks": run.summary["empty"] if run.finished else "",
        "shortcuts": sentence(run.shortcuts) if run.shortcuts else "",
        "versions": ", ".join(f"{k} {v}" for k, v in record.versions.items()),
    }
    for name, value in facts.items():
        if value != "":
            yield f"- {name}: {value}"


def _licences(run: Run) -> Iterator[str]:
    described = _described(run)
    licence = described.get("licence") or described.get("license") or _NOT_SAID
    yield f"- data: {_plain(licence)}"
    for told in _support_licences(run):
        yield f"- support labels: {told}"
    yield "- software: Hinterland, Apache-2.0"
    yield ""
    yield (
        "The weights may be bound by the licences of data and support labels: `non-commercial` "
        "and `share alike` are for you to settle before you pass them on."
    )


def _support_licences(run: Run) -> Iterator[str]:
    """Tell source and licence of each addition of support labels, the latest first."""
    file = provenance_of(Path(run.record.dataset["path"]))
    found: Any = _read(file) if file is not None else None
    while isinstance(found, Mapping) and found:
        source = found.get("source")
        kind = source.get("kind", "") if isinstance(source, Mapping) else ""
        terms = found.get("licence")
        if isinstance(terms, Mapping):
            words = " ".join(str(terms.get(key, "")) for key in ("name", "text", "url"))
            yield f"{kind}: {_plain(words)}"
        else:
            yield f"{kind or 'masks'}: {_NOT_SAID}"
        found = found.get("before")


def _plain(text: Any) -> str:
    """Return a text of somebody else on one line, without control characters and tags."""
    line = " ".join(str(text).split()).replace("<", "&lt;")
    return "".join(c for c in line if c.isprintable())


def _described(run: Run) -> dict[str, Any]:
    """Return what dataset.json says of itself; nothing where the data set is gone."""
    return _read(Path(run.record.dataset["path"]) / "dataset.json")


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_object(file) if file.is_file() else {}
    except HinterlandError:
        return {}
