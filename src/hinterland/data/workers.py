"""Run one function over many cases in several processes, none of which may die unnoticed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Literal, TypeVar

from hinterland.types import HinterlandError, Tick

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
    progress: Tick | None = None,
) -> list[Result]:
    """Return `[function(item) for item in items]`, worked on by `workers` processes at a time.

    With one item everything runs in this process. Never more than `workers` cases are in memory.

    Args:
        function: what is done, importable by a new process.
        items: its arguments.
        names: of the cases, for messages.
        workers: processes.
        progress: called with (done, of how many) after each item.

    Returns:
        The results, in the order of the items.

    Raises:
        HinterlandError: the function raises it, or the process that works on a case dies, as it
            does when memory runs out.
        RuntimeError: anything else happens; with the worker's traceback.
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
    """Yield pairs (index, outcome) as they come; with 0 workers all in this process, in order.

    When a process dies, every item that was being worked on is tried again after all others, alone:
    two big scans may fit one after the other that did not fit side by side.

    Args:
        function: what is done, importable by a new process.
        items: its arguments.
        workers: processes; 0 is this one.

    Yields:
        The index of an item, and what became of it.
    """
    if workers <= 0:
        yield from ((i, _attempt(function, item)) for i, item in enumerate(items))
        return
    waiting, suspects = deque(range(len(items))), list[int]()
    while waiting:
        with _Pool(min(workers, len(waiting))) as pool:
            yield from pool.work(function, items, waiting, suspects)
    for index in suspects:
        with _Pool(1) as pool:
            died = list[int]()
            yield from pool.work(function, items, deque([index]), died)
            if died:
                yield index, Outcome("died", message=pool.epitaph())


class _Pool:
    """A process pool that is given no more items than it can work on, and leaves no process."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        # Forking spares scripts the `if __name__ == "__main__"` guard and the imports.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._executor = ProcessPoolExecutor(workers, context, _leave_with, (os.getpid(),))
        self._before = set(multiprocessing.active_children())
        self._processes: set[BaseProcess] = set()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.terminate()
            process.join()

    def work(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        waiting: deque[int],
        suspects: list[int],
    ) -> Iterator[tuple[int, Outcome[Result]]]:
        """Yield outcomes and empty `waiting`; after a death, add what was running to `suspects`."""
        running: dict[Future[Outcome[Result]], int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._workers:
                    future = self._executor.submit(_attempt, function, items[waiting[0]])
                    running[future] = waiting.popleft()
                self._processes |= set(multiprocessing.active_children()) - self._before
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield running.pop(future), outcome
        except BrokenProcessPool:
            suspects += running.values()

    def epitaph(self) -> str:
        """Say how the (only) process of the pool died."""
        (process,) = self._processes
        # The executor's own thread waits for it too. Whichever comes second is told "no such child"
        # and knows the exit code only once the first has written it down.
        deadline = time.monotonic() + 5
        while (code := process.exitcode) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if code is None:
            return "ended in a way the system does not tell"
        return f"was killed by signal {-code}" if code < 0 else f"ended ({code})"


def _leave_with(parent: int) -> None:
    """End this worker when its parent is gone: one that was killed cannot say goodbye."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
