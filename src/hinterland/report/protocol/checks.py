"""The protocol guard: what makes a comparison worthless, and what a reader must be told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hinterland.report.protocol.protocol import Protocol
from hinterland.types import HinterlandError

UNDERPOWERED = 20
"""Fewer patients than this and a paired test can hardly reach significance."""


@dataclass(frozen=True)
class Finding:
    """One remark on the protocol. `code` is stable, for `allow` and for machines."""

    code: str
    severity: Literal["refuse", "flag"]
    message: str
    runs: tuple[str, ...] = ()


def check_protocol(arms: Sequence[Sequence[Protocol]]) -> list[Finding]:
    """Find everything there is to say against a comparison; an empty list means nothing.

    Refused: `test-selection`, `leak` (a patient on two sides of a split), `tested-on-training`,
    `cases` (different case sets), `empty-policy`, `question`, `convention`, `unit`.
    Flagged: `seed` (not recorded), `seeds` (numbers of seeds differ), `one-seed`, `underpowered`,
    `unrecorded`, `take-off` (runs that never learnt anything), `selection-unknown`, `data`,
    `training-cases`, `settings`.

    Args:
        arms: per method its runs (folds and seeds); only their records are looked at.

    Returns:
        The findings, refusals first.
    """
    runs = [p for arm in arms for p in arm]
    found: list[Finding] = []
    for run in runs:
        found += _split(run)
    found += _same(arms)
    found += _unknown(runs)
    found += _power(runs)
    found += _seeds(arms)
    found += _ground(arms)
    found += _differences(arms)
    return sorted(found, key=lambda f: f.severity != "refuse")


def enforce(findings: Iterable[Finding], allow: Collection[str] = ()) -> list[Finding]:
    """Refuse with every refusal in one message; return the findings otherwise.

    A refusal whose code is in `allow` becomes a flag that says so.

    Raises:
        HinterlandError: something is refused, or `allow` names a check that there is not.
    """
    findings = list(findings)
    unknown = set(allow) - {f.code for f in findings} - set(CODES)
    if unknown:
        raise HinterlandError(
            f"there is no protocol check {sorted(unknown)[0]!r} to allow; "
            f"refusals that can be allowed: {', '.join(CODES)}."
        )
    refused = [f for f in findings if f.severity == "refuse" and f.code not in allow]
    if refused:
        lines = "\n".join(f"  [{f.code}] {f.message}" for f in refused)
        codes = ",".join(dict.fromkeys(f.code for f in refused))
        raise HinterlandError(
            f"this comparison is refused:\n{lines}\n"
            f"Mend the protocol, or allow it knowingly ({codes}); the report then says so."
        )
    return [
        replace(f, severity="flag", message=f"{f.message} (Allowed on request.)")
        if f.severity == "refuse"
        else f
        for f in findings
    ]


CODES = (
    "test-selection", "leak", "tested-on-training", "cases",
    "empty-policy", "question", "convention", "unit",
)  # fmt: skip
"""The codes of refusals."""


def _split(run: Protocol) -> Iterator[Finding]:
    """Check one run's own split and selection rule."""
    sides = {"train": run.train, "val": run.val, "test": run.test}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = run.patients(sides[a]) & run.patients(sides[b])
        if shared:
            yield Finding(
                "leak",
                "refuse",
                f"{run.run}: {_some(shared, 'patient')} on both sides of the split "
                f"({a} and {b}). Split by patient and train again.",
                (run.run,),
            )
    seen = run.patients(run.evaluated) & run.patients(run.train)
    if seen:
        yield Finding(
            "tested-on-training",
            "refuse",
            f"{run.run}: {_some(seen, 'evaluated patient')} also among the training cases. "
            "Evaluate on cases that the run has not seen.",
            (run.run,),
        )
    taught = run.patients(run.evaluated) & run.patients(run.taught)
    if taught:
        yield Finding(
            "tested-on-training",
            "refuse",
            f"{run.run}: {_some(taught, 'evaluated patient')} also among the training cases of its "
            "teachers. Evaluate on test cases, or distil runs that hold out the same cases.",
            (run.run,),
        )
    rule = (run.selection or "").lower()
    if "test" in rule:
        yield Finding(
            "test-selection",
            "refuse",
            f"{run.run}: the checkpoint was selected on the test set (selection: "
            f"{run.selection}). Select on validation cases.",
            (run.run,),
        )
    chosen = run.patients(run.evaluated) & run.patients(run.val)
    if "val" in rule and chosen:
        yield Finding(
            "test-selection",
            "refuse",
            f"{run.run}: the checkpoint was selected on {_some(chosen, 'patient')} that are also "
            "evaluated. Evaluate on others, or evaluate the last checkpoint.",
            (run.run,),
        )


