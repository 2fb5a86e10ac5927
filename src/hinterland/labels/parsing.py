"""The parts of a labels.yaml, from parsed YAML to trees, schemes and questions, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening
from hinterland.labels.regions import LARGEST, is_file_integer
from hinterland.labels.scheme import UNLABELLED, Scheme
from hinterland.labels.tree import LabelTree

_CASE_KEYS = ("scheme", "domain", "group")
_QUOTE = "(Quote names that YAML reads as numbers, booleans or dates.)"


@dataclass(frozen=True)
class CaseSettings:
    """What labels.yaml says of one case; None where it says nothing."""

    scheme: str | None = None
    domain: str | None = None
    group: str | None = None


def check_keys(what: str, data: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse a key that nothing reads.

    Args:
        what: the mapping's name, for the message.
        data: the mapping.
        keys: what it may have.

    Raises:
        LabelError: it has another key.
    """
    unknown = [str(k) for k in data if k not in keys]
    if unknown:
        raise LabelError(f"{what} has the unknown key {unknown[0]!r}; it may have {list(keys)}.")


def parse_tree(data: Mapping[str, Any]) -> LabelTree:
    """Parse `tree` and `remainder`; a leaf with `virtual: true` is a virtual class."""
    virtual: list[str] = []

    def strip(nodes: Any) -> Any:
        if not isinstance(nodes, Mapping):
            return nodes
        result = {}
        for name, children in nodes.items():
            if isinstance(children, Mapping) and isinstance(children.get("virtual"), bool):
                if children["virtual"]:
                    virtual.append(name)
                children = {k: v for k, v in children.items() if k != "virtual"}
            result[name] = strip(children)
        return result

    nodes = strip(data["tree"])
    with within("`tree`"):
        return LabelTree(nodes, remainder=data.get("remainder"), virtual=tuple(virtual))


def parse_schemes(tree: LabelTree, data: Any) -> dict[str, Scheme]:
    """Parse `schemes`: name -> {integer: expression}; at least one must have a value.

    Raises:
        LabelError: there is none, or one is wrong.
    """
    if not isinstance(data, Mapping) or not data:
        raise LabelError(
            "`schemes` is missing or empty; expected at least one scheme, such as "
            f"full: {{{', '.join(f'{i}: {n}' for i, n in enumerate(tree.leaf_names))}}}"
        )
    schemes = {}
    for name, values in data.items():
        if not isinstance(name, str) or not name:
            raise LabelError(f"{name!r} cannot name a scheme; expected non-empty text. {_QUOTE}")
        if name == UNLABELLED:
            raise LabelError(
                f"a scheme may not be called {UNLABELLED!r}: it means unlabelled. Rename it."
            )
        if not isinstance(values, Mapping):
            raise LabelError(f"scheme {name!r} is {values!r}; expected integer -> node name.")
        pairs = []
        for value, expression in values.items():
            if not is_file_integer(value):
                raise LabelError(
                    f"scheme {name!r}: {value!r} came as a value of label files; expected an "
                    f"integer from 0 to {LARGEST}, as in `{{0: background}}`."
                )
            with within(f"scheme {name!r}, value {value}"):
                pairs.append((value, tree.parse(expression)))
        schemes[name] = Scheme(name, tree, tuple(pairs))
    if not any(s.values for s in schemes.values()):
        raise LabelError(
            "no scheme has any value: nothing could be learnt from label files."
            " Write what the integers of the label files mean."
        )
    return schemes


def parse_questions(tree: LabelTree, target: Any) -> dict[str, Coarsening]:
    """Parse `target`: a node, a list of nodes (one question), or a mapping of named questions.

    Raises:
        LabelError: the target is none of these.
    """
    if target is None:
        return {"target": tree.leaves}
    if isinstance(target, str):
        target = [target]
    if isinstance(target, list | tuple):
        target = {"target": target}
    if not isinstance(target, Mapping) or not target:
        raise LabelError(
            f"`target` is {target!r}; expected a node, a list of nodes, or several questions "
            "by name, each with its list."
        )
    return {name: parse_question(tree, name, groups) for name, groups in target.items()}


