"""Work in several processes or threads: results are yielded early.

A process that dies gives an error of one line.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from threading import Event
from typing import Literal, TypeVar

from musicgen_cls.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

_ON_ACCELERATOR = 4
"""Files at a time on a GPU; each needs memory there."""


def in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int,
    order: Literal["as they come", "as given"] = "as given",
) -> Generator[Result, None, None]:
    """Call a function on each item in `jobs` processes (-1: one per core) and yield the results.

    If this process is killed, the others end within two seconds; joblib's own would wait for work for five minutes.

    Raises:
        UsageError: a process died, for example because memory ran out.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    kind = "generator" if order == "as given" else "generator_unordered"
    warnings.filterwarnings("ignore", message=r"\d+ tasks which were still being processed")  # after a stop
    with _without_interrupts():
        results = Parallel(n_jobs=jobs, return_as=kind)(
            delayed(_attended)(function, os.getpid(), item) for item in items
        )
    try:
        yield from results
    except BrokenProcessPool as error:
        raise UsageError(
            "a worker process died, probably because memory ran out; run the same command with --jobs 1, which needs "
            "less memory"
        ) from error
    except BaseException:
        if jobs != 1:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
        raise


_WATCH = "ends with its parent"


def _attended(function: Callable[[Item], Result], parent: int, item: Item) -> Result:
    """Call a function in a process that ends when its parent has ended.

    Args:
        function: the function.
        parent: id of the process that has started this one; this one itself if there is no other.
        item: its argument.
    """
    if os.getpid() != parent and not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=_end_with, args=(parent,), name=_WATCH, daemon=True).start()
    return function(item)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C; a terminal sends it to all, but the first process ends the others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # started processes inherit it
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def files_at_once() -> int:
    """The number of files that networks of this package work on at a time: one a core, or a few on a GPU."""
    import torch

    return _ON_ACCELERATOR if torch.accelerator.is_available() else torch.get_num_threads()


def in_torch_threads(
    function: Callable[[Item, Event], Result], items: Sequence[Item], most: int, torch_threads: int | None = None
) -> Generator[Result]:
    """Call a function of torch on each item, `most` at a time, each in one thread, and yield the results as they come.

    Args:
        function: its second argument is set if the results are not wanted any more.
        items: its first arguments.
        most: calls at a time.
        torch_threads: threads of torch for a call; an equal part of all if None.
    """
    import torch

    stop, all_threads = Event(), torch.get_num_threads()
    workers = max(1, min(most, len(items)))
    each = torch_threads or max(1, all_threads // workers)
    tasks = (partial(function, item, stop) for item in items)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool:
        try:
            yield from _as_they_come(pool, tasks, 2 * workers)
        finally:
            stop.set()
            torch.set_num_threads(all_threads)


def _as_they_come(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], Result]], at_once: int) -> Iterator[Result]:
    """The results of tasks, in the order in which they end; only some wait at a time."""
    waiting = iter(tasks)
    running: set[Future[Result]] = {pool.submit(task) for task in islice(waiting, at_once)}
    while running:
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        running |= {pool.submit(task) for task in islice(waiting, len(ended))}
        for future in ended:
            yield future.result()
