"""A study owns its folder: what another one, or anybody, has put there is not touched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hinterland.data.io.files import TEMPORARY, remove, write_text
from hinterland.types import HinterlandError

RECORD = "study.json"
PARTS = ("runs", "data")


def claim(
    out: Path,
    what: str,
    asked: Mapping[str, Any],
    overwrite: bool,
    *,
    kind: str = "study",
    record: str = RECORD,
    parts: Sequence[str] = PARTS,
) -> None:
    """Make `out` the folder of this study, or find that it is.

    Args:
        out: The folder.
        what: Which study, such as "noise".
        asked: Its settings, in JSON's types. They are kept in `out`, and an interrupted study is
            gone on with if they are the same.
        overwrite: Whether a study with other settings is replaced, or the same one begun anew.
        kind: What messages call it.
        record: The file that keeps the settings.
        parts: Files and folders in `out` that are removed when a study is replaced.

    Raises:
        HinterlandError: `out` holds a study with other settings (and not `overwrite`), or something
            that is no study.
    """
    file = out / record
    content = json.loads(json.dumps({"study": what, **asked}))
    if file.is_file():
        known = {"study": what, **json.loads(file.read_text(encoding="utf-8"))}
        if known == content and not overwrite:
            return
        if not overwrite:
            raise HinterlandError(
                f"{out} holds a {kind} with other settings ({_differences(known, content)}). "
                "Choose another --out, or give --overwrite."
            )
        for part in parts:
            remove(out / part)
    elif out.exists() and (not out.is_dir() or any(map(_finished, out.iterdir()))):
        raise HinterlandError(
            f"{out} is there already and holds no {kind}; nothing in it is touched. Choose "
            "another --out."
        )
    write_text(file, json.dumps(content, indent=1))


def _finished(path: Path) -> bool:
    """Tell a file from what a process that was killed has left of it."""
    return not path.name.startswith(TEMPORARY)


def _differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """List the settings that differ, with both values where they are short."""
    found = []
    for key in {**asked, **known}:
        pair = known.get(key), asked.get(key)
        if pair[0] != pair[1]:
            short = all(not isinstance(v, dict | list) for v in pair)
            found.append(f"{key} {pair[0]}, asked for {pair[1]}" if short else key)
    return "; ".join(found)
