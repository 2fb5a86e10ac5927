"""One function over many cases in several processes, none of which may die unnoticed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Literal, TypeVar

from hinterland.types import HinterlandError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of an item: its result, the user's mistake, our own, or its process died."""

    kind: Literal["done", "user", "bug", "died"]
    result: Result | None = None
    message: str = ""


def map_cases(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    names: Sequence[str],
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """`[function(item) for item in items]`, in that order, `workers` at a time.

    With one item everything runs in this process. `progress(done, total)` is called after each
    item. Raises HinterlandError with the case's name when the function does so or when the process
    that works on the case dies (as it does when memory runs out), and RuntimeError with the
    worker's traceback for anything else. Never more than `workers` cases are in memory.
    """
    found: dict[int, Any] = {}
    for index, outcome in outcomes(function, items, workers if len(items) > 1 else 0):
        where = f"case {names[index]!r}: "
        if outcome.kind == "bug":
            raise RuntimeError(where + outcome.message)
        if outcome.kind == "died":
            raise HinterlandError(
                f"{where}the process working on it {outcome.message}, again when it was tried "
                "alone. If it was signal 9, memory ran out: use a machine with more. Cases that "
                "were finished are kept."
            )
        if outcome.kind == "user":
            raise HinterlandError(where + outcome.message)
        found[index] = outcome.result
        if progress:
            progress(len(found), len(items))
    return [found[i] for i in range(len(items))]


def outcomes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[int, Outcome[Result]]]:
    """Pairs (index, outcome) as they come; with 0 workers all in this process, in order.

    An item whose process died is tried again when all others are done, alone: two big scans may
    fit one after the other that did not fit side by side.
    """
    if workers <= 0:
        yield from ((i, _attempt(function, item)) for i, item in enumerate(items))
        return
    suspects = []
    for index, outcome in _round(function, items, range(len(items)), workers):
        if outcome.kind == "died":
            suspects.append(index)
        else:
            yield index, outcome
    for index in suspects:
        yield from _round(function, items, [index], 1)


def _round(
    function: Callable[[Any], Any], items: Sequence[Any], indices: Sequence[int], workers: int
) -> Iterator[tuple[int, Outcome[Any]]]:
    waiting = iter(indices)
    pool: dict[Connection, _Worker] = {}

    def employ(worker: _Worker | None) -> None:
        index = next(waiting, None)
        if index is None:
            if worker:
                worker.stop()
            return
        worker = worker or _Worker.start(function)
        pool[worker.connection] = worker
        worker.give(index, items[index])

    try:
        for _ in range(min(workers, len(indices))):
            employ(None)
        while pool:
            for connection in wait(list(pool)):
                worker = pool.pop(connection)  # type: ignore[call-overload]
                outcome = worker.take()
                yield worker.busy, outcome
                employ(None if outcome.kind == "died" else worker)
    finally:
        for worker in pool.values():
            worker.stop()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    busy: int = -1

    @classmethod
    def start(cls, function: Callable[[Any], Any]) -> _Worker:
        # Forking spares scripts the `if __name__ == "__main__"` guard and the imports.
        method = "fork" if sys.platform == "linux" else "spawn"
        context: BaseContext = multiprocessing.get_context(method)
        ours, theirs = context.Pipe()
        process = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(function, theirs, os.getpid()), daemon=True
        )
        process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, index: int, item: Any) -> None:
        self.busy = index
        with suppress(BrokenPipeError, OSError):  # it died idle: `take` finds out
            self.connection.send(item)

    def take(self) -> Outcome[Any]:
        try:
            return self.connection.recv()
        except (EOFError, OSError):  # only the worker holds the other end: it is dead
            self.process.join(timeout=5)
            code = self.process.exitcode
            killed = code is not None and code < 0
            self.stop()
            return Outcome("died", message=f"was killed by signal {-code}" if killed and code
                           else f"ended ({code})")  # fmt: skip

    def stop(self) -> None:
        self.connection.close()
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()


def _attempt(function: Callable[[Any], Any], item: Any) -> Outcome[Any]:
    try:
        return Outcome("done", function(item))
    except HinterlandError as error:
        return Outcome("user", message=str(error))
    except MemoryError:
        more = "memory ran out. Use fewer workers or a machine with more memory."
        return Outcome("user", message=more)
    except Exception:
        return Outcome("bug", message=traceback.format_exc())


def _work(function: Callable[[Any], Any], connection: Connection, parent: int) -> None:
    while True:
        # a parent that was killed cannot say goodbye, and siblings may hold its end open
        while not connection.poll(2.0):
            if os.getppid() != parent:
                return
        try:
            item = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send(_attempt(function, item))
        except (BrokenPipeError, OSError):
            return
