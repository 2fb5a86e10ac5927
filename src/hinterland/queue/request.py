"""What is asked of a queue: one command, and where it is given."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hinterland.types import HinterlandError

HINTERLAND = "hinterland"
TRIES = 3


@dataclass(frozen=True)
class JobRequest:
    """One command of a queue.

    Attributes:
        words: What is typed after the program.
        folder: The working folder; it must be there on every machine that may do the work.
        program: The Python module that is run: `hinterland`, or one of `benchmarks`.
        tries: How often the command may fail before it is given up.
    """

    words: tuple[str, ...]
    folder: str
    program: str = HINTERLAND
    tries: int = TRIES

    @classmethod
    def here(cls, words: Sequence[str], *, tries: int = TRIES) -> JobRequest:
        """Ask for a command of `hinterland` as if it were typed in the present folder."""
        return cls(tuple(words), str(Path.cwd()), tries=tries)

    @classmethod
    def parse(cls, text: str, file: Path) -> JobRequest:
        """Read a request from its JSON text.

        Args:
            text: The content of a request's file.
            file: Names it in the message.

        Returns:
            The request.

        Raises:
            HinterlandError: The text is no request, or one for another program.
        """
        try:
            found = json.loads(text)
            request = cls(
                tuple(map(str, found["words"])), str(found["folder"]), str(found["program"]),
                int(found["tries"]),
            )  # fmt: skip
        except (ValueError, TypeError, KeyError) as error:
            raise HinterlandError(
                f"{file} is no request of a queue ({error!r}). Remove its folder, and add the "
                "command again."
            ) from error
        if request.program.split(".")[0] not in (HINTERLAND, "benchmarks"):
            raise HinterlandError(
                f"{file} asks for the program {request.program!r}; expected hinterland, or one of "
                "benchmarks. Who has put it there? Remove its folder."
            )
        return request

    def text(self) -> str:
        """Return the JSON text that `parse` reads."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @property
    def name(self) -> str:
        """A folder name that only this command in this folder has: asked twice, it is one job."""
        told = json.dumps([self.program, self.words, self.folder])
        digest = hashlib.blake2b(told.encode(), digest_size=5).hexdigest()
        first = self.words[0] if self.words else self.program
        return f"{''.join(c for c in first if c.isalnum())[:20]}-{digest}"

    def __str__(self) -> str:
        return shlex.join(self.words)
