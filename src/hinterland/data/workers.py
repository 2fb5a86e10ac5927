"""One function over many cases in several processes, none of which may die unnoticed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from hinterland.types import HinterlandError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_cases(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    names: Sequence[str],
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """`[function(item) for item in items]`, in that order, `workers` at a time.

    With 0 workers (or one item) everything runs in this process. `progress(done, total)` is called
    after each item. Raises HinterlandError with the case's name when the function does so or when
    the process that works on the case dies (as it does when memory runs out), and RuntimeError with
    the worker's traceback for anything else. Never more than `workers` cases are in memory.
    """
    report = progress or (lambda done, total: None)
    if workers <= 0 or len(items) <= 1:
        results = []
        for item, name in zip(items, names, strict=True):
            try:
                results.append(function(item))
            except HinterlandError as error:
                raise HinterlandError(f"case {name!r}: {error}") from error
            report(len(results), len(items))
        return results
    pool = [_Worker.start(function) for _ in range(min(workers, len(items)))]
    try:
        return _distribute(pool, items, names, report)
    finally:
        for worker in pool:
            worker.stop()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    busy: int | None = None

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

    def stop(self) -> None:
        self.connection.close()
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()


def _distribute(
    pool: list[_Worker],
    items: Sequence[Any],
    names: Sequence[str],
    report: Callable[[int, int], None],
) -> list[Any]:
    results: dict[int, Any] = {}
    waiting = iter(range(len(items)))

    def hand_out(worker: _Worker) -> None:
        worker.busy = next(waiting, None)
        if worker.busy is not None:
            worker.connection.send(items[worker.busy])

    for worker in pool:
        hand_out(worker)
    while busy := {w.connection: w for w in pool if w.busy is not None}:
        for connection in wait(list(busy)):
            worker = busy[connection]  # type: ignore[index]
            assert worker.busy is not None
            name = names[worker.busy]
            try:
                kind, value = worker.connection.recv()
            except (EOFError, OSError):
                # only the worker holds the other end: it is dead
                raise _death(worker, name) from None
            if kind == "user":
                raise HinterlandError(f"case {name!r}: {value}")
            if kind == "bug":
                raise RuntimeError(f"case {name!r}: {value}")
            results[worker.busy] = value
            report(len(results), len(items))
            hand_out(worker)
    return [results[i] for i in range(len(items))]


def _death(worker: _Worker, name: str) -> HinterlandError:
    worker.process.join(timeout=5)
    code = worker.process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended ({code})"
    return HinterlandError(
        f"case {name!r}: the process working on it {how}. If it was signal 9, memory ran out: use "
        "fewer workers (0 works on one case at a time) or a machine with more memory. Cases that "
        "were finished are kept."
    )


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
            answer = ("done", function(item))
        except HinterlandError as error:
            answer = ("user", str(error))
        except MemoryError:
            answer = ("user", "memory ran out. Use fewer workers or a machine with more memory.")
        except Exception:
            answer = ("bug", traceback.format_exc())
        try:
            connection.send(answer)
        except (BrokenPipeError, OSError):
            return
