"""Hold the version, below every room, so that any of them can name it."""

__version__ = "0.2.0.dev0"
