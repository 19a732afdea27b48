"""Calls of a function on many items on a Ray cluster, with Ray Data (https://docs.ray.io/en/latest/data).

Each process of the cluster fetches the function once, with the networks that it holds. Work of a process or node that
ends is done again on others.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from musicgen_cls.errors import MusicClsError, UsageError, one_line

Item = TypeVar("Item")
Result = TypeVar("Result")

Engine = Literal["local", "ray"]
"""Where a command works: on this machine, or on a Ray cluster."""

LOCAL = "local"
"""The address of a cluster that is this machine alone, started for one command."""

_BLOCKS_PER_CPU = 8  # parts of the work of a processor; with more, all end at the same time
_BYTES_PER_CPU = 64 << 20  # items that are in the cluster's memory at a time


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Args:
        address: `HOST:PORT` of its head; `auto` for the cluster that this machine belongs to; `local` for this machine
            alone. The nodes have this version of this package, and see the same files under the same names.
        ordered: whether the results come in the order of the items; otherwise as they are ready.
    """

    address: str = "auto"
    ordered: bool = True

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Call a function on each item, in processes of the cluster, and yield the results.

        Raises:
            UsageError: Ray is not installed, there is no such cluster, its nodes have another version of this
                package, or the cluster fails.
            MusicClsError: the function raised it.
        """
        ray = _ray()
        with self._connected(ray), _failures(self.address):
            _check_versions(ray)
            cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
            call = _Call(ray.put(function))
            for part in _parts(items, cpus * _BYTES_PER_CPU):
                data = ray.data.from_items(part, override_num_blocks=min(len(part), _BLOCKS_PER_CPU * cpus))
                for row in data.map(call, num_cpus=1).iter_rows():
                    yield _result(row["result"])

    @contextmanager
    def _connected(self, ray: Any) -> Iterator[None]:
        """A connection to the cluster; one that was there before stays."""
        there = ray.is_initialized()
        if not there:
            self._connect(ray)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = self.ordered
        context.enable_progress_bars = False
        try:
            yield
        finally:
            if not there:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        if "://" in self.address:
            raise UsageError(
                f"--address {self.address}: Ray's client is not supported; run the command on a machine of the "
                "cluster, with --address HOST:PORT"
            )
        address = None if self.address == LOCAL else self.address
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = one_line(error).partition(". ")[0]
            raise UsageError(
                f"--address {self.address}: no Ray cluster there ({reason}); start one with `ray start --head`, or use "
                "--address local"
            ) from error


def cluster_of(engine: Engine, address: str | None, ordered: bool = True) -> Cluster | None:
    """The cluster that the options of a command name; None for this machine.

    Args:
        engine: the option `--engine`.
        address: the option `--address`.
        ordered: see `Cluster`.

    Raises:
        UsageError: there is an address, but no cluster to use.
    """
    if engine == "ray":
        return Cluster("auto" if address is None else address, ordered)
    if address is not None:
        raise UsageError(f"--address {address}: needs --engine ray; add it, or leave out --address")
    return None


class _Call:
    """Calls a function that is in the memory of the cluster; an error is a result, since Ray would try again.

    Args:
        function: Ray's reference to it.
    """

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        try:
            result = _fetched(self.function)(pickle.loads(row["item"]))
        except MusicClsError as error:
            result = _Raised(error)
        except Exception as error:
            result = _Raised(
                UsageError(f"--engine ray: failed on a node with {type(error).__name__}: {one_line(error)[:200]}")
            )
        return {"result": pickle.dumps(result, protocol=5)}


@dataclass(frozen=True)
class _Raised:
    """What a function raised."""

    error: MusicClsError


def _result(packed: bytes) -> Any:
    """What a function returned; or what it raised, raised again."""
    result = pickle.loads(packed)
    if isinstance(result, _Raised):
        raise result.error
    return result


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[[Any], Any]:
    """The function, once in each process."""
    import ray

    function: Callable[[Any], Any] = ray.get(reference)
    return function


def _parts(items: Iterable[Any], most: int) -> Iterator[list[dict[str, bytes]]]:
    """The items, pickled, in lists of at most `most` bytes."""
    part: list[dict[str, bytes]] = []
    size = 0
    for item in items:
        packed = pickle.dumps(item, protocol=5)
        if part and size + len(packed) > most:
            yield part
            part, size = [], 0
        part.append({"item": packed})
        size += len(packed)
    if part:
        yield part


def _ray() -> Any:
    """Ray with Ray Data, without its messages."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            "--engine ray: needs Ray, which is not installed; run python -m pip install 'musicgen_cls[cluster]'"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _check_versions(ray: Any) -> None:
    """Raise `UsageError` if a node has another version of this package."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from musicgen_cls import __version__

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    ask = ray.remote(num_cpus=0)(_version)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)).remote()
        for node in nodes
    ]
    for node, found in zip(nodes, ray.get(asked), strict=True):
        if found != __version__:
            raise UsageError(
                f"--address: the node {node['NodeManagerAddress']} has musicgen_cls {found}, this machine has "
                f"{__version__}; install the same version on all nodes"
            )


def _version() -> str:
    """The version of this package on a node."""
    from musicgen_cls import __version__

    return __version__


@contextmanager
def _failures(address: str) -> Iterator[None]:
    """An error of the cluster as `UsageError`."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise UsageError(
            f"--address {address}: the cluster failed ({one_line(error)[:200]}); run the same command again, which "
            "resumes"
        ) from error
