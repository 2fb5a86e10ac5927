"""What a folder holds, in a form in which two folders that hold the same are equal."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

LOGS = ("*/tensorboard/*", "*/progress.json")
"""Files whose names or bytes hold times; what they say is in log.csv too."""
_TIMES = {
    "summary.json": ("seconds_training",),
    "provenance.json": ("made",),
}  # fmt: skip
_DIARY = ".unfinished-"
"""A journal, which stays where an input could not be read: it tells what was done when."""
_DATE = re.compile(rb"\d{4}-\d{2}-\d{2}")

Snapshot = Mapping[str, str]


def snapshot(folder: Path) -> dict[str, str]:
    """Map relative path -> hash of the content; times are left out of the few files that tell them.

    A link counts as where it points to. Logs of TensorBoard and for `watch` are left out.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    names = {path: str(path.relative_to(folder)) for path in files}
    return {name: _hash(path) for path, name in names.items() if not _matches(name, LOGS)}


def _hash(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    content = path.read_bytes()
    if path.name.startswith(_DIARY):
        content = b""
    if keys := _TIMES.get(path.name):
        content = _without(content, keys)
    elif path.name == "report.html":
        content = _DATE.sub(b"", content)
    elif path.suffix == ".ts":
        content = _without_stacks(content)
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _without(content: bytes, keys: Iterable[str]) -> bytes:
    try:
        found = json.loads(content)
    except ValueError:  # half a file: as it is, and so unequal to a whole one
        return content
    return json.dumps({k: v for k, v in found.items() if k not in keys}).encode()


def _without_stacks(content: bytes) -> bytes:
    """TorchScript records who called it: here the campaign, which calls from several places."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            stacks = (".debug_pkl", "serialization_id")  # and the hash of all, them included
            kept = [name for name in file.namelist() if not name.endswith(stacks)]
            return b"".join(name.encode() + file.read(name) for name in kept)
    except zipfile.BadZipFile:
        return content


def differences(found: Snapshot, expected: Snapshot) -> list[str]:
    """Say in which files two folders differ."""
    return [
        *(f"left over: {name}" for name in found if name not in expected),
        *(f"missing: {name}" for name in expected if name not in found),
        *(f"other bytes: {n}" for n in found if n in expected and found[n] != expected[n]),
    ]


def half_files(found: Snapshot, expected: Snapshot, grows: Iterable[str]) -> list[str]:
    """Name the files that stand under their final name with other than their final content.

    Args:
        found: The folder of a process that was stopped.
        expected: The folder of one that was not.
        grows: Globs of files that may be at an earlier state.
    """
    return [
        f"half: {name}"
        for name, content in found.items()
        if name in expected and expected[name] != content and not _matches(name, grows)
    ]


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatch(f"/{name}", f"*{glob}") for glob in globs)
