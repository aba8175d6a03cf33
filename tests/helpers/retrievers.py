"""Small retrievers over tiny real backbones, and a tiny BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from helpers.loud_weights import with_loud_weights
from pseudocap.model.network import seeded
from pseudocap.retriever import Retriever
from pseudocap.zoo.tiny import TEXT

SMALL: dict[str, Any] = {"dim": 8, "width": 16, "heads": 2, "text_layers": 1, "media_layers": 1, "device": "cpu"}


def write_bert(folder: Path, *, layers: int = 3) -> Path:
    """Write a BERT of random weights with its tokenizer, as transformers saves a language model."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for line in TEXT for word in line.split()})]
    tokenizer = transformers.BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "max_position_embeddings": 64}
    config = transformers.BertConfig(vocab_size=len(tokens), num_hidden_layers=layers, **sizes)
    with seeded(0):
        model = transformers.BertForMaskedLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(std=0.2)
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_retriever(backbones: Path, **settings: Any) -> Retriever:
    """Return a retriever whose towers have weights of a useful size: at their start a wrong one goes unnoticed."""
    given = {"text": backbones / "opt", "encoder": backbones / "timesformer", **SMALL, **settings}
    return with_loud_weights(Retriever.from_backbones(**given))
