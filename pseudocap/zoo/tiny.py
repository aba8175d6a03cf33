"""Write tiny untrained backbones in the real formats: what the tests and `demo --from-nothing` stand on.

A byte-level BPE tokenizer laid out as OPT's on the hub, a two-layer OPT and a two-layer TimeSformer, all written by
the libraries' own save_pretrained, so that reading them is reading the real thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from pseudocap.model.network import seeded

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
TEXT = ("a red square moves to the left", "a blue square moves up and then stops", "two dogs play guitar on a stage")


def write_tokenizer(
    folder: str | Path, text: Iterable[str] = TEXT, *, vocabulary: int = 400
) -> transformers.GPT2Tokenizer:
    """Learn a byte-level BPE from `text`, with OPT's special tokens at OPT's ids."""
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(
        text, vocab_size=vocabulary, min_frequency=1, special_tokens=list(SPECIAL), show_progress=False
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    learned.save_model(str(folder))
    tokenizer = transformers.GPT2Tokenizer.from_pretrained(
        folder,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="</s>",  # as on the hub, though `<unk>` is in the vocabulary
        pad_token="<pad>",
        add_bos_token=True,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_opt(folder: str | Path, *, text: Iterable[str] = TEXT, seed: int = 0, **shape: int | bool) -> None:
    tokenizer = write_tokenizer(folder, text)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32}
    config = transformers.OPTConfig(vocab_size=len(tokenizer) + 7, max_position_embeddings=64, **{**sizes, **shape})
    with seeded(seed):
        transformers.OPTForCausalLM(config).save_pretrained(folder)


def write_timesformer(folder: str | Path, *, seed: int = 0, **shape: int | bool) -> None:
    """Write a TimeSformer whose time embeddings are drawn too: at zero, as transformers has them, no order is seen."""
    sizes = {
        "image_size": 16,
        "patch_size": 8,
        "num_frames": 4,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    config = transformers.TimesformerConfig(**{**sizes, **shape})
    with seeded(seed):
        model = transformers.TimesformerModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() != 1:
                    parameter.normal_(std=0.2)
        model.save_pretrained(folder)


def write_blip(
    folder: str | Path, *, text: Iterable[str] = TEXT, image_size: int = 32, seed: int = 0, tiny: bool = True
) -> None:
    """Write a BLIP captioner of random weights with its processor, as `Salesforce/blip-image-captioning-base` has them.

    Not `tiny` it has that model's sizes, to measure with; the words are those of `text` all the same.
    """
    words = sorted({word for line in text for word in line.lower().split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *words]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = transformers.BertTokenizer(vocab=vocabulary, bos_token="[DEC]")
    marks = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    vision: dict[str, int] = {"image_size": image_size}
    text_sizes: dict[str, int] = {"vocab_size": len(tokens) if tiny else 30524, **marks}
    if tiny:
        small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        vision |= {**small, "patch_size": 8}
        text_sizes |= {**small, "encoder_hidden_size": 16, "max_position_embeddings": 64}
    config = transformers.BlipConfig(text_config=text_sizes, vision_config=vision, projection_dim=16 if tiny else 512)
    with seeded(seed):
        model = transformers.BlipForConditionalGeneration(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if tiny and parameter.dim() != 1:  # as it starts, it would see no image
                    parameter.normal_(std=0.3)
            if tiny:
                model.text_decoder.cls.predictions.bias[marks["eos_token_id"]] = -3.0  # it would often say nothing
        model.save_pretrained(folder)
    processor = transformers.BlipImageProcessor(size={"height": image_size, "width": image_size})
    transformers.BlipProcessor(processor, tokenizer).save_pretrained(folder)