def _unknown(runs: Sequence[Protocol]) -> Iterator[Finding]:
    """Name what could not be checked, because nobody wrote it down."""
    bare = tuple(p.run for p in runs if not p.recorded)
    if bare:
        yield Finding(
            "unrecorded",
            "flag",
            f"bare metrics without a config.yaml: {_few(bare)}. Split, seed and selection rule are "
            "unknown, so that nothing about them was checked.",
            bare,
        )
    silent = tuple(p.run for p in runs if p.recorded and not p.selection)
    if silent:
        yield Finding(
            "selection-unknown",
            "flag",
            f"the rule that selected the checkpoint is not recorded: {_few(silent)}.",
            silent,
        )
    seedless = tuple(p.run for p in runs if p.recorded and p.seed is None)
    if seedless:
        yield Finding("seed", "flag", f"no seed recorded: {_few(seedless)}.", seedless)


def _same(arms: Sequence[Sequence[Protocol]]) -> Iterator[Finding]:
    """Check what must be equal between all runs, or the difference is not the method's."""
    names = [_arm_name(arm) for arm in arms]
    cases = [{c for p in arm for c in p.evaluated} for arm in arms]
    for name, mine in zip(names[1:], cases[1:], strict=True):
        missing, extra = cases[0] - mine, mine - cases[0]
        if missing or extra:
            parts = [f"{name} lacks {_some(missing, 'case')}"] if missing else []
            parts += [f"{names[0]} lacks {_some(extra, 'case')}"] if extra else []
            yield Finding(
                "cases",
                "refuse",
                f"the case sets differ: {'; '.join(parts)}. Evaluate every method on the same "
                "cases; a missing prediction is a failure, not a case less.",
                (names[0], name),
            )
    facts: tuple[tuple[str, str, Callable[[Protocol], str | None]], ...] = (
        ("empty-policy", "policies for empty masks", lambda p: p.empty),
        ("question", "questions (coarsenings)", lambda p: p.question),
        ("convention", "metric conventions", lambda p: p.convention),
        ("unit", "units of distance", lambda p: p.unit),
    )
    for code, what, get in facts:
        values = _by_value(arms, get)
        if len(values) > 1:
            yield Finding(
                code,
                "refuse",
                f"different {what}: {_listing(values)}. Evaluate all runs with the same one.",
                tuple(r for runs in values.values() for r in runs),
            )


def _power(runs: Sequence[Protocol]) -> Iterator[Finding]:
    patients = {p.group(c) for p in runs for c in p.evaluated}
    if len(patients) < UNDERPOWERED:
        n = len(patients)
        least = 2.0 ** (1 - n)
        reach = (
            f"cannot reach significance (the smallest two-sided Wilcoxon p is {least:.2g})"
            if least > 0.05
            else "finds large differences only"
        )
        yield Finding(
            "underpowered",
            "flag",
            f"{n} test {'patient' if n == 1 else 'patients'}, fewer than {UNDERPOWERED}: a paired "
            f"test {reach}. Pool the out-of-fold "
            "predictions of a patient-wise cross-validation.",
        )


