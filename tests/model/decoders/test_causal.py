"""Language models of any family: how their layers are found and reached, and which cannot be decoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.decoders import TOKENIZERS, write_decoder
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    Gemma2Config,
    GenerationConfig,
    GPTJConfig,
    GPTNeoConfig,
    Lfm2Config,
    MistralConfig,
    PhiConfig,
    PreTrainedConfig,
)

from pseudocap import PseudoCap
from pseudocap.errors import CheckpointError
from pseudocap.model.decoders.causal import AdaptedCausalLM, find_layers
from pseudocap.model.decoders.load import load_decoder

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 400}
LLAMA = {**SIZES, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32}

NOT_PASSED = "its forward does not pass arguments on to its layers"


def write(folder: Path, config: PreTrainedConfig) -> Path:
    folder.mkdir()
    TOKENIZERS["gpt2"](folder).save_pretrained(folder)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            GPTNeoConfig(**SIZES, num_layers=2, num_heads=2, attention_types=[[["global"], 2]]),
            NOT_PASSED,
        ),
        (GPTJConfig(n_embd=16, n_layer=2, n_head=2, rotary_dim=4, vocab_size=400), NOT_PASSED),
        (
            Gemma2Config(**LLAMA, final_logit_softcapping=0.5),
            "logits are more than its last layer's",
        ),
        (PhiConfig(**SIZES, intermediate_size=32), "its last layer has a bias"),
        (BertConfig(**SIZES, intermediate_size=32), "its tokens see those that follow"),
        (
            Lfm2Config(**LLAMA, layer_types=["conv", "full_attention"], bos_token_id=0, eos_token_id=0, pad_token_id=0),
            r"layers that do not attend \(conv\)",
        ),
    ],
    ids=lambda value: value.model_type if isinstance(value, PreTrainedConfig) else "",
)
def test_a_model_that_cannot_be_a_decoder_is_refused_in_one_line(
    tmp_path: Path, config: PreTrainedConfig, problem: str
) -> None:
    folder = write(tmp_path / "model", config)
    with pytest.raises(CheckpointError, match=problem) as caught:
        load_decoder(folder)
    assert f"the {config.model_type!r} in {folder} cannot be a decoder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_family_that_nobody_named_is_found_by_its_structure(
    build: Callable[..., PseudoCap], tmp_path: Path, frames: torch.Tensor
) -> None:
    """Mistral, whose layers are all of a window, and have no list of their types."""
    shape = {"sliding_window": 4, "bos_token_id": 0, "eos_token_id": 0, "max_position_embeddings": 64}
    model = build(write(tmp_path / "model", MistralConfig(**{**LLAMA, **shape})), gate_init=0.0)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ids = model.tokenize(["a red square moves to the left"]).input_ids
    assert torch.equal(model(ids, model.encode(frames[:1])).logits, plain(ids).logits)
    packed = torch.cat((ids[:, :7], ids[:, :6]), dim=1)  # longer than the window, and as two captions
    positions = torch.cat((torch.arange(7), torch.arange(6)))[None]
    logits = model(packed, model.encode(frames[:1]), position_ids=positions).logits
    torch.testing.assert_close(logits[:, :7], plain(ids[:, :7]).logits)
    torch.testing.assert_close(logits[:, 7:], plain(ids[:, :6]).logits)


def test_the_layers_are_the_list_that_holds_the_weights(decoders: Path) -> None:
    for family, attribute in {"gpt2": "transformer.h", "llama": "model.layers", "xglm": "model.layers"}.items():
        lm = AutoModelForCausalLM.from_pretrained(decoders / family)
        assert find_layers(lm) is lm.get_submodule(attribute)
        lm.short, lm.light = (torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(n)) for n in (3, 4))
        assert find_layers(lm) is lm.get_submodule(attribute)
    lm.config.num_hidden_layers = 9
    with pytest.raises(CheckpointError, match="XGLMForCausalLM has no list of 9 layers"):
        find_layers(lm)


def test_a_captioner_leaves_the_models_own_forward_as_it_was(
    captioner: Callable[..., PseudoCap], decoders: Path, frames: torch.Tensor, family: str
) -> None:
    model = captioner(family)
    plain = AutoModelForCausalLM.from_pretrained(decoders / family).eval()
    ids = model.tokenize(["two dogs play"]).input_ids
    model(ids, model.encode(frames[:1]))
    assert torch.equal(model.decoder.lm(ids).logits, plain(ids).logits)


def test_two_captioners_may_share_one_frozen_model(
    captioner: Callable[..., PseudoCap], decoders: Path, frames: torch.Tensor
) -> None:
    """Each pass through the layers brings its own adapters."""
    models = [captioner("llama"), captioner("llama", adapter_layers=(1, 2), fusion="convex")]
    ids, memory = models[0].tokenize(["two dogs play"]).input_ids, models[0].encode(frames[:1])
    lm = load_decoder(decoders / "llama").lm
    shared = [AdaptedCausalLM(lm, model.config, memory_width=16, tokenizer=model.tokenizer) for model in models]
    for model, decoder in zip(models, shared, strict=True):
        decoder.adapters.load_state_dict(model.decoder.adapters.state_dict())
    for model, decoder in zip(models, shared, strict=True):
        assert torch.equal(decoder.hidden(ids, memory), model.decoder.hidden(ids, memory))


def test_how_a_published_model_likes_to_chat_does_not_decide_how_it_captions(
    build: Callable[..., PseudoCap], frames: torch.Tensor, tmp_path: Path
) -> None:
    folder = write_decoder(tmp_path / "gpt2", "gpt2")
    expected = build(folder)
    GenerationConfig(do_sample=True, temperature=9.0, eos_token_id=[5, 6, 7], max_length=3).save_pretrained(folder)
    model = build(folder)
    memory = model.encode(frames)
    for _ in range(2):
        assert torch.equal(model.generate(memory), expected.generate(memory))
