"""Tiny language models of several families with tokenizers of their own, in the formats that the hub has them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer, Tokenizer, pre_tokenizers, processors, trainers
from tokenizers.models import Unigram
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2Tokenizer,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    XGLMConfig,
    XGLMTokenizer,
)

from pseudocap.zoo.tiny import TEXT, write_opt

DEPTH = 4
END = "<|endoftext|>"


def write_decoder(folder: Path, family: str, *, seed: int = 0, **shape: Any) -> Path:
    """Random weights and a tokenizer in `folder`, which is returned."""
    if family == "opt":
        write_opt(folder, num_hidden_layers=DEPTH, seed=seed, **shape)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = TOKENIZERS[family](folder)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(CONFIGS[family](tokenizer, **shape))
        with torch.no_grad():  # as they start, such small models hardly listen to their words
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(std=0.2)
        model.save_pretrained(folder)
    return folder


def _bytes(folder: Path, special: tuple[str, ...]) -> ByteLevelBPETokenizer:
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(
        TEXT, vocab_size=400, min_frequency=1, special_tokens=list(special), show_progress=False
    )
    learned.save_model(str(folder))
    return learned


def gpt2_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """One special token, which is BOS, EOS and unknown, and is not put before a text; no padding."""
    _bytes(folder, (END,))
    return GPT2Tokenizer.from_pretrained(folder, bos_token=END, eos_token=END, unk_token=END)


def llama_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """As Llama 3's: bytes, BOS put before a text, no padding."""
    learned = _bytes(folder, ("<|begin_of_text|>", "<|end_of_text|>"))
    learned._tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learned._tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    )


def qwen2_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Bytes, no BOS, and EOS pads."""
    learned = _bytes(folder, (END, "<|im_start|>", "<|im_end|>"))
    return PreTrainedTokenizerFast(tokenizer_object=learned._tokenizer, eos_token=END, pad_token=END)


def xglm_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A unigram model of pieces behind `▁`; EOS put before a text, though there is a BOS."""
    learned = Tokenizer(Unigram())
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    learned.train_from_iterator(
        TEXT,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="<unk>", initial_alphabet=letters, show_progress=False
        ),
    )
    pieces = [
        (piece, -float(number)) for number, piece in enumerate(sorted(learned.get_vocab(), key=learned.token_to_id))
    ]
    return XGLMTokenizer(vocab=pieces)


def _sizes(tokenizer: PreTrainedTokenizerBase, **more: int | bool) -> dict[str, Any]:
    return {"vocab_size": len(tokenizer) + 5, "max_position_embeddings": 64} | more


def gpt2_config(tokenizer: PreTrainedTokenizerBase, **shape: Any) -> PreTrainedConfig:
    sizes = _sizes(tokenizer, n_embd=16, n_layer=DEPTH, n_head=2, bos_token_id=0, eos_token_id=0)
    return GPT2Config(**sizes | shape)


def _llama(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return _sizes(
        tokenizer,
        hidden_size=16,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )


def llama_config(tokenizer: PreTrainedTokenizerBase, **shape: Any) -> PreTrainedConfig:
    return LlamaConfig(**_llama(tokenizer) | shape)


def qwen2_config(tokenizer: PreTrainedTokenizerBase, **shape: Any) -> PreTrainedConfig:
    """Its upper layers see four tokens back."""
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2, "eos_token_id": 0}
    return Qwen2Config(**_llama(tokenizer) | window | shape)


def xglm_config(tokenizer: PreTrainedTokenizerBase, **shape: Any) -> PreTrainedConfig:
    sizes = _sizes(tokenizer, d_model=16, num_layers=DEPTH, attention_heads=2, ffn_dim=32)
    return XGLMConfig(**sizes | shape)


TOKENIZERS: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
    "gpt2": gpt2_tokenizer,
    "llama": llama_tokenizer,
    "qwen2": qwen2_tokenizer,
    "xglm": xglm_tokenizer,
}
CONFIGS: dict[str, Callable[..., PreTrainedConfig]] = {
    "gpt2": gpt2_config,
    "llama": llama_config,
    "qwen2": qwen2_config,
    "xglm": xglm_config,
}
FAMILIES = ("opt", *CONFIGS)
