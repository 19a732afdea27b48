"""Work in several processes: results as they come, no process left behind, one line for a process that dies."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeVar

from musicgen_cls.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int,
    order: Literal["as they come", "as given"] = "as given",
) -> Generator[Result, None, None]:
    """Call a function on each item in `jobs` processes (-1: one a core) and yield the results.

    Raises:
        UsageError: a process died, as when memory runs out.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    kind = "generator" if order == "as given" else "generator_unordered"
    warnings.filterwarnings("ignore", message=r"\d+ tasks which were still being processed")  # where they are stopped
    with _without_interrupts():
        results = Parallel(n_jobs=jobs, return_as=kind)(delayed(function)(item) for item in items)
    try:
        yield from results
    except BrokenProcessPool as error:
        raise UsageError(
            "a worker process died, most likely for want of memory; the same command with --jobs 1 needs less, and "
            "resumes what can be resumed"
        ) from error
    except BaseException:
        if jobs != 1:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
        raise


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: a terminal sends it to all, but the first one ends the others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is ignored stays so in processes that are started
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
