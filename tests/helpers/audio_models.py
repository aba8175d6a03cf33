"""Tiny audio models of random weights in the format that transformers publishes them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
WHISPER = {
    **{"d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_source_positions": 100},
}
CONVOLUTIONS = {"conv_dim": (8, 8), "conv_stride": (80, 4), "conv_kernel": (80, 4), "num_feat_extract_layers": 2}
WAVES = {**SHAPE, **CONVOLUTIONS, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
AST_SOUND = {"num_mel_bins": 32, "max_length": 128}  # 1.28 s
MODELS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "ast": ("ASTForAudioClassification", {**SHAPE, **AST_SOUND}, "ASTFeatureExtractor", AST_SOUND),
    "whisper": ("WhisperForConditionalGeneration", WHISPER, "WhisperFeatureExtractor", {"chunk_length": 2}),
    "wav2vec2": ("Wav2Vec2ForCTC", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "hubert": ("HubertModel", WAVES, "Wav2Vec2FeatureExtractor", {"do_normalize": False}),
}


def write_audio_model(folder: Path, kind: str = "ast", **changes: Any) -> torch.nn.Module:
    """A model with its feature extractor, and the model itself in evaluation mode."""
    name, shape, extractor, sound = MODELS[kind]
    model_class = getattr(transformers, name)
    with torch.random.fork_rng():
        torch.manual_seed(changes.pop("seed", 0))
        model: torch.nn.Module = model_class(model_class.config_class(**{**shape, **changes})).eval()
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand_like(tensor)
    model.save_pretrained(folder)  # type: ignore[operator]
    getattr(transformers, extractor)(**sound).save_pretrained(folder)
    return model
