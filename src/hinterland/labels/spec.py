"""What labels.yaml says: tree, schemes, questions, and which case is annotated how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hinterland.labels.coarsening import Coarsening
from hinterland.labels.expression import parse_leaves
from hinterland.labels.regions import tree_of_dataset_json
from hinterland.labels.scheme import UNLABELLED, Scheme
from hinterland.labels.table import LeafSetTable
from hinterland.labels.tree import LabelError, LabelTree

_KEYS = (
    "tree", "remainder", "target", "schemes", "cases", "group_pattern", "spacing", "image_labels",
)  # fmt: skip
_CASE_KEYS = ("scheme", "domain", "group")


@dataclass(frozen=True)
class CaseSettings:
    """What labels.yaml says of one case; None where it says nothing."""

    scheme: str | None = None
    domain: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class LabelSpec:
    """The meaning of a data set's labels.

    questions: name -> coarsening; the first is asked by default (`target`).
    cases: glob pattern -> settings; for one case the later pattern wins, key by key.
    image_labels: file with image-level labels, relative to labels.yaml; or None.
    """

    tree: LabelTree
    schemes: Mapping[str, Scheme]
    questions: Mapping[str, Coarsening]
    cases: Mapping[str, CaseSettings] = field(default_factory=dict)
    group_pattern: str | None = None
    spacing_known: bool = True
    image_labels: str | None = None

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
    def table(self) -> LeafSetTable:
        """The table of leaf sets that batches point into."""
        return LeafSetTable.of(self.tree, self.schemes.values())

    def scheme(self, name: str) -> Scheme:
        """A scheme by name; `none` is always there. LabelError otherwise."""
        if name == UNLABELLED:
            return Scheme(UNLABELLED, self.tree)
        if name not in self.schemes:
            raise LabelError(
                f"there is no annotation scheme {name!r}; labels.yaml has: "
                f"{', '.join([*self.schemes, UNLABELLED])}"
            )
        return self.schemes[name]

    def case_settings(self, name: str) -> CaseSettings:
        """The settings of one case: every glob that matches, later ones win; then the pattern."""
        found: dict[str, str | None] = {}
        for pattern, settings in self.cases.items():
            if fnmatchcase(name, pattern):
                found |= {k: v for k, v in vars(settings).items() if v is not None}
        if self.group_pattern and "group" not in found:
            match = re.search(self.group_pattern, name)
            if match is None:
                raise LabelError(
                    f"group_pattern {self.group_pattern!r} does not match the case {name!r}; "
                    "it must find the patient in every case name."
                )
            found["group"] = match.group(1) if match.groups() else match.group(0)
        return CaseSettings(**found)

    def question(self, text: str) -> Coarsening:
        """A coarsening by text: a question's name, `leaves`, `top`, `target`, or expressions
        joined by `/` ("lung+infection/rest")."""
        if text in self.questions:
            return self.questions[text]
        known = {"leaves": self.tree.leaves, "target": self.target}
        if text in known:
            return known[text]
        if text == "top" and "top" not in self.tree:
            return self.tree.top
        return self.tree.coarsen(*[part.strip() for part in text.split("/")])

    def coarse_scheme(self, name: str, at: Coarsening | None = None) -> Scheme:
        """The scheme `name` as an annotator would have used it who only knows the groups of `at`
        (default: the children of the root). Its name is `NAME@coarse`."""
        scheme, at = self.scheme(name), at or self.tree.top
        values = tuple(
            (v, frozenset().union(*(g for g in at.groups if g & leaves)))
            for v, leaves in scheme.values
        )
        return Scheme(f"{name}@coarse", self.tree, values)

    def with_schemes(self, *schemes: Scheme) -> LabelSpec:
        """The same specification with more schemes."""
        from dataclasses import replace

        return replace(self, schemes={**self.schemes, **{s.name: s for s in schemes}})

    @classmethod
    def load(cls, path: Path | str) -> LabelSpec:
        """Read labels.yaml. LabelError, naming the file, for anything it cannot mean."""
        import yaml

        path = Path(path)
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LabelError(f"there is no labels file {path}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise LabelError(f"{path} is not readable YAML: {error}") from None
        try:
            return cls.from_dict(data)
        except LabelError as error:
            raise LabelError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, data: Any) -> LabelSpec:
        """Read the parsed content of a labels.yaml; see `load`."""
        if not isinstance(data, Mapping) or "tree" not in data:
            raise LabelError(f"expected a mapping with the key `tree`, got {type(data).__name__}.")
        _known_keys("labels.yaml", data, _KEYS)
        tree = _tree(data)
        schemes = _schemes(tree, data.get("schemes"))
        spacing = data.get("spacing", "known")
        if spacing not in ("known", "unknown"):
            raise LabelError(f"`spacing` is {spacing!r}; expected `known` or `unknown`.")
        spec = cls(
            tree=tree,
            schemes=schemes,
            questions=_questions(tree, data.get("target")),
            cases=_cases(data.get("cases") or {}, schemes),
            group_pattern=_pattern(data.get("group_pattern")),
            spacing_known=spacing == "known",
            image_labels=data.get("image_labels"),
        )
        if spec.image_labels is None:  # an image label may be what supervises a leaf
            _check_supervision(tree, schemes)
        return spec

    def to_dict(self) -> dict[str, Any]:
        """The content of a labels.yaml that reads back to an equal specification."""
        leaf = self.tree.leaf_names

        def names(leaves: frozenset[int]) -> Any:
            if leaves == self.tree.every:
                return "any"
            return self.tree.node_of(leaves) or [leaf[i] for i in sorted(leaves)]

        def nest(children: Mapping[str, Any]) -> dict[str, Any]:
            return {
                n: ({"virtual": True} if n in self.tree.virtual else nest(c))
                for n, c in children.items()
            }

        data: dict[str, Any] = {
            "tree": nest(self.tree.to_dict()),
            "remainder": self.tree.remainder,
            "target": {q: {n: [leaf[i] for i in sorted(g)] for n, g in zip(c.names, c.groups, strict=True)}
                       for q, c in self.questions.items()},
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
        return data


def spec_from_dataset_json(content: Mapping[str, Any]) -> LabelSpec:
    """The specification that a plain nnU-Net dataset.json implies: every label is a leaf.

    Regions become inner nodes where they nest, and one overlapping question each where they do
    not; nnU-Net's ignore label becomes "any". Raises LabelError for labels that cannot be meant.
    """
    tree, values, target = tree_of_dataset_json(content.get("labels"))
    scheme = Scheme("full", tree, tuple((v, parse_leaves(tree, e)) for v, e in values.items()))
    questions = _questions(tree, target)
    return LabelSpec(tree=tree, schemes={"full": scheme}, questions=questions)


def _known_keys(what: str, data: Mapping[str, Any], keys: Sequence[str]) -> None:
    unknown = [str(k) for k in data if k not in keys]
    if unknown:
        raise LabelError(f"{what} has the unknown key {unknown[0]!r}; it may have {list(keys)}.")


def _tree(data: Mapping[str, Any]) -> LabelTree:
    virtual: list[str] = []

    def strip(nodes: Any) -> Any:
        if not isinstance(nodes, Mapping):
            return nodes
        result = {}
        for name, children in nodes.items():
            if isinstance(children, Mapping) and children.get("virtual") is True:
                virtual.append(name)
                children = {k: v for k, v in children.items() if k != "virtual"}
            result[name] = strip(children)
        return result

    nodes = strip(data["tree"])
    if not isinstance(nodes, Mapping):
        raise LabelError(f"`tree` is {nodes!r}; expected a mapping of class names.")
    return LabelTree(nodes, remainder=data.get("remainder"), virtual=tuple(virtual))


def _schemes(tree: LabelTree, data: Any) -> dict[str, Scheme]:
    if not isinstance(data, Mapping) or not data:
        raise LabelError(
            "`schemes` is missing or empty; expected at least one scheme, such as "
            f"full: {{{', '.join(f'{i}: {n}' for i, n in enumerate(tree.leaf_names))}}}"
        )
    schemes = {}
    for name, values in data.items():
        if name == UNLABELLED:
            raise LabelError(f"a scheme may not be called {UNLABELLED!r}: it means unlabelled.")
        if not isinstance(values, Mapping):
            raise LabelError(f"scheme {name!r} is {values!r}; expected integer -> node name.")
        pairs = []
        for value, expression in values.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise LabelError(f"scheme {name!r}: {value!r} is not an integer of a label file.")
            try:
                pairs.append((value, parse_leaves(tree, expression)))
            except LabelError as error:
                raise LabelError(f"scheme {name!r}, value {value}: {error}") from None
        schemes[str(name)] = Scheme(str(name), tree, tuple(pairs))
    if not any(s.values for s in schemes.values()):
        raise LabelError("no scheme has any value: nothing could be learnt from label files.")
    return schemes


def _questions(tree: LabelTree, target: Any) -> dict[str, Coarsening]:
    """`target` is a node, a list of nodes (one question), or a mapping of named questions."""
    if target is None:
        return {"target": tree.leaves}
    if isinstance(target, str):
        target = [target]
    if isinstance(target, Sequence):
        return {"target": Coarsening.of(tree, target)}
    if isinstance(target, Mapping) and target:
        return {str(name): _question(tree, groups) for name, groups in target.items()}
    raise LabelError(f"`target` is {target!r}; expected a node, a list of nodes, or named lists.")


def _question(tree: LabelTree, groups: Any) -> Coarsening:
    if isinstance(groups, Mapping):
        return Coarsening.from_dict(tree, dict(groups))
    return Coarsening.of(tree, [groups] if isinstance(groups, str) else groups)


def _cases(data: Any, schemes: Mapping[str, Scheme]) -> dict[str, CaseSettings]:
    if not isinstance(data, Mapping):
        raise LabelError(f"`cases` is {data!r}; expected case name or glob -> settings.")
    result = {}
    for pattern, settings in data.items():
        if not isinstance(settings, Mapping):
            raise LabelError(f"cases: {pattern}: expected {{scheme: ...}}, got {settings!r}.")
        _known_keys(f"cases: {pattern}", settings, _CASE_KEYS)
        scheme = settings.get("scheme")
        if scheme is not None and scheme != UNLABELLED and scheme not in schemes:
            raise LabelError(
                f"cases: {pattern}: there is no scheme {scheme!r}; "
                f"there are {[*schemes, UNLABELLED]}."
            )
        result[str(pattern)] = CaseSettings(
            **{k: None if v is None else str(v) for k, v in settings.items()}
        )
    return result


def _pattern(pattern: Any) -> str | None:
    if pattern is None:
        return None
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise LabelError(
            f"group_pattern {pattern!r} is not a regular expression: {error}"
        ) from None
    return str(pattern)


def _check_supervision(tree: LabelTree, schemes: Mapping[str, Scheme]) -> None:
    """Refuse leaves that no combination of annotated sets ever tells from another leaf."""
    sets = [leaves for scheme in schemes.values() for _, leaves in scheme.values]
    signatures: dict[tuple[bool, ...], list[str]] = {}
    for i, leaf in enumerate(tree.leaf_names):
        if leaf not in tree.virtual:
            signatures.setdefault(tuple(i in s for s in sets), []).append(leaf)
    for names in signatures.values():
        if len(names) > 1:
            raise LabelError(
                f"nobody can ever supervise the leaves {names}: no scheme has a value that tells "
                "them apart. Merge them into one leaf, name them in a scheme, or mark all but one "
                "`{virtual: true}`."
            )
