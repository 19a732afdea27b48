"""Tiny audio encoders with random weights, in the layout of the Hugging Face hub and of its cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


def save_hubert(folder: Path, seed: int = 0) -> Path:
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(seed)
    config = HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8),
        conv_stride=(10, 8),
        conv_kernel=(10, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def save_ast(folder: Path) -> Path:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=96,
        num_mel_bins=32,
    )
    ASTModel(config).save_pretrained(folder)
    ASTFeatureExtractor(max_length=96, num_mel_bins=32).save_pretrained(folder)
    return folder


def save_clap(folder: Path) -> Path:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {
        "window_size": 4,
        "num_mel_bins": 16,
        "spec_size": 64,
        "hidden_size": 32,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1, 1],
        "num_attention_heads": [1, 1, 1],
        "num_hidden_layers": 3,
        "projection_dim": 12,
    }
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16,
        max_length_s=1,
        sampling_rate=24000,
        fft_window_size=1024,
        hop_length=96,
        truncation="rand_trunc",
    ).save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    sizes = {
        f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("layers", "attention_heads", "ffn_dim")
    }
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    config = WhisperConfig(d_model=16, vocab_size=9, max_source_positions=50, num_mel_bins=16, **sizes, **special)
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16, chunk_length=1).save_pretrained(folder)
    return folder


def save_bert(folder: Path) -> Path:
    """No audio encoder."""
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=9, **sizes)).save_pretrained(folder)
    return folder


CODE = """
from pathlib import Path
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

Path(__file__).with_name("it_ran").touch()

class TinyConfig(PretrainedConfig):
    model_type = "tiny_of_its_authors"
    def __init__(self, hidden_size=6, num_hidden_layers=1, inputs_to_logits_ratio=100, **kwargs):
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.inputs_to_logits_ratio = inputs_to_logits_ratio
        super().__init__(**kwargs)

class TinyModel(PreTrainedModel):
    config_class = TinyConfig
    def __init__(self, config):
        super().__init__(config)
        self.dense = torch.nn.Linear(100, config.hidden_size)
        self.post_init()
    def forward(self, input_values, output_hidden_states=False):
        frames = input_values[:, : input_values.shape[1] // 100 * 100].unflatten(1, (-1, 100))
        out = self.dense(frames)
        return BaseModelOutput(last_hidden_state=out, hidden_states=(out, out))
"""


def save_remote(folder: Path) -> Path:
    """A model whose code lies in its files."""
    import torch
    from safetensors.torch import save_file
    from transformers import Wav2Vec2FeatureExtractor

    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    (folder / "tiny_model.py").write_text(CODE)
    places = {"AutoConfig": "tiny_model.TinyConfig", "AutoModel": "tiny_model.TinyModel"}
    config = {"model_type": "tiny_of_its_authors", "auto_map": places, "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps(config))
    state = {"dense.weight": torch.randn(6, 100), "dense.bias": torch.zeros(6)}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_card(folder: Path, licence: str, *datasets: str) -> Path:
    listed = "".join(f"\n- {name}" for name in datasets)
    (folder / "README.md").write_text(f"---\nlicense: {licence}\ndatasets:{listed}\n---\n# A model\n", encoding="utf-8")
    return folder


def put_into_cache(folder: Path, cache: Path, name: str, kind: str = "models", ref: str = "main") -> Path:
    """Lay a folder into a cache as the hub's library does."""
    place = cache / f"{kind}--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / REVISION
    shutil.copytree(folder, snapshot, dirs_exist_ok=True)
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / ref).write_text(REVISION)
    return snapshot


def save_musicgen(folder: Path, sample_rate: int = 4000, channels: int = 1) -> Path:
    """Frames of 80 samples; 4 codes of 16 values."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration, T5Config
    from transformers import PreTrainedTokenizerFast as Fast
    from transformers.models.musicgen import MusicgenDecoderConfig

    torch.manual_seed(0)
    codes = {
        "sampling_rate": sample_rate,
        "upsampling_ratios": [10, 8],
        "codebook_size": 16,
        "target_bandwidths": [4 * 4 * (sample_rate / 80) / 1000],
    }
    audio = EncodecConfig(hidden_size=8, codebook_dim=8, num_filters=2, num_lstm_layers=1, **codes)
    text = T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "ffn_dim": 8, "num_attention_heads": 2, "vocab_size": 16}
    sizes["initializer_factor"] = 0.3  # so large that the text matters
    special = {"pad_token_id": 16, "bos_token_id": 16}
    decoder = MusicgenDecoderConfig(num_codebooks=4 * channels, audio_channels=channels, **sizes, **special)
    config = MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=audio.to_dict(), decoder=decoder.to_dict())
    model = MusicgenForConditionalGeneration(config)
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()  # else all codes sound the same
    model.generation_config.update(decoder_start_token_id=16, max_length=1500, **special)
    model.save_pretrained(folder)
    words = {word: number for number, word in enumerate(("<pad>", "</s>", "<unk>", "jazz", "metal", "music"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    Fast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    return folder
