"""On a Ray cluster of three nodes on this machine: the results of one process, also when a node is killed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray import cloudpickle

from musicgen_cls.__main__ import main
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.datamodules import Embeddings
from musicgen_cls.engines import on_ray
from musicgen_cls.engines.local import in_turn
from musicgen_cls.engines.on_ray import Cluster, cluster_of
from musicgen_cls.errors import AudioError, UsageError
from musicgen_cls.sources import Folder
from small_checkpoints import classifier_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NO CLUSTER: Ray has several nodes on Linux only")

RATE = 22050
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes do not have this module
SMALL = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def nodes(server: Any, librosa: Any) -> Iterator[Any]:
    """Three nodes of one processor each, which know the S3 server; this process is connected to them.

    They find what is compiled for librosa.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster as Nodes

    noticed = {"health_check_period_ms": 200, "health_check_initial_delay_ms": 0, "health_check_failure_threshold": 3}
    started = Nodes(initialize_head=True, head_node_args={**SMALL, "_system_config": noticed})
    for _ in range(2):
        started.add_node(**SMALL)
    ray.init(started.address, logging_level="ERROR", log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


def slow_square(number: int) -> tuple[int, str]:
    import ray

    time.sleep(0.05)
    return number**2, ray.get_runtime_context().get_node_id()


def refuse(number: int) -> int:
    raise AudioError(f"{number}.wav: not audio")


def fail(number: int) -> int:
    raise ZeroDivisionError(number)


def test_results_come_in_order_from_several_nodes_also_when_one_is_killed(nodes: Any) -> None:
    lost, found = nodes.list_all_nodes()[-1], []
    for number, result in enumerate(Cluster()(slow_square, range(60))):
        found.append(result)
        if number == 5:
            nodes.remove_node(lost, allow_graceful=False)
    assert [square for square, _ in found] == [number**2 for number in range(60)]
    assert lost.node_id in {node for _, node in found}
    assert len({node for _, node in found}) == 3
    assert list(Cluster()(abs, [])) == []


def test_items_come_to_the_cluster_in_parts(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "_BYTES_PER_CPU", 100_000)
    arrays = [np.full(100_000, number, np.uint8) for number in range(8)]
    assert list(Cluster(ordered=False)(np.max, iter(arrays))) == list(range(8))


def test_an_error_of_the_function_is_raised_as_it_is(nodes: Any) -> None:
    with pytest.raises(AudioError, match="not audio"):
        list(Cluster()(refuse, range(3)))
    with pytest.raises(UsageError, match=r"--engine ray: failed on a node with ZeroDivisionError: 0"):
        list(Cluster()(fail, range(3)))


def test_nodes_of_another_version_are_refused(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musicgen_cls.__version__", "99.0")
    with pytest.raises(UsageError, match=r"has musicgen_cls \d.*this machine has 99.0"):
        list(Cluster()(abs, [1]))


def contents(found: Collection) -> dict[str, bytes]:
    assert found.folder is not None
    return {
        path.name: path.read_bytes() for path in found.folder.iterdir() if path.name in ("audio.i16", "journal.jsonl")
    }


def test_a_store_is_that_of_one_machine(nodes: Any, music: Path, tmp_path: Path) -> None:
    one = collect(Folder(str(music)), RATE, cache_dir=str(tmp_path / "one"))
    many = collect(Folder(str(music)), RATE, cache_dir=str(tmp_path / "many"), mapped=Cluster())
    assert contents(one) == contents(many)


def test_a_store_of_recordings_in_s3_is_that_of_the_files(
    nodes: Any, collection: Collection, music: Path, upload: Callable[[Path, str], str], tmp_path: Path
) -> None:
    remote = upload(music, "s3://music/Music")
    many = collect(Folder(remote), RATE, cache_dir=str(tmp_path), mapped=Cluster())
    assert contents(many)["audio.i16"] == contents(collection)["audio.i16"]


@pytest.mark.usefixtures("invented")
def test_embeddings_are_those_of_one_machine(nodes: Any, songs: Path, tmp_path: Path) -> None:
    def rows(folder: str, cluster: Cluster | None) -> np.ndarray[Any, Any]:
        source = Folder(str(songs))
        data = Embeddings(source, "yamnet", seconds=1.0, cache_dir=str(tmp_path / folder))
        data.cluster = cluster
        found = data.read_tracks()
        return np.concatenate(
            [found.items[start : start + length] for start, length in zip(found.offset, found.lengths, strict=True)]
        )

    np.testing.assert_allclose(rows("many", Cluster()), rows("one", None), rtol=1e-5, atol=1e-6)


def test_features_of_recordings_in_s3_are_those_of_one_machine(
    nodes: Any, songs: Path, upload: Callable[[Path, str], str], tmp_path: Path
) -> None:
    remote = upload(songs, "s3://music/songs")
    words = ["features", "--source", "Folder", "--seconds", "1", "--source.root"]
    assert main([*words, remote, "--out", str(tmp_path / "many.csv"), "--engine", "ray"]) == 0
    assert main([*words, str(songs), "--out", str(tmp_path / "one.csv"), "--jobs", "1"]) == 0
    many, one = (pd.read_csv(tmp_path / name) for name in ("many.csv", "one.csv"))
    pd.testing.assert_frame_equal(many, one, rtol=1e-4)  # the number of threads changes the last digits


@pytest.mark.usefixtures("invented")
def test_vectors_are_those_of_one_machine(nodes: Any, songs: Path, tmp_path: Path) -> None:
    words = ["embed", str(songs), "--seconds", "1", "--pool", "windows", "--out"]
    assert main([*words, str(tmp_path / "many.npz"), "--engine", "ray"]) == 0
    assert main([*words, str(tmp_path / "one.npz")]) == 0
    assert (tmp_path / "many.npz").read_bytes() == (tmp_path / "one.npz").read_bytes()


def test_predictions_of_recordings_in_s3_are_those_of_one_machine(
    nodes: Any, music: Path, upload: Callable[[Path, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remote = upload(music, "s3://music/Music")
    words = ["predict", "--ckpt_path", str(classifier_checkpoint(tmp_path / "c.ckpt", music)), "--threshold", "0"]
    assert main([*words, remote, "--out", "many", "--engine", "ray"]) == 0
    assert main([*words, remote, "--out", "one"]) == 0
    assert main([*words, str(music), "--out", "files"]) == 0
    many, one, files = (pd.read_csv(tmp_path / name / "predictions.csv") for name in ("many", "one", "files"))
    pd.testing.assert_frame_equal(many, one, rtol=1e-5)
    files["file"] = [f"{remote}/{Path(file).relative_to(music).as_posix()}" for file in files["file"]]
    pd.testing.assert_frame_equal(one, files, rtol=1e-5)


@pytest.mark.parametrize(
    ("engine", "address", "message"),
    [
        ("local", "auto", "--address auto: needs --engine ray; add it"),
        ("ray", "ray://head:10001", "Ray's client is not supported; run the command on a machine of the cluster"),
        ("ray", "127.0.0.1:1", "no Ray cluster there"),
        ("ray", "nonsense", "no Ray cluster there"),
    ],
)
def test_bad_addresses(engine: Any, address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match=message):
        list((cluster_of(engine, address) or in_turn)(abs, [1]))


def test_without_ray_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs Ray.*pip install 'musicgen_cls\[cluster\]'"):
        list(Cluster()(abs, [1]))