def _seeds(arms: Sequence[Sequence[Protocol]]) -> Iterator[Finding]:
    counts = {_arm_name(arm): len({p.seed for p in arm if p.seed is not None}) for arm in arms}
    known = [c for c in counts.values() if c]
    if len(set(known)) > 1:
        listing = ", ".join(f"{n} {c}" for n, c in counts.items())
        yield Finding("seeds", "flag", f"the methods have different numbers of seeds: {listing}.")
    elif known and max(known) == 1:
        yield Finding(
            "one-seed",
            "flag",
            "one seed per method: the intervals show the spread over cases, not over trainings.",
        )


def _ground(arms: Sequence[Sequence[Protocol]]) -> Iterator[Finding]:
    """Flag runs that never left the first transient.

    A mean over them and others describes neither.
    """
    for arm in arms:
        never = [p.run for p in arm if p.took_off is False]
        if never:
            mixed = len(never) < len(arm)
            yield Finding(
                "take-off",
                "flag",
                f"{_few(never)} never took off (validation Dice stayed near zero)"
                + (f"; the figures of {_arm_name(arm)} average {len(never)} such run(s) with "
                   f"{len(arm) - len(never)} that did and describe neither." if mixed else "; its "
                   "figures say that training was too short, nothing of the method."),
                tuple(never),
            )  # fmt: skip


def _differences(arms: Sequence[Sequence[Protocol]]) -> Iterator[Finding]:
    """Name settings that differ beside the method; legitimate, but to be known."""
    prints = _by_value(arms, lambda p: p.fingerprint)
    if len(prints) > 1:
        yield Finding(
            "data",
            "flag",
            f"the data sets have different fingerprints: {_listing(prints)}.",
            tuple(r for runs in prints.values() for r in runs),
        )
    settings: tuple[tuple[str, Callable[[Protocol], str | None]], ...] = (
        ("networks", lambda p: p.network),
        ("training recipes", lambda p: p.recipe),
        ("dimensions", lambda p: f"{p.dims}D" if p.dims else None),
        ("training steps", lambda p: f"{p.steps:,}" if p.steps else None),
    )
    for what, get in settings:
        values = _by_value(arms, get)
        if len(values) > 1:
            yield Finding(
                "settings",
                "flag",
                f"different {what}: {_listing(values)}. The difference is not the method's alone.",
                tuple(r for runs in values.values() for r in runs),
            )
    sides = [frozenset((p.fold, frozenset(p.train)) for p in arm if p.train) for arm in arms]
    if len({s for s in sides if s}) > 1:
        sizes = {_arm_name(arm): sorted({len(p.train) for p in arm}) for arm in arms}
        listing = ", ".join(f"{n} {'/'.join(map(str, s))}" for n, s in sizes.items())
        yield Finding("training-cases", "flag", f"the training cases differ: {listing} cases.")
    labels = {_arm_name(arm): sorted({p.labels for p in arm if p.labels}) for arm in arms}
    if len({tuple(said) for said in labels.values() if said}) > 1:
        listing = "; ".join(f"{n}: {' / '.join(said) or 'unknown'}" for n, said in labels.items())
        yield Finding("labels", "flag", f"the training cases had different labels: {listing}.")


def _arm_name(arm: Sequence[Protocol]) -> str:
    return arm[0].run if len(arm) == 1 else f"{arm[0].run} (+{len(arm) - 1})"


def _by_value(
    arms: Sequence[Sequence[Protocol]], get: Callable[[Protocol], str | None]
) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for arm in arms:
        for run in arm:
            value = get(run)
            if value is not None:
                values.setdefault(str(value), []).append(run.run)
    return values


def _listing(values: dict[str, list[str]]) -> str:
    return "; ".join(f"{value} ({_few(runs)})" for value, runs in values.items())


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _some(items: Collection[str], noun: str) -> str:
    plural = noun if len(items) == 1 else f"{noun}s"
    return f"{len(items)} {plural} ({_few(sorted(items))})"
