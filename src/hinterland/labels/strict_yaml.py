"""Read YAML as labels.yaml needs it: a key that stands twice is an error, not a silent overwrite.

PyYAML is imported when the first file is read: `import hinterland` need not wait for it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def read_yaml(path: Path) -> Any:
    """Read the content of a YAML file.

    Raises:
        LabelError: It is not there, not readable, no YAML, or has a key twice.
    """
    import yaml

    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, Loader=_loader())  # a safe loader
    except FileNotFoundError:
        raise LabelError("there is no such file; expected a labels.yaml.") from None
    except OSError as error:
        raise LabelError(f"the file cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, a date such as 2020-13-45
        raise LabelError(f"this is not readable YAML: {error}") from None
    except RecursionError:
        raise LabelError("the YAML is nested too deeply to be labels.") from None
