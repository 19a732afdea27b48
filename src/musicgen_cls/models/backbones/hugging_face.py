"""Audio encoders of the Hugging Face hub, with the preparation of waveforms that their processors describe."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones.base import Backbone, stages_of

HiddenLayer = int | Literal["mean"]

_NORM_EPSILON = 1e-7  # of Wav2Vec2FeatureExtractor


class HuggingFace(Backbone):
    """A model of the library `transformers` as a backbone; `musicgen_cls.pretrained.load` makes it by name.

    Models on waveforms (wav2vec 2.0, HuBERT, WavLM, MERT) give an embedding for each of their steps; zero mean and unit
    variance of the waveform are computed here, so that gradients flow. For models on spectrograms, the processor
    computes these in NumPy. Such models have windows of a fixed length: a longer waveform is cut into windows, and a
    last part that does not fill one is left out; the processor pads a shorter waveform, and steps of padding alone are
    left out.

    - Audio Spectrogram Transformer: the patches at one time are averaged over the frequencies.
    - CLAP: one step for each window, the projected embedding of length 1.
    - Whisper and others with a decoder: the steps of the encoder.

    Args:
        model: the model, which must be an audio encoder.
        processor: its feature extractor.
        layer: number of the hidden layer whose output is the embedding, 0 for the input of the first one; `mean` for
            the mean of all of them; the output of the model if None.

    Raises:
        UsageError: the model is no audio encoder, or has no such layer.
    """

    def __init__(self, model: nn.Module, processor: Any, layer: HiddenLayer | None = None) -> None:
        super().__init__()
        config: Any = model.config
        self.model_type: str = config.model_type
        if config.is_encoder_decoder:
            model = model.get_encoder()  # type: ignore[operator]
        if self.pooled:
            del model.text_model, model.text_projection, model.logit_scale_a, model.logit_scale_t
        _keep_all_layers(model)
        self.model, self.processor, self.layer = model, processor, layer
        self.sample_rate = int(processor.sampling_rate)
        self.window = _window_samples(processor)
        """Length of the windows of the model, samples; 0 if it takes any length."""
        self.dim = int(getattr(config, "projection_dim" if self.pooled else "hidden_size"))
        self._check_layer(config)
        self.hop_seconds = _hop_samples(config, self.window, self.sample_rate, self.pooled) / self.sample_rate

    window_seconds = 0.1  # a shorter waveform has no step

    @property
    def pooled(self) -> bool:
        """Whether the model gives one embedding for a window."""
        return self.model_type == "clap"

    def embed(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` at `sample_rate` to embeddings `[batch, time, dim]`."""
        waveform = self.filled(waveform)
        if not self.window:
            return self._hidden(input_values=self._normalised(waveform))
        count = max(waveform.shape[1] // self.window, 1)
        windows = waveform[:, : count * self.window].reshape(waveform.shape[0] * count, -1)
        steps = self._of_windows(windows)
        if count == 1:
            used = min(windows.shape[1] / self.window, 1.0)
            steps = steps[:, : max(1, -int(-steps.shape[1] * used // 1))]
        return steps.reshape(waveform.shape[0], -1, self.dim)

    def stages(self) -> list[list[nn.Parameter]]:
        """The layers of the encoder, from the input on."""
        parts = (self.model.audio_model, self.model.audio_projection) if self.pooled else (self.model,)
        return stages_of(part for part in parts if isinstance(part, nn.Module))

    def _of_windows(self, windows: Tensor) -> Tensor:
        """Windows `[windows, samples]` to embeddings `[windows, time, dim]`, through the processor."""
        arrays = [window.detach().cpu().float().numpy() for window in windows]
        inputs = self.processor(arrays, sampling_rate=self.sample_rate, return_tensors="pt")
        inputs = {name: value.to(windows.device) for name, value in inputs.items()}
        if "is_longer" in inputs:  # the processor marks a random window, for models that fuse parts of longer ones
            inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
        if self.pooled:
            found = self.model.get_audio_features(**inputs)  # type: ignore[operator]
            pooled: Tensor = getattr(found, "pooler_output", found)  # older versions give the tensor itself
            return pooled[:, None]
        steps = self._hidden(**inputs)
        return self._over_frequencies(steps) if self.model_type == "audio-spectrogram-transformer" else steps

    def _hidden(self, **inputs: Tensor) -> Tensor:
        """The chosen layer, `[batch, steps, dim]`."""
        found = self.model(**inputs, output_hidden_states=self.layer is not None)
        if self.layer is None:
            steps: Tensor = found.last_hidden_state
        elif self.layer == "mean":
            steps = torch.stack(found.hidden_states).mean(0)
        else:
            steps = found.hidden_states[self.layer]
        return steps

    def _over_frequencies(self, tokens: Tensor) -> Tensor:
        """Tokens of an Audio Spectrogram Transformer `[batch, 2 + frequencies * time, dim]` to `[batch, time, dim]`."""
        frequencies = self.model.embeddings.get_shape(self.model.config)[0]  # type: ignore[union-attr, operator]
        patches: Tensor = tokens[:, 2:].reshape(tokens.shape[0], int(frequencies), -1, self.dim)
        return patches.mean(1)

    def _normalised(self, waveform: Tensor) -> Tensor:
        """Waveforms with zero mean and unit variance, if the processor asks for it."""
        if not self.processor.do_normalize:
            return waveform
        variance, mean = torch.var_mean(waveform, dim=1, correction=0, keepdim=True)
        return (waveform - mean) / torch.sqrt(variance + _NORM_EPSILON)

    def _check_layer(self, config: Any) -> None:
        if self.layer is None:
            return
        if self.pooled:
            raise UsageError(f"layer {self.layer}: {self.model_type} has one layer only; leave ':{self.layer}' out")
        last = int(config.num_hidden_layers)
        if self.layer != "mean" and not 0 <= self.layer <= last:
            raise UsageError(f"layer {self.layer}: {self.model_type} has the layers 0 to {last}, and mean; name one")


_AST_FRAME_S, _AST_HOP_S = 0.025, 0.010  # of the spectrograms of Kaldi


def is_audio_processor(processor: Any) -> bool:
    """Whether a processor turns waveforms into the input of a model."""
    return hasattr(processor, "sampling_rate") and hasattr(processor, "feature_size")


def _keep_all_layers(model: nn.Module) -> None:
    """Turn off LayerDrop (Fan et al. 2020), which leaves out random layers in training.

    Processes that train together need a gradient for each parameter.
    """
    for part in model.modules():
        for holder in (part, getattr(part, "config", None)):
            if hasattr(holder, "layerdrop"):
                holder.layerdrop = 0.0  # type: ignore[union-attr]


def _window_samples(processor: Any) -> int:
    """The length of the windows that a processor takes, samples; 0 for any length."""
    if type(processor).__name__ == "ASTFeatureExtractor":
        samples: float = (_AST_HOP_S * (processor.max_length - 1) + _AST_FRAME_S) * processor.sampling_rate
        return round(samples)
    for name in ("n_samples", "nb_max_samples"):
        if given := getattr(processor, name, None):
            return int(given)
    if getattr(processor, "feature_size", 1) != 1:
        raise UsageError(f"{type(processor).__name__}: this kind of audio encoder is not supported")
    return 0


def _hop_samples(config: Any, window: int, rate: int, pooled: bool) -> float:
    """Samples from one embedding to the next."""
    if pooled:
        return window
    if (ratio := getattr(config, "inputs_to_logits_ratio", None)) is not None and not window:
        return float(ratio)
    if (stride := getattr(config, "time_stride", None)) is not None:  # Audio Spectrogram Transformer
        return float(_AST_HOP_S * stride * rate)
    return window / int(getattr(config, "max_source_positions", 1))
