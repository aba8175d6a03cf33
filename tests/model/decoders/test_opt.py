"""What is OPT's own: its tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import GPT2Tokenizer

from pseudocap import PseudoCap


@pytest.fixture(scope="module")
def opt_tokenizer(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> GPT2Tokenizer:
    """OPT's real one, laid out as on the hub: vocab.json, merges.txt, `</s>` before every text."""
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(shared_data / "opt/gpt2-vocab.json", folder / "vocab.json")
    shutil.copy(shared_data / "opt/gpt2-merges.txt", folder / "merges.txt")
    special = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    return GPT2Tokenizer.from_pretrained(folder, add_bos_token=True, **special)


def test_the_real_tokenizer_puts_the_first_frame_token_only(opt_tokenizer: GPT2Tokenizer) -> None:
    assert opt_tokenizer("Hello world")["input_ids"] == [2, 31414, 232]
    assert len(opt_tokenizer) == 50265


def test_captions_through_the_real_tokenizer_come_back_as_they_were(
    opt_tokenizer: GPT2Tokenizer, model: PseudoCap
) -> None:
    captions = ["a man isn't playing a guitar", "déjà vu: two dogs (brown) run…"]
    model.tokenizer = opt_tokenizer
    tokens = model.tokenize(captions)
    assert model.decode(tokens.input_ids) == captions
    assert tokens.input_ids[0, 0] == 2
    assert tokens.input_ids[1][tokens.attention_mask[1].bool()][-1] == 2
