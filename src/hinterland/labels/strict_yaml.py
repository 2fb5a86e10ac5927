"""Read YAML as labels.yaml needs it: a key that stands twice is an error, not a silent overwrite.

PyYAML is imported when the first file is read: `import hinterland` need not wait for it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hinterland.errors import LabelError

if TYPE_CHECKING:
    import yaml


@cache
def _loader() -> type[yaml.SafeLoader]:
    """Make the safe loader without YAML's rule that the last of several equal keys wins."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: dict[Any, int] = {}
            for key_node, _ in node.value:
                if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                    continue
                key, line = self.construct_object(key_node), key_node.start_mark.line + 1
                if key in seen:
                    raise LabelError(
                        f"line {line}: {key!r} stands twice in one mapping (first in line "
                        f"{seen[key]}); YAML would drop the first one. Remove or rename one."
                    )
                seen[key] = line
            return super().construct_mapping(node, deep)

    return Loader


MOST_ENTRIES = 1_000_000
"""What a text may hold once its aliases (`*name`) are written out."""


def read_yaml(path: Path) -> Any:
    """Read the content of a YAML file.

    Raises:
        LabelError: It is not there, not readable, no YAML, or has a key twice.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise LabelError("this is a pipe or a device; expected a file.")
    try:
        with path.open(encoding="utf-8") as file:
            return parse_yaml(file)
    except FileNotFoundError:
        raise LabelError("there is no such file; expected a labels.yaml.") from None
    except OSError as error:
        raise LabelError(
            f"the file cannot be read: {error.strerror}. Copy it again, or correct its permissions."
        ) from None


def parse_yaml(text: str | IO[str]) -> Any:
    """Parse YAML into plain values, as strictly as `read_yaml`.

    Raises:
        LabelError: It is no YAML, has a key twice, or its aliases multiply beyond all use.
    """
    import yaml

    try:
        content = yaml.load(text, Loader=_loader())  # a safe loader
        entries = _count(content, {})
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, a date such as 2020-13-45
        raise LabelError(f"this is not readable YAML: {error}. Correct it there.") from None
    except RecursionError:
        raise LabelError("the YAML is nested too deeply to be labels. Write it flat.") from None
    if entries > MOST_ENTRIES:
        raise LabelError(
            f"the aliases (*name) of the YAML stand for {entries:.1e} entries; expected at most "
            f"{MOST_ENTRIES:,}. Write the lists out."
        )
    return content


def _count(value: Any, known: dict[int, int]) -> int:
    """Count entries as if aliases were written out, each value once; `known`: id -> entries.

    A value that contains itself is counted as it was found: `LabelSpec.from_dict` refuses it.
    """
    if not isinstance(value, dict | list | tuple):
        return 1
    if id(value) not in known:
        known[id(value)] = 1
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(value)]
