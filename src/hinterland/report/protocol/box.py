"""The protocol box: what was done, a column a run, differences marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hinterland.report.format import MISSING
from hinterland.report.protocol.protocol import Protocol

_SELECTION = {"none": "nothing (last checkpoint)", "val": "validation cases"}
_VERSIONS = ("hinterland", "python", "torch", "lightning", "monai", "numpy")


@dataclass(frozen=True)
class Row:
    """One line of the box. `differs`: the runs disagree."""

    label: str
    values: tuple[str, ...]
    differs: bool = False
    code: bool = False
    colspan: int = 0


@dataclass(frozen=True)
class Box:
    """The whole box: run names, lines and remarks below."""

    runs: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


_Line = tuple[str, Callable[[Protocol], str | None], bool]


def _never(protocol: Protocol) -> str | None:
    return "never" if protocol.took_off is False else None


_LINES: tuple[_Line, ...] = (
    ("Method", lambda p: p.method, False),
    ("Trained on", lambda p: p.on, False),
    ("Network", lambda p: p.network, False),
    ("Parameters", lambda p: f"{p.parameters:,}" if p.parameters else None, False),
    ("Training recipe", lambda p: p.recipe, False),
    ("Dimensions", lambda p: f"{p.dims}D" if p.dims else None, False),
    ("Steps", lambda p: f"{p.steps:,}" if p.steps else None, False),
    (
        "Take-off (validation Dice at a tenth of its last)",
        lambda p: f"by step {p.take_off:,}" if p.take_off else _never(p),
        False,
    ),
    ("Seed", lambda p: None if p.seed is None else str(p.seed), False),
    ("Fold", lambda p: p.fold, False),
    ("Split (train / val / test)", lambda p: _sizes(p), False),
    ("Training labels", lambda p: p.labels, False),
    ("Evaluated", lambda p: _count(p, p.evaluated), False),
    ("Checkpoint selected on", lambda p: _SELECTION.get(p.selection or "", p.selection), False),
    ("Question", lambda p: p.question, False),
    ("Empty masks", lambda p: p.empty, False),
    ("Definitions", lambda p: p.convention, False),
    ("Distances in", lambda p: p.unit, False),
    ("Data set", lambda p: p.dataset, True),
    ("Fingerprint", lambda p: (p.fingerprint or "")[:16] or None, True),
    ("Versions", lambda p: _versions(p), False),
    ("Git", lambda p: p.git, True),
    ("Command", lambda p: p.command, True),
)
_ADDED = "Parameters added to the first"
_EXPECTED_TO_DIFFER = {
    "Method", "Trained on", "Command", "Seed", "Fold", "Parameters", _ADDED,
}  # fmt: skip


def _lines(protocols: Sequence[Protocol]) -> list[_Line]:
    """List the lines, with the share of added parameters below their number."""
    found = [[line, _added(protocols)] if line[0] == "Parameters" else [line] for line in _LINES]
    return [line for part in found for line in part]


def _added(protocols: Sequence[Protocol]) -> _Line:
    """Make the line of the share of parameters by which each run exceeds the first."""
    first = protocols[0].parameters if protocols else None

    def share(protocol: Protocol) -> str | None:
        if not first or not protocol.parameters:
            return None
        return f"{100 * (protocol.parameters / first - 1):+.3f} %"

    return _ADDED, share, False


def protocol_box(protocols: Sequence[Protocol]) -> Box:
    """Make the box of some runs' protocols.

    A line of which nothing is known is left out; a line on which all runs agree is written once.
    """
    rows = []
    for label, get, code in _lines(protocols):
        values = tuple(get(p) or MISSING for p in protocols)
        if set(values) == {MISSING}:
            continue
        same = len(set(values)) == 1 and len(values) > 1
        rows.append(
            Row(
                label=label,
                values=values[:1] if same else values,
                differs=not same and len(values) > 1 and label not in _EXPECTED_TO_DIFFER,
                code=code,
                colspan=len(values) if same else 0,
            )
        )
    return Box(tuple(p.run for p in protocols), tuple(rows), _notes(protocols))


def _notes(protocols: Sequence[Protocol]) -> tuple[str, ...]:
    policy = {p.empty for p in protocols if p.empty}
    texts = {
        "penalty": "Empty masks, penalty: both empty count as Dice 1, NSD 1 and distance 0; one "
        "empty counts as Dice 0, NSD 0 and the image diagonal.",
        "drop": "Empty masks, drop: both empty leave the case out; one empty counts as Dice 0 and "
        "leaves distances out.",
        "ssl4mis": "Empty masks, ssl4mis: every metric of a case with an empty mask is 0.",
    }
    notes = [texts[p] for p in sorted(policy) if p in texts]
    if any(not p.recorded for p in protocols):
        notes.append("Runs without a config.yaml have nothing more on record.")
    return tuple(notes)


def _sizes(p: Protocol) -> str | None:
    if not (p.train or p.val or p.test):
        return None
    return " / ".join(str(len(side)) for side in (p.train, p.val, p.test)) + " cases"


def _count(p: Protocol, cases: Sequence[str]) -> str:
    patients = len(p.patients(cases))
    if patients == len(cases):
        return f"{len(cases)} cases"
    return f"{len(cases)} cases of {patients} patients"


def _versions(p: Protocol) -> str | None:
    names = [v for v in _VERSIONS if v in p.versions] or list(p.versions)[:6]
    return ", ".join(f"{n} {p.versions[n]}" for n in names) or None
