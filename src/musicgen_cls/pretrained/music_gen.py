"""MusicGen of the Hugging Face hub: it continues recordings, and needs no training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicgen_cls.errors import UsageError, check_positive, one_line
from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.pretrained import hub
from musicgen_cls.sources.hub_files import needed

_TOP_K = 250  # values that it samples from, unless top_p is set; as in the paper


class MusicGen(Continuation):
    """MusicGen (Copet et al. 2023, https://arxiv.org/abs/2306.05284). A text for each genre says what it plays.

    Its weights are fetched when it first generates. A checkpoint does not have them, and it cannot be trained here.

    Args:
        num_genres: number of genres.
        sample_rate: sample rate of the model, Hz.
        target_samples: of no use here.
        model: `organisation/name@revision` of the hub, or a folder with such a model.
        texts: what each genre is in words, as `jazz music`.
        window_seconds: length of prompt and continuation together, s; it was trained on 30.
        step_seconds: what is generated at once, s; the rest of the window is what came before.
    """

    SAMPLING_OPTIONS: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p", "guidance"})
    CAN_TRAIN: ClassVar[bool] = False

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        model: str = "facebook/musicgen-small",
        texts: Sequence[str] = ("music",),
        window_seconds: float = 30.0,
        step_seconds: float = 5.0,
    ) -> None:
        super().__init__()
        check_positive("--model.network.", window_seconds=window_seconds, step_seconds=step_seconds)
        if len(texts) != num_genres:
            raise UsageError(f"--model.network.texts {list(texts)}: must be one for each of {num_genres} genres")
        if step_seconds >= window_seconds:
            raise UsageError(f"--model.network.step_seconds {step_seconds:g}: must be below {window_seconds:g}")
        self.model, self.texts, self.sample_rate = model, list(texts), sample_rate
        self.window_seconds, self.step_seconds = window_seconds, step_seconds
        self._loaded: tuple[Any, Any] | None = None  # no module of this one, so that no checkpoint has its weights

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Raise `UsageError`: it cannot be trained."""
        raise UsageError("MusicGen: is pretrained and has no loss here; use it with predict")

    def stream(self, context: Tensor, genre: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Continue recordings in steps; a context without samples begins from nothing.

        Raises:
            UsageError: the model cannot be loaded, its licence is not accepted, or its sample rate is another one.
            SourceError: the hub cannot be reached.
        """
        if self._loaded is None:
            self._loaded = load(hub_name(self.model))
        tokenizer, model = self._loaded[0], self._loaded[1].to(context.device)
        rate = model.config.audio_encoder.sampling_rate
        if rate != self.sample_rate:
            raise UsageError(f"--data.sample_rate {self.sample_rate}: {self.model} has {rate} Hz; set it to {rate}")
        hop = _hop(model)
        frames = max(1, round(self.step_seconds * rate / hop))
        longest = max(1, round((self.window_seconds - self.step_seconds) * rate / hop)) * hop
        texts = [tokenizer(self.texts[label], return_tensors="pt") for label in genre.tolist()]
        prompt = context
        while True:
            usable = min(longest, prompt.shape[1] // hop * hop)
            last = prompt[:, prompt.shape[1] - usable :]
            rows = zip(last, texts, sampling.generators, strict=True)
            new = torch.stack([_continued(model, text, row, frames, sampling, random) for row, text, random in rows])
            yield new
            prompt = torch.cat([last, new], dim=1)


def _continued(
    model: Any, text: Any, prompt: Tensor, frames: int, sampling: Sampling, random: torch.Generator
) -> Tensor:
    """The next frames after a recording `[samples]`, as `[frames * samples of a frame]`.

    Recordings are continued one by one, since transformers has one random generator for all of a batch.
    """
    given = {"input_values": prompt.expand(1, model.decoder.config.audio_channels, -1)} if len(prompt) else {}
    seed = int(torch.randint(2**62, (1,), generator=random))
    with torch.random.fork_rng([prompt.device] if prompt.device.type == "cuda" else []):
        torch.manual_seed(seed)
        sound: Tensor = model.generate(
            **text.to(prompt.device),
            **given,
            do_sample=True,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=_TOP_K if sampling.top_p == 1.0 else 0,
            guidance_scale=sampling.guidance,
            max_new_tokens=frames + model.decoder.num_codebooks,  # they begin one after the other
        )
    return sound[0].mean(dim=0)[len(prompt) : len(prompt) + frames * _hop(model)].float()


def _hop(model: Any) -> int:
    """Samples of a frame."""
    return math.prod(model.config.audio_encoder.upsampling_ratios)


def hub_name(name: str) -> hub.HubName:
    """The parts of a name; raises `UsageError` for another kind of name."""
    found = hub.parse(name)
    if found is None or found.layer is not None:
        raise UsageError(f"{name}: not a name of the hub; write it as facebook/musicgen-small, or name a folder")
    return found


def sample_rate_of(name: hub.HubName) -> int:
    """The sample rate of a model, Hz; its weights are not fetched.

    Raises:
        UsageError: there is no such model or revision, it is no MusicGen, its licence is not accepted, or transformers
            is not installed.
        SourceError: the hub cannot be reached.
    """
    needed("transformers", name.text)
    folder = hub.files(name, hub.FACTS, hub.has_config)
    config = hub.config_of(name, folder)
    if config["model_type"] != "musicgen":
        raise UsageError(
            f"{name.text}: no MusicGen, but a model of the type {config['model_type'][:40]!r}; name one such as "
            "facebook/musicgen-small"
        )
    hub.check_licence(name.text, hub.read_card(name, folder)[0])
    try:
        return int(config["audio_encoder"]["sampling_rate"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{name.text}: its config.json has no sample rate; fetch it again") from error


def load(name: hub.HubName) -> tuple[Any, Any]:
    """The tokenizer and the model with its weights; raises as `sample_rate_of` does."""
    sample_rate_of(name)
    transformers = needed("transformers", name.text)
    folder = hub.files(name, [*hub.FACTS, "*.safetensors"], hub.has_weights)
    with hub.quiet(transformers):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            model = transformers.MusicgenForConditionalGeneration.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
        except Exception as error:  # damaged settings or weights
            raise UsageError(f"{name.text}: cannot be loaded ({one_line(error)[:200]}); fetch it again") from error
    return tokenizer, model.eval().requires_grad_(False)