def parse_question(tree: LabelTree, name: Any, groups: Any) -> Coarsening:
    """Parse one question.

    Args:
        tree: the label tree.
        name: what it is called.
        groups: a node, a list of nodes, or a mapping of named groups that holds every leaf.

    Returns:
        The question.

    Raises:
        LabelError: it is none of these.
    """
    if not isinstance(name, str) or not name:
        raise LabelError(f"{name!r} cannot name a question; expected non-empty text. {_QUOTE}")
    with within("`target`" if name == "target" else f"`target`, question {name!r}"):
        if isinstance(groups, Mapping):
            return Coarsening.from_dict(tree, groups)
        if isinstance(groups, str | list | tuple):
            return Coarsening.of(tree, [groups] if isinstance(groups, str) else groups)
        raise LabelError(
            f"{groups!r} is no question; expected a node, a list of nodes, or group name -> nodes."
        )


def parse_cases(data: Any, schemes: Mapping[str, Scheme]) -> dict[str, CaseSettings]:
    """Parse `cases`: name or glob -> {scheme, domain, group}.

    Raises:
        LabelError: a name, a key or a scheme is wrong.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise LabelError(f"`cases` is {data!r}; expected case name or glob -> settings.")
    result = {}
    for pattern, settings in data.items():
        if not isinstance(pattern, str) or not pattern:
            raise LabelError(f"cases: {pattern!r} came as a case name; expected text. {_QUOTE}")
        if not isinstance(settings, Mapping):
            raise LabelError(f"cases: {pattern}: expected {{scheme: ...}}, got {settings!r}.")
        check_keys(f"cases: {pattern}", settings, _CASE_KEYS)
        given = {k: _text(pattern, k, v) for k, v in settings.items() if v is not None}
        if given.get("scheme", UNLABELLED) not in (*schemes, UNLABELLED):
            raise LabelError(
                f"cases: {pattern}: there is no scheme {given['scheme']!r}; "
                f"there are {[*schemes, UNLABELLED]}."
            )
        result[pattern] = CaseSettings(**given)
    return result


def _text(pattern: str, key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise LabelError(f"cases: {pattern}: `{key}` is {value!r}; expected a name. {_QUOTE}")
    return str(value)


def parse_pattern(pattern: Any) -> str | None:
    """Parse `group_pattern`: a regular expression that compiles, or None.

    Raises:
        LabelError: it does not compile.
    """
    if pattern is None:
        return None
    if not isinstance(pattern, str) or not pattern:
        raise LabelError(
            f"`group_pattern` is {pattern!r}; expected a regular expression that finds the patient "
            "in a case name, such as '^patient[0-9]+'."
        )
    try:
        re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise LabelError(
            f"`group_pattern` {pattern!r} is not a regular expression: {error}. Expected one that "
            "finds the patient in a case name, such as '^patient[0-9]+'."
        ) from None
    return pattern


def check_supervision(tree: LabelTree, schemes: Mapping[str, Scheme]) -> None:
    """Refuse a leaf that never wins: each value that allows it allows some other leaf as well.

    A model may then answer with that other leaf everywhere and never be wrong. Virtual leaves are
    neither asked for nor counted as the other leaf.

    Raises:
        LabelError: there is such a leaf.
    """
    sets = [leaves for scheme in schemes.values() for _, leaves in scheme.values]
    real = [i for i, name in enumerate(tree.leaf_names) if name not in tree.virtual]
    for leaf in real:
        rivals = set(real).difference({leaf}).intersection(*(s for s in sets if leaf in s))
        if rivals:
            name, rival = tree.leaf_names[leaf], tree.leaf_names[min(rivals)]
            raise LabelError(
                f"nobody can ever supervise the leaf {name!r}: every value of every scheme that "
                f"allows {name!r} allows {rival!r} too (or none allows it), so that nothing tells "
                f"the two apart. Name {name!r} in a scheme, merge the two into one leaf, or mark "
                f"one of them `{{virtual: true}}`."
            )


@contextmanager
def within(place: str) -> Iterator[None]:
    """Say where a LabelError arose, in front of its message.

    Raises:
        LabelError: the one that arose, with the place.
    """
    try:
        yield
    except LabelError as error:
        raise LabelError(f"{place}: {error}") from None
