"""Support labels for a data set, case by case: the way from a source to a data set of its own."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hinterland._version import __version__
from hinterland.data.dataset.files import read_json
from hinterland.data.derived.provenance import PROVENANCE, SHEETS, provenance_of
from hinterland.data.io.files import dataset_hash, file_stamp, write_text
from hinterland.data.io.lock import alone
from hinterland.data.io.volume import read_header, read_label, write_label
from hinterland.labels import LabelSpec
from hinterland.labels.strict_yaml import parse_yaml
from hinterland.supports.grid import on_grid
from hinterland.supports.grown import Grown, compact, grow
from hinterland.supports.merge import Integers
from hinterland.supports.naming import (
    Variant,
    dataset_json,
    image_labels_file,
    integers_of,
    main_scheme,
    new_spec,
)
from hinterland.supports.output import Output
from hinterland.supports.quality import Row, flagged, measure, summary, to_csv
from hinterland.supports.sources.source import UNKNOWN, Source
from hinterland.supports.structures import (
    Structure,
    check_nodes,
    choose,
    lesion_leaves,
    not_supports,
)
from hinterland.types import Case, Dataset, HinterlandError, Report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options for adding supports.

    Attributes:
        resample: masks on another grid are resampled (nearest neighbour).
        copy: images are copied, not linked.
        accept_licence: the licence of foreign weights was read and accepted.
    """

    resample: bool = False
    copy: bool = False
    accept_licence: bool = False
    overwrite: bool = False


def choose_cases(
    dataset: Dataset, wanted: Sequence[str] | None = None, unlabelled: bool = False
) -> tuple[Case, ...]:
    """Return the cases to work on: by default all but the test cases; or splits, names and globs.

    Cases without a label file are left out unless `unlabelled`.

    Args:
        dataset: the cases.
        wanted: splits, names and globs; default, all but the test cases.
        unlabelled: whether cases without a label file are taken, too.

    Returns:
        The cases, in the data set's order.

    Raises:
        HinterlandError: a word that finds no case, or no case is left.
    """
    chosen = [c for c in dataset.cases if c.split != "test"]
    if wanted:
        picked: set[str] = set()
        for word in wanted:
            found = {c.name for c in dataset.cases if word in (c.split, c.name, "all")}
            found = found or {c.name for c in dataset.cases if fnmatchcase(c.name, word)}
            if not found:
                raise HinterlandError(
                    f"--cases {word}: no case is called so; expected train, val, test, all, or "
                    f"names and globs such as {dataset.cases[0].name}."
                )
            picked |= found
        chosen = [c for c in dataset.cases if c.name in picked]
    labelled = [c for c in chosen if unlabelled or c.labelled]
    if not labelled:
        raise HinterlandError(
            f"none of the {len(chosen)} cases chosen has a label file. Give --unlabelled to write "
            "support labels for cases whose lesions nobody has drawn."
        )
    return tuple(labelled)


def add_supports(
    dataset: Dataset,
    source: Source,
    out: Path,
    cases: Sequence[Case],
    patterns: Sequence[str] | None = None,
    options: Options | None = None,
    *,
    labels: Path | None = None,
    tick: Report | None = None,
) -> dict[str, Any]:
    """Write a copy of the data set in which the source's structures are labelled, too.

    Annotations always win over the source (see `merge`). Interrupted, the same call goes on where
    it
    stopped. What can be refused is refused before the first case.

    Args:
        dataset: the data set.
        source: where the structures come from.
        out: the folder to write.
        cases: the cases to work on.
        patterns: see `choose`; None takes the source's default.
        options: see `Options`.
        labels: the labels.yaml that the data set was read with, if it lies elsewhere.
        tick: called with (done, of how many).

    Returns:
        The content of supports/quality.json: per structure the figures of the quality sheet, and
        what
        the summary of a run says.

    Raises:
        HinterlandError: a case, a structure or `out` does not allow it.
    """
    options = options or Options()
    _check_licence(source, options.accept_licence)
    work = _Work(dataset, source, Output(Path(out), dataset), tuple(cases), options, labels)
    structures = work.choose(patterns)
    if work.output.claim(work.asked(structures), options.overwrite):
        work.output.tidy()
        return work.found()
    with alone(work.output.work, str(out)):
        try:
            facts: dict[str, Any] = {}
            for done, case in enumerate(cases, start=1):
                facts[case.name] = work.known(case) or work.segment(case)
                if tick:
                    tick(done, len(cases), case.name)
            return work.finish(facts)
        except BaseException:
            work.output.give_up()
            raise


