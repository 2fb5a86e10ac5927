"""Checks in other processes, any of which may be killed without the rest being lost."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def results(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[int, Result | None]]:
    """Pairs (index, result) as they come; the result is None where the process died on the item.

    At most `workers` items are under way at a time, which bounds the memory. A death ends the
    whole pool, so that the items under way are tried again afterwards, each alone in a process of
    its own: two big scans may fit one after the other that did not fit side by side. `function`
    must not raise. With 0 workers everything runs in this process.
    """
    if workers <= 0:
        yield from ((i, function(item)) for i, item in enumerate(items))
        return
    waiting = list(range(len(items)))
    suspects: list[int] = []
    while waiting:
        under_way: dict[Future[Result], int] = {}
        with _pool(min(workers, len(waiting))) as pool:
            try:
                while waiting or under_way:
                    while waiting and len(under_way) < workers:
                        future = pool.submit(function, items[waiting[0]])
                        under_way[future] = waiting.pop(0)
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield under_way.pop(future), result
            except BrokenProcessPool:
                suspects += under_way.values()
    for index in suspects:
        with _pool(1) as pool:
            try:
                answer: Result | None = pool.submit(function, items[index]).result()
            except BrokenProcessPool:
                answer = None
            yield index, answer


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forking spares scripts the `if __name__ == "__main__"` guard and the imports.
    method = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method))
