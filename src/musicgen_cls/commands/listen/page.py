"""The page of `musiccli listen` in Gradio: its parts, and the options that it is served with."""

# Gradio reads the annotations of nested functions, so that they must not be strings here

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from musicgen_cls.commands.listen.answer import LONGEST_S, Limits
from musicgen_cls.commands.listen.models import Choices, NoteMaker
from musicgen_cls.commands.listen.service import Service
from musicgen_cls.errors import UsageError

DATA = Path(__file__).parents[2] / "data"
TITLE = "Listen to the genre"
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; object-src 'none'; form-action 'self'"
)
"""A browser that follows it fetches nothing from elsewhere; the scripts of Gradio need the two unsafe sources."""

_UPLOADS_S = 600, 3600  # Gradio looks at its uploads so often, and deletes older ones


class Application:
    """The page, the options that it is served with, and the temporary folder of everything that it writes.

    Args:
        choices: the networks and the reports.
        limits: of a song.

    Attributes:
        blocks: Gradio's object; `blocks.launch(**options)` serves the page.
        options: for `launch`.

    Raises:
        UsageError: Gradio is not installed.
    """

    def __init__(self, choices: Choices, limits: Limits) -> None:
        if find_spec("gradio") is None:
            raise UsageError("listen: needs gradio; run python -m pip install 'musicgen_cls[app]'")
        self._folder = TemporaryDirectory(prefix="musicgen_cls-listen-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name).resolve()
        self._before = {name: os.environ.get(name) for name in _ENVIRONMENT}
        _set({**_ENVIRONMENT, "GRADIO_TEMP_DIR": str(self.folder / "uploads")})
        service = Service(choices, limits, self.folder / "sessions")
        self.blocks = _blocks(service)
        self.options = _options(service)

    def close(self) -> None:
        """Stop serving, and delete the folder."""
        self.blocks.close(verbose=False)
        _set(self._before)
        self._folder.cleanup()


_ENVIRONMENT = {
    "GRADIO_TEMP_DIR": "",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Gradio asks its own server whether it has started, which must not go through a proxy
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class _Policy:
    """Adds the page's policy to every response."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self.app(scope, receive, sending)


def _options(service: Service) -> dict[str, Any]:
    """Options for `launch`: fonts of the system only, and nothing that asks another server."""
    import gradio as gr
    from starlette.middleware import Middleware

    script = (DATA / "listen.js").read_text(encoding="utf-8")
    return {
        "theme": gr.themes.Base(
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
            primary_hue="blue",
            neutral_hue="gray",
        ),
        "css": (DATA / "listen.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}</script>",
        "allowed_paths": [str(service.folder)],
        "max_file_size": int(service.limits.max_mb * 1e6),
        "app_kwargs": {"middleware": [Middleware(_Policy)], "docs_url": None, "redoc_url": None, "openapi_url": None},
        "share": False,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "enable_monitoring": False,
        "footer_links": [],
        "quiet": True,
    }


def _blocks(service: Service) -> Any:
    """The parts of the page, and what they do."""
    import gradio as gr

    choices, limits = service.choices, service.limits
    models = list(choices.recognisers)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_UPLOADS_S) as blocks:
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Drop a song and see its genre, moment by moment. Songs up to {limits.max_mb:g} MB and "
            f"{limits.max_minutes:g} minutes. They are deleted when you close the page.</p>",
            elem_id="head",
        )
        song = gr.State(None)
        with gr.Tabs():
            with gr.Tab("A song"):
                drop = gr.File(label=_dropped(choices), type="filepath", elem_id="drop", height=150)
            with gr.Tab("Microphone"):
                record = gr.Audio(sources=["microphone"], type="filepath", label="Record", editable=False)
            reports = _reports(service) if choices.reports else None
        model = gr.Dropdown(
            models, value=models[0], label="Recognised by", visible=len(models) > 1, elem_id="model", filterable=False
        )
        answer = gr.HTML(elem_id="answer")
        continuing = _continuing(service, song) if choices.generators else None
        genre = continuing or gr.State(None)
        _listen_to(service, [drop, record], reports, song, model, answer, genre)

        def left(request: gr.Request) -> None:
            service.forget(str(request.session_hash))

        blocks.unload(left)
    return blocks


def _dropped(choices: Choices) -> str:
    """What can be dropped: scores too if a generator can continue them."""
    scores = any(isinstance(maker, NoteMaker) for maker in choices.generators.values())
    return "Audio, a video with sound, or a MIDI file" if scores else "Audio, or a video with sound"


def _reports(service: Service) -> tuple[Any, Any]:
    """The tab with the tracks of reports: its choice of a report, and of a track."""
    import gradio as gr

    names = list(service.choices.reports)
    with gr.Tab("Tracks of a test"):
        report = gr.Dropdown(names, value=names[0], label="Report, mistakes first", filterable=False)
        track = gr.Radio(service.tracks(names[0]), label="Track", value=None, elem_id="tracks")

    def shown(report: str) -> Any:
        return gr.Radio(service.tracks(report), value=None)

    report.input(shown, report, track, api_visibility="private")
    return report, track


def _listen_to(
    service: Service, uploads: list[Any], reports: tuple[Any, Any] | None, song: Any, model: Any, answer: Any,
    genre: Any,
) -> None:  # fmt: skip
    """Answer when a song or a network is chosen."""
    import gradio as gr

    shared: Any = {"api_visibility": "private", "concurrency_id": "networks"}

    def chosen(request: gr.Request, song: Any, model: str) -> tuple[Any, str, Any]:
        text, best = service.answer(str(request.session_hash), song, model)
        return song, text, _as_genre(service, best)

    def taken(request: gr.Request, upload: str | None, model: str) -> tuple[Any, Any, str, Any]:
        if upload is None:
            return None, gr.skip(), gr.skip(), gr.skip()
        return None, *chosen(request, service.take(str(request.session_hash), upload), model)

    def other(request: gr.Request, song: Any, model: str) -> tuple[Any, str, Any]:
        return chosen(request, song, model)

    outputs = [song, answer, genre]
    uploads[0].upload(taken, [uploads[0], model], [uploads[0], *outputs], **shared)
    uploads[1].stop_recording(taken, [uploads[1], model], [uploads[1], *outputs], **shared)
    model.input(other, [song, model], outputs, **shared)
    if reports is not None:

        def track(request: gr.Request, report: str, name: str, model: str) -> tuple[Any, str, Any]:
            return chosen(request, service.track(report, name), model)

        reports[1].input(track, [*reports, model], outputs, **shared)


def _continuing(service: Service, song: Any) -> Any:
    """The part that continues a song; its choice of a genre."""
    import gradio as gr

    names = list(service.choices.generators)
    genres = service.choices.generators[names[0]].data.genres
    with gr.Accordion("Continue the song with a generator", open=True):
        with gr.Row():
            generator = gr.Dropdown(names, value=names[0], label="Generator", filterable=False, min_width=260)
            genre = gr.Dropdown(genres, value=genres[0], label="Genre", filterable=False)
        with gr.Row():
            start = gr.Number(0, label="Start of the prompt, s", minimum=0)
            seconds = gr.Slider(2, LONGEST_S, value=10, step=1, label="Length with the prompt, s")
            seed = gr.Number(0, label="Random seed", precision=0, minimum=0)
        button = gr.Button("Continue", variant="primary")
        result = gr.HTML(elem_id="continuation")

    def run(
        request: gr.Request, song: Any, generator: str, genre: str, start: float, seconds: float, seed: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio looks for it among the defaults
    ) -> str:  # fmt: skip
        def finished(share: float) -> None:
            progress(share, desc="Continuing")

        session = str(request.session_hash)
        return service.continued(session, song, generator, genre, start, seconds, seed, finished)

    def genres_of(generator: str) -> Any:
        known = service.choices.generators[generator].data.genres
        return gr.Dropdown(known, value=known[0])

    inputs = [song, generator, genre, start, seconds, seed]
    button.click(run, inputs, result, api_visibility="private", concurrency_id="networks")
    generator.input(genres_of, generator, genre, api_visibility="private")
    return genre


def _as_genre(service: Service, best: str | None) -> Any:
    """The genre of a continuation: the predicted one, if every generator knows it."""
    import gradio as gr

    known = all(best in generator.data.genres for generator in service.choices.generators.values())
    return best if known else gr.skip()