def _check_licence(source: Source, accepted: bool) -> None:
    if source.licence is None:
        return
    if not accepted:
        raise HinterlandError(
            f"the weights stand under a licence:\n\n{source.licence}\n\nIf you accept it, give the "
            "command again with --accept-licence."
        )
    log.info("licence of the weights: %s", source.licence)


@dataclass
class _Work:
    """One call of `add_supports`."""

    dataset: Dataset
    source: Source
    output: Output
    cases: tuple[Case, ...]
    options: Options
    labels: Path | None
    structures: tuple[Structure, ...] = ()

    def choose(self, patterns: Sequence[str] | None) -> tuple[Structure, ...]:
        """Fix the structures; refuse whatever can be refused before the first case."""
        patterns = patterns or self.source.default
        if patterns is None:
            names = ", ".join(self.source.names)
            raise HinterlandError(
                "say which structures to add, with --structures NAME,NAME=NODE,... (or `all`). The "
                f"source has: {names}."
            )
        skip = not_supports(self.dataset.labels, self.source.names)
        self.structures = choose(patterns, self.source.names, skip)
        check_nodes(self.structures, self.dataset.labels)
        self.source.check(self.dataset, self.cases, self.structures)
        every = frozenset(self.nodes)
        _readable(self._spec({c.name: Variant(c.scheme, every) for c in self.cases}))
        return self.structures

    @property
    def nodes(self) -> list[str]:
        return [s.node for s in self.structures]

    @cached_property
    def grown(self) -> Grown:
        return grow(self.dataset.labels, self.nodes)

    @cached_property
    def integers(self) -> Integers:
        schemes = list(dict.fromkeys(c.scheme for c in self.cases))
        lesions = self.grown.moved(lesion_leaves(self.dataset.labels))
        return Integers(self.grown.spec, schemes, self.nodes, lesions)

    def _spec(self, variants: Mapping[str, Variant]) -> LabelSpec:
        return new_spec(self.grown.spec, self.integers, self.dataset, variants)

    def asked(self, structures: Sequence[Structure]) -> dict[str, Any]:
        """Tell what makes two calls the same work."""
        return {
            "dataset": str(self.dataset.root.resolve()),
            "labels": repr(self.dataset.labels.to_dict()),
            "source": json.loads(json.dumps(self.source.provenance(), default=str)),
            "structures": {s.node: list(s.sources) for s in structures},
            "cases": [c.name for c in self.cases],
            "resample": self.options.resample,
        }

    def known(self, case: Case) -> dict[str, Any] | None:
        """Return the facts of a finished case; None where the case must be done anew.

        A case is finished if its files are as they were and its label file is the one that was
        written.
        """
        path = self.output.fact_of(case)
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return None
        label = self.output.work / self.output.label_of(case)
        same = facts["fingerprint"] == self._fingerprint(case)
        return facts if same and label.is_file() and file_stamp(label) == facts["stamp"] else None

    def _fingerprint(self, case: Case) -> str:
        return f"{dataset_hash(self.dataset, [case])} {self.source.stamp(case)}".strip()

    def segment(self, case: Case) -> dict[str, Any]:
        """Look at one case and write its label file, then what is known of it."""
        support = self.source.segment(case, self.structures)
        support = on_grid(support, case, self.options.resample)
        partly = bool((support.index == UNKNOWN).any())
        variant = Variant(case.scheme, support.provided, partly)
        merge = self.integers.merge(variant.scheme, variant.provided, variant.partly)
        annotation = None if case.label is None else read_label(case.label, case.images[0]).array[0]
        if annotation is not None and annotation.shape != support.index.shape:
            raise HinterlandError(
                f"case {case.name}: its label file has the shape {annotation.shape} and its image "
                f"{support.index.shape} (z, y, x). Run `hinterland check`."
            )
        try:
            written, kept = merge.apply(annotation, support.index)
        except HinterlandError as error:
            raise HinterlandError(f"case {case.name}: {error}") from None
        path = self.output.work / self.output.label_of(case)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = read_header(case.images[0])
        write_label(path, written, like=image, overwrite=True)
        lesion = np.zeros(written.shape, bool)
        if annotation is not None:
            meaning = self.integers.annotation(case.scheme)
            inside = [v for v, s in meaning.items() if s <= self.integers.lesions]
            lesion = np.isin(annotation, inside)
        z, y, x = image.spacing
        ml = z * y * x / 1000 if self.dataset.spacing_known else None
        rows = measure(
            case.name, self.nodes, support.provided, dict(support.overlaps), support.index, kept,
            lesion, ml,
        )  # fmt: skip
        facts = {
            "provided": sorted(support.provided),
            "partly": partly,
            "fingerprint": self._fingerprint(case),
            "stamp": file_stamp(path),
            "rows": [asdict(r) for r in rows],
        }
        write_text(self.output.fact_of(case), json.dumps(facts))
        return facts

    def finish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write labels.yaml, dataset.json and sheets; then give the folder its name."""
        variants = {
            c.name: Variant(c.scheme, frozenset(facts[c.name]["provided"]), facts[c.name]["partly"])
            for c in self.cases
        }
        spec, work, root = self._spec(variants), self.output.work, self.dataset.root
        table = image_labels_file(self.dataset, self.labels)
        if table is not None:
            spec = replace(spec, image_labels=table.name)
            write_text(work / table.name, table.read_text(encoding="utf-8"))
        write_text(work / "labels.yaml", _readable(spec))
        scheme = main_scheme(spec, self.cases)
        if (root / "dataset.json").is_file():
            content = dataset_json(read_json(root / "dataset.json"), scheme)
            write_text(work / "dataset.json", json.dumps(content, indent=1))
        rows = flagged([Row(**r) for c in self.cases for r in facts[c.name]["rows"]])
        found = {
            "out": str(self.output.out),
            "cases": len(self.cases),
            "cases_left": len(self.dataset) - len(self.cases),
            "tree": spec.tree.draw(),
            "integers": integers_of(scheme),
            "structures": summary(rows),
        }
        sheets = work / SHEETS
        write_text(sheets / "quality.csv", to_csv(rows))
        quality = {**found, "rows": [asdict(r) for r in rows]}
        write_text(sheets / "quality.json", json.dumps(quality, indent=1))
        write_text(sheets / PROVENANCE, json.dumps(self._provenance(), indent=1, default=str))
        self.output.finish(self.cases, self.options.copy)
        return found

    def found(self) -> dict[str, Any]:
        """Return what `finish` returned when it gave the folder its name."""
        quality = read_json(self.output.out / SHEETS / "quality.json")
        return {key: value for key, value in quality.items() if key != "rows"}

    def _provenance(self) -> dict[str, Any]:

        licence = self.source.licence
        earlier = provenance_of(self.dataset.root)
        return {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "hinterland": __version__,
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "source": self.source.provenance(),
            "licence": None if licence is None else asdict(licence),
            "structures": {s.node: list(s.sources) for s in self.structures},
            "lesions": [
                self.dataset.labels.tree.leaf_names[i]
                for i in sorted(lesion_leaves(self.dataset.labels))
            ],
            "options": asdict(self.options),
            "dataset": {
                "path": str(self.dataset.root.resolve()),
                "fingerprint": dataset_hash(self.dataset, self.cases),
            },
            "cases": [c.name for c in self.cases],
            "before": None if earlier is None else read_json(earlier),
        }


def _readable(spec: LabelSpec) -> str:
    """Return labels.yaml as text; LabelError where a reader would refuse it."""
    text = yaml.safe_dump(compact(spec), sort_keys=False, allow_unicode=True, width=100)
    LabelSpec.from_dict(parse_yaml(text))
    return text
