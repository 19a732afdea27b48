"""Calls of a function on many items in this process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapped(Protocol):
    """Calls a function on each item, and yields the results in the order of the items, as Python's `map`."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Call the function."""
        ...


def in_turn(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Call a function on one item after another, in this thread."""
    for item in items:
        yield function(item)


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Generator[Result, None, None]:
    """Call a function on each item in threads, a few items ahead, and yield the results in order.

    Args:
        function: the function; it should let the interpreter go, as soundfile, soxr and numpy do.
        items: its arguments.
        workers: number of threads; one per core if None.
    """
    workers = workers or os.cpu_count() or 1
    waiting = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            while True:
                pending.extend(pool.submit(function, item) for item in islice(waiting, 2 * workers - len(pending)))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
