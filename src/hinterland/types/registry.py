"""Named entries of one kind, to which other packages may add their own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from hinterland.errors import HinterlandError

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Entries by name: the project's own, registered ones, and those of an entry-point group.

    A package adds an entry either by calling `register`, or by declaring an entry point of the
    group, which is found when a name is first asked for and imported when it is first used:

        [project.entry-points."hinterland.metrics"]
        my-metric = "my_package:METRIC"

    Args:
        kind: what an entry is, in the singular, for messages ("metric").
        group: name of the entry-point group ("hinterland.metrics").
        entries: the project's own, in the order in which `names` gives them.

    Example:
        >>> colours = Registry("colour", "hinterland.colours", {"red": 0xFF0000})
        >>> colours.register("blue", 0x0000FF)
        255
        >>> colours.names()
        ('red', 'blue')
        >>> colours.get("green")
        Traceback (most recent call last):
        ...
        hinterland.errors.HinterlandError: colour 'green': expected one of red, blue
    """

    def __init__(self, kind: str, group: str, entries: Mapping[str, Entry] | None = None) -> None:
        self.kind, self.group = kind, group
        self._entries: dict[str, Entry] = dict(entries or {})
        self._found: dict[str, EntryPoint] | None = None

    def register(self, name: str, entry: Entry) -> Entry:
        """Add an entry and return it.

        Raises:
            HinterlandError: the name is taken.
        """
        if name in self.names():
            raise HinterlandError(
                f"{self.kind} {name!r} is registered already; choose another name. "
                f"Taken: {', '.join(self.names())}"
            )
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> Entry:
        """Return the entry of a name, importing the package that declares it if need be.

        Raises:
            HinterlandError: there is no such name, or its package cannot be imported.
        """
        if name in self._entries:
            return self._entries[name]
        if name not in self._declared():
            raise HinterlandError(
                f"{self.kind} {name!r}: expected one of {', '.join(self.names())}"
            )
        point = self._declared()[name]
        try:
            self._entries[name] = point.load()
        except Exception as error:
            raise HinterlandError(
                f"{self.kind} {name!r} cannot be loaded from {point.value} "
                f"({type(error).__name__}: {error}). Mend or uninstall the package behind it."
            ) from error
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Return all names: the project's own first, then those of other packages."""
        return tuple(dict.fromkeys((*self._entries, *self._declared())))

    def _declared(self) -> dict[str, EntryPoint]:
        """Find the entry points of the group, by name, once."""
        if self._found is None:
            self._found = {}
            for point in sorted(entry_points(group=self.group), key=lambda p: p.name):
                if point.name in self._entries or point.name in self._found:
                    raise HinterlandError(
                        f"{self.kind} {point.name!r} is declared by {point.value} and has another "
                        f"owner already. Uninstall one of the packages that add to {self.group}."
                    )
                self._found[point.name] = point
        return self._found
