"""What labels.yaml says: tree, schemes, questions, and which case is annotated how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening
from hinterland.labels.codes import Code, parse_codes
from hinterland.labels.label_sets import LabelSetTable
from hinterland.labels.parsing import (
    CaseSettings,
    check_keys,
    check_supervision,
    parse_cases,
    parse_pattern,
    parse_questions,
    parse_schemes,
    parse_tree,
    within,
)
from hinterland.labels.patterns import Patterns
from hinterland.labels.regions import tree_of_dataset_json
from hinterland.labels.scheme import UNLABELLED, Scheme
from hinterland.labels.strict_yaml import read_yaml
from hinterland.labels.tree import REMAINDER_NAMES, LabelTree

_KEYS = (
    "tree", "remainder", "target", "schemes", "cases", "group_pattern", "spacing", "image_labels",
    "codes",
)  # fmt: skip


@dataclass(frozen=True)
class LabelSpec:
    """The meaning of a data set's labels.

    Attributes:
        questions: name -> coarsening; the first is asked by default (`target`).
        cases: glob pattern -> settings; for one case the later pattern wins, key by key.
        image_labels: file with image-level labels, relative to labels.yaml; or None.
        codes: node -> what it is called in a terminology, for DICOM-SEG.
    """

    tree: LabelTree
    schemes: Mapping[str, Scheme]
    questions: Mapping[str, Coarsening]
    cases: Mapping[str, CaseSettings] = field(default_factory=dict)
    group_pattern: str | None = None
    spacing_known: bool = True
    image_labels: str | None = None
    codes: Mapping[str, Code] = field(default_factory=dict)

    @property
    def target(self) -> Coarsening:
        """The question asked by default."""
        return next(iter(self.questions.values()))

    @property
    def default_scheme(self) -> Scheme:
        """`full` if there is one, else the first scheme that has values."""
        if "full" in self.schemes:
            return self.schemes["full"]
        return next(s for s in self.schemes.values() if s.values)

    @property
    def label_sets(self) -> LabelSetTable:
        """The table of leaf sets that batches point into."""
        return LabelSetTable.of(self.tree, self.schemes.values())

    def scheme(self, name: str) -> Scheme:
        """Look up a scheme by name; `none` is always there.

        Raises:
            LabelError: there is no such scheme.
        """
        if name == UNLABELLED:
            return Scheme(UNLABELLED, self.tree)
        if name not in self.schemes:
            raise LabelError(
                f"there is no annotation scheme {name!r}; labels.yaml has: "
                f"{', '.join([*self.schemes, UNLABELLED])}"
            )
        return self.schemes[name]

    def case_settings(self, name: str) -> CaseSettings:
        """Find one case's settings: every glob that matches, later ones win; then the pattern.

        Raises:
            LabelError: `group_pattern` does not match the name.
        """
        found: dict[str, str | None] = {}
        for pattern in self._patterns.matching(name):
            found |= {k: v for k, v in vars(self.cases[pattern]).items() if v is not None}
        if self.group_pattern and "group" not in found:
            match = re.search(self.group_pattern, name)
            group = match and match.group(1 if match.groups() else 0)
            if not group:
                raise LabelError(
                    f"group_pattern {self.group_pattern!r} does not match the case {name!r}; "
                    "it must find the patient in every case name (as its first bracket, if it "
                    "has one)."
                )
            found["group"] = group
        return CaseSettings(**found)

    @cached_property
    def _patterns(self) -> Patterns:
        return Patterns(self.cases)

    def question(self, text: str) -> Coarsening:
        """Parse a coarsening.

        A question's name, `leaves`, `top`, `target`, or expressions joined by `/`
        ("lung+infection/rest"). A question among them stands for its foreground groups:
        "target/lung" is the target beside one support structure.
        """
        self._refuse_ambiguous(text)
        if text in self.questions:
            return self.questions[text]
        known = self._own_words
        if text in known:
            return known[text]
        if text == "top" and "top" not in self.tree:
            return self.tree.top
        parts = [text] if text in self.tree else [part.strip() for part in text.split("/")]
        with within(f"question {text!r} (named ones: {', '.join([*self.questions, 'leaves'])})"):
            return Coarsening.complete(self.tree, [g for part in parts for g in self._groups(part)])

    @property
    def _own_words(self) -> dict[str, Coarsening]:
        """The questions that need no name in labels.yaml."""
        return {"leaves": self.tree.leaves, "target": self.target}

    def _refuse_ambiguous(self, text: str) -> None:
        """Refuse a class that has a word of ours for its name and means something else."""
        ours = self._own_words.get(text)
        if ours is None or text not in self.tree:
            return
        node = self.tree.leaves_under(text)
        if set(ours.groups) != {node, self.tree.all_leaves - node}:
            raise LabelError(
                f"{text!r} is a class of the label tree and also our word for the question "
                f"({ours}). Expected one meaning: name the question in labels.yaml, as in "
                f"`target: {{mine: [{text}]}}`, and ask for it by that name, or rename the class."
            )

    def _groups(self, part: str) -> list[tuple[str, frozenset[int]]]:
        """List the named groups that one part of a question's text stands for."""
        self._refuse_ambiguous(part)
        if part in self.tree or part not in {*self.questions, "target"}:
            return [(part, self.tree.parse(part))]
        asked = self.questions.get(part, self.target)
        return [(asked.names[i], asked.groups[i]) for i in asked.foreground]

    def coarse_scheme(self, name: str, at: Coarsening | None = None, naive: bool = False) -> Scheme:
        """Make the scheme of an annotator who only knows the groups of `at`.

        Args:
            name: the scheme that is made coarse.
            at: the groups that the annotator knows; default, the children of the root.
            naive: what this annotator leaves open is taken for the remainder leaf: whatever touches
                the
                background group of `at` means "rest", unless it lies in the foreground.

        Returns:
            The scheme NAME@coarse, or NAME@naive.
        """
        scheme, at = self.scheme(name), at or self.tree.top
        rest = frozenset({self.tree.leaf_names.index(self.tree.remainder)})

        def known(leaves: frozenset[int]) -> frozenset[int]:
            touched = [g for g in at.groups if g & leaves]
            if naive and at.groups[at.background] in touched:
                return rest
            return frozenset().union(*touched)

        values = tuple((v, known(leaves)) for v, leaves in scheme.values)
        return Scheme(f"{name}@{'naive' if naive else 'coarse'}", self.tree, values)

    def with_virtual(self, count: int = 1) -> LabelSpec:
        """Add leaves `virtual1`, ... that no annotation ever means.

        The paper's virtual classes: channels without labels. In every question they belong to the
        background; a value that meant "any" still does.

        Raises:
            LabelError: the tree has a class of such a name.
        """
        names = [f"virtual{i}" for i in range(1, count + 1)]
        if taken := [n for n in names if n in self.tree]:
            raise LabelError(f"the label tree has a class {taken[0]!r} already; rename it.")
        tree = LabelTree(
            {**self.tree.to_dict(), **{n: {} for n in names}},
            remainder=self.tree.remainder,
            virtual=(*sorted(self.tree.virtual), *names),
        )
        empty = frozenset(tree.leaf_names.index(n) for n in names)

        def moved(leaves: frozenset[int], extra: bool) -> frozenset[int]:
            own = {tree.leaf_names.index(self.tree.leaf_names[i]) for i in leaves}
            return frozenset(own) | (empty if extra else frozenset())

        schemes = {
            n: Scheme(
                n, tree, tuple((v, moved(s, s == self.tree.all_leaves)) for v, s in sc.values)
            )
            for n, sc in self.schemes.items()
        }
        questions = {
            n: Coarsening(
                tree, q.names, tuple(moved(g, i == q.background) for i, g in enumerate(q.groups))
            )
            for n, q in self.questions.items()
        }
        return replace(self, tree=tree, schemes=schemes, questions=questions)

    def with_schemes(self, *schemes: Scheme) -> LabelSpec:
        """Add schemes to the specification."""
        return replace(self, schemes={**self.schemes, **{s.name: s for s in schemes}})

    @classmethod
    def load(cls, path: Path | str) -> LabelSpec:
        """Read labels.yaml. LabelError, naming the file, for anything it cannot mean."""
        with within(str(path)):
            return cls.from_dict(read_yaml(Path(path)))

    @classmethod
    def from_dict(cls, data: Any) -> LabelSpec:
        """Read the parsed content of a labels.yaml; see `load`.

        Raises:
            LabelError: it breaks a rule of labels.yaml.
        """
        try:
            return cls._from_dict(data)
        except RecursionError:
            raise LabelError(
                "the content is nested without end; does a YAML alias (*name) contain itself?"
            ) from None

    @classmethod
    def _from_dict(cls, data: Any) -> LabelSpec:
        if not isinstance(data, Mapping):
            raise LabelError(f"got {data!r}; expected a mapping with the keys `tree`, `schemes`.")
        if "tree" not in data:
            raise LabelError(
                f"the key `tree` is missing; there are {[str(k) for k in data]}. Add it."
            )
        check_keys("labels.yaml", data, _KEYS)
        tree = parse_tree(data)
        schemes = parse_schemes(tree, data.get("schemes"))
        zero = _leaf_of_zero(tree, schemes)
        if data.get("remainder") is None and zero in REMAINDER_NAMES and zero != tree.remainder:
            tree = parse_tree({**data, "remainder": zero})  # `other` beside `0: background`
            schemes = parse_schemes(tree, data.get("schemes"))
        spacing = data.get("spacing", "known")
        if spacing not in ("known", "unknown"):
            raise LabelError(f"`spacing` is {spacing!r}; expected `known` or `unknown`.")
        image_labels = data.get("image_labels")
        if image_labels is not None and (not isinstance(image_labels, str) or not image_labels):
            raise LabelError(
                f"`image_labels` is {image_labels!r}; expected the name of a CSV file."
            )
        spec = cls(
            tree=tree,
            schemes=schemes,
            questions=parse_questions(tree, data.get("target")),
            cases=parse_cases(data.get("cases"), schemes),
            group_pattern=parse_pattern(data.get("group_pattern")),
            spacing_known=spacing == "known",
            image_labels=image_labels,
            codes=parse_codes(tree, data.get("codes")),
        )
        if spec.image_labels is None:  # an image label may be what supervises a leaf
            check_supervision(tree, schemes)
        return spec

    def to_dict(self) -> dict[str, Any]:
        """Write the content of a labels.yaml that reads back to an equal specification."""
        leaf = self.tree.leaf_names

        def names(leaves: frozenset[int]) -> Any:
            if leaves == self.tree.all_leaves:
                return "any"
            return self.tree.node_for(leaves) or [leaf[i] for i in sorted(leaves)]

        def nest(children: Mapping[str, Any]) -> dict[str, Any]:
            return {
                n: ({"virtual": True} if n in self.tree.virtual else nest(c))
                for n, c in children.items()
            }

        data: dict[str, Any] = {
            "tree": nest(self.tree.to_dict()),
            "remainder": self.tree.remainder,
            "target": {name: question.to_dict() for name, question in self.questions.items()},
            "schemes": {n: {v: names(s) for v, s in sc.values} for n, sc in self.schemes.items()},
        }  # fmt: skip
        if self.cases:
            data["cases"] = {
                p: {k: v for k, v in vars(s).items() if v is not None}
                for p, s in self.cases.items()
            }
        if self.group_pattern:
            data["group_pattern"] = self.group_pattern
        if not self.spacing_known:
            data["spacing"] = "unknown"
        if self.image_labels:
            data["image_labels"] = self.image_labels
        if self.codes:
            data["codes"] = {node: code.to_dict() for node, code in self.codes.items()}
        return data


def _leaf_of_zero(tree: LabelTree, schemes: Mapping[str, Scheme]) -> str | None:
    """Return the one leaf that 0 means in the default scheme, if it is one."""
    scheme = schemes.get("full") or next(s for s in schemes.values() if s.values)
    leaves = sorted(scheme.label_values.get(0, ()))
    return tree.leaf_names[leaves[0]] if len(leaves) == 1 else None


def spec_from_dataset_json(content: Mapping[str, Any]) -> LabelSpec:
    """Make the specification that a plain nnU-Net dataset.json implies: every label is a leaf.

    Regions become inner nodes where they nest, and one overlapping question each where they do
    not; nnU-Net's ignore label becomes "any".

    Raises:
        LabelError: labels without a valid meaning.
    """
    if not isinstance(content, Mapping) or "labels" not in content:
        raise LabelError("the key `labels` is missing; expected a mapping, name -> integer.")
    tree, values, target = tree_of_dataset_json(content["labels"])
    scheme = Scheme("full", tree, tuple((v, tree.parse(e)) for v, e in values.items()))
    questions = parse_questions(tree, target)
    return LabelSpec(tree=tree, schemes={"full": scheme}, questions=questions)
