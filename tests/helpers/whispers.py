"""A real Whisper of 2 MB with random weights, in CTranslate2's format: what it writes is noise, made of a few words,
that depends on the sound and is always the same. A film with speech in it is in the shared data."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import torch
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from pseudocap.video.writer import AudioTrack, write_video

RATE = 16000
WORDS = ("dog", "runs", "cat", "sleeps", "rain", "falls", "man", "cooks.")
TEXT = 50_257  # entries for text; CTranslate2 knows a multilingual model by the empty one at their end
MARKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")


def tones(*pitches: float, seconds: float = 2.0) -> np.ndarray:
    """Tones one after another, each of so many seconds, at 16 kHz; 0 is silence."""
    times = np.arange(int(seconds * RATE)) / RATE
    return np.concatenate([0.3 * np.sin(2 * np.pi * pitch * times) for pitch in pitches]).astype(np.float32)


def write_wav(path: Path, sound: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return path


def write_sounding_film(path: Path, sound: np.ndarray | None, *, seconds: float = 4.0) -> Path:
    """A grey film with a sound track, or without one."""
    frames = (np.full((32, 32, 3), 128, np.uint8) for _ in range(round(seconds * 5)))
    write_video(path, frames, rate=5, sound=None if sound is None else AudioTrack(samples=sound, rate=RATE))
    return path


def write_whisper(folder: Path) -> Path:
    """Write the model, by transformers and CTranslate2's own converter."""
    import ctranslate2

    source = folder.with_name(f"{folder.name}-of-transformers")
    source.mkdir(parents=True)
    tokenizer, spoken = _tokenizer()
    tokenizer.save(str(source / "tokenizer.json"))
    end = "<|endoftext|>"
    marks = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end)
    kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (source / "tokenizer_config.json").write_text(json.dumps(marks | kind))
    at = tokenizer.token_to_id
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 16),
        d_model=8,
        num_mel_bins=80,
        decoder_start_token_id=at("<|startoftranscript|>"),
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), at(end)),
    )
    torch.manual_seed(3)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.6)
        words, positions = model.model.decoder.embed_tokens.weight, model.model.decoder.embed_positions.weight
        towards_end = words[at(end)] / words[at(end)].norm()
        positions += torch.arange(len(positions))[:, None] * towards_end / 40  # so that a text ends after some words
    model.generation_config = GenerationConfig(
        eos_token_id=at(end),
        is_multilingual=True,
        no_timestamps_token_id=at("<|notimestamps|>"),
        lang_to_id={f"<|{code}|>": at(f"<|{code}|>") for code in _LANGUAGE_CODES},
        alignment_heads=[[0, 0]],
        suppress_tokens=sorted(set(range(tokenizer.get_vocab_size())) - spoken - {at(end)}),
        begin_suppress_tokens=[at(end)],
    )
    model.save_pretrained(source)
    ctranslate2.converters.TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(folder))
    return folder


def _tokenizer() -> tuple[Tokenizer, set[int]]:
    """Byte-level BPE of a few words, as large as Whisper's; and the ids of the words."""
    vocabulary = {letter: row for row, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    for word in WORDS:
        begun = "Ġ"
        for letter in word:
            if begun + letter not in vocabulary:
                merges.append((begun, letter))
                vocabulary[begun + letter] = len(vocabulary)
            begun += letter
    spoken = {vocabulary[f"Ġ{word}"] for word in WORDS}
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES]
    times = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, *MARKS, *times]
    while len(vocabulary) < TEXT - 1:
        vocabulary[f"unused{len(vocabulary)}"] = len(vocabulary)
    vocabulary[""] = TEXT - 1
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in special])
    return tokenizer, spoken
