"""Globs over case names, quick where most of them are plain names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate


class Patterns:
    """Find which globs match a name.

    `classify relabel` writes one entry a case; matching each with every one of them would take
    time with the square of their number.

    Args:
        patterns: of `fnmatch`, each once; case counts.

    >>> Patterns(["a_*", "a_1", "b[12]"]).matching("a_1")
    ['a_*', 'a_1']
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._all = tuple(patterns)
        self._plain: dict[str, int] = {}
        self._globs: list[tuple[int, re.Pattern[str]]] = []
        for index, pattern in enumerate(self._all):
            if set("*?[").isdisjoint(pattern):
                self._plain[pattern] = index
            else:
                self._globs.append((index, re.compile(translate(pattern))))

    def matching(self, name: str) -> list[str]:
        """Return the patterns that match, in their order."""
        found = [index for index, glob in self._globs if glob.match(name)]
        if name in self._plain:
            found.append(self._plain[name])
        return [self._all[index] for index in sorted(found)]
