"""What a class is called in a terminology, such as SNOMED CT: `codes` of labels.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hinterland.errors import LabelError
from hinterland.labels.tree import LabelTree

_KEYS = ("scheme", "value", "meaning")


@dataclass(frozen=True)
class Code:
    """A concept: the terminology's short name (SCT is SNOMED CT), its number there, its words."""

    scheme: str
    value: str
    meaning: str

    def to_dict(self) -> dict[str, str]:
        """Return the content of labels.yaml that reads back to this code."""
        return asdict(self)


def parse_codes(tree: LabelTree, content: Any) -> dict[str, Code]:
    """Read `codes`: node -> "SCT:10200004:Liver", or a mapping with scheme, value and meaning.

    Args:
        tree: Whose nodes may have a code.
        content: What labels.yaml holds.

    Returns:
        Node -> code.

    Raises:
        LabelError: A node that is not in the tree, or a code that is none.
    """
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise LabelError(f"`codes` is {content!r}; expected a mapping, node -> code.")
    found = {}
    for node, given in content.items():
        if node not in tree:
            raise LabelError(
                f"`codes` names {node!r}, which is not in the tree; expected one of "
                f"{', '.join(tree.nodes)}."
            )
        parts = given.split(":", 2) if isinstance(given, str) else given
        if isinstance(parts, Mapping):
            parts = [parts.get(key) for key in _KEYS] if set(parts) == set(_KEYS) else None
        if not isinstance(parts, list) or len(parts) != 3 or not all(parts):
            raise LabelError(
                f"`codes` says {given!r} of {node!r}; expected scheme, number and words, such as "
                "SCT:10200004:Liver (SNOMED CT)."
            )
        words = [str(part).strip() for part in parts]
        if len(words[0]) > 16 or len(words[1]) > 16 or len(words[2]) > 64:
            raise LabelError(
                f"`codes` says {given!r} of {node!r}; expected at most 16 characters of scheme and "
                "number, and 64 of words, as DICOM holds no more."
            )
        found[str(node)] = Code(*words)
    return found
