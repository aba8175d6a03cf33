"""Tiny image-text and video-text models of random weights, in the formats that transformers publishes theirs in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    CLIPImageProcessor,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    TrOCRConfig,
    TrOCRProcessor,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

from pseudocap.zoo.tiny import write_tokenizer

SIDE = 32
SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32
}  # fmt: skip
LLAMA = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 2048}
WORDS = ["a", "the", "two", "red", "dog", "cat", "man", "ball", "grass", "runs", "sleeps", "plays", "over", "under"]
BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
CHAT = (
    "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'video' %}VIDEO{% else %} {{ part['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %} assistant {% endif %}"
)


def spread(model: Any) -> Any:
    """Weights as large as learned ones, so that what is written depends on what is seen."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.4)
    return model


def write_git(folder: Path, *, frames: int | None = None) -> None:
    """A GIT of images, or one of videos that has embeddings for `frames`."""
    config = GitConfig(
        vision_config={**SMALL, "image_size": SIDE, "patch_size": 16}, **SMALL, vocab_size=len(BERT_WORDS),
        bos_token_id=2, eos_token_id=3, pad_token_id=0, max_position_embeddings=64, num_image_with_embedding=frames,
    )  # fmt: skip
    spread(GitForCausalLM(config)).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(BERT_WORDS)})
    GitProcessor(images, tokenizer).save_pretrained(folder)


def write_blip2(folder: Path) -> None:
    tokens = write_tokenizer(folder)
    text = {"model_type": "opt", "vocab_size": len(tokens) + 8, "max_position_embeddings": 64, "ffn_dim": 32}
    text |= {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "word_embed_proj_dim": 16}
    config = Blip2Config(
        vision_config={**SMALL, "image_size": SIDE, "patch_size": 8},
        qformer_config={**SMALL, "vocab_size": 20, "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=3,
    )
    config.image_token_index = len(tokens)
    spread(Blip2ForConditionalGeneration(config)).save_pretrained(folder)
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    Blip2Processor(images, tokens, num_query_tokens=3).save_pretrained(folder)


def write_idefics3(folder: Path) -> None:
    """A chat-style model of images."""
    special = ["<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>"]
    tokenizer = _words_tokenizer([*special, *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7))])
    images = Idefics3ImageProcessor(size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE})
    chat = CHAT.replace("IMAGE", "<image>")
    Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=chat).save_pretrained(folder)
    config = Idefics3Config(
        vision_config={**SMALL, "image_size": SIDE, "patch_size": 8},
        text_config={"model_type": "llama", **LLAMA, "vocab_size": len(tokenizer), **_marks()},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    spread(Idefics3ForConditionalGeneration(config)).save_pretrained(folder)


def write_smolvlm(folder: Path) -> None:
    """A SmolVLM2, laid out as its repos are: one file for pictures and videos, the template in a file of its own."""
    special = ["<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>", "<|im_start|>", "<video>"]
    tokenizer = _words_tokenizer([*special, *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7))])
    tokenizer.save_pretrained(folder)
    pixels = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}, "do_image_splitting": True}
    sampling = {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": SIDE}}
    files: dict[str, dict[str, Any]] = {
        "preprocessor_config": {
            **pixels, "image_processor_type": "SmolVLMImageProcessor", "processor_class": "SmolVLMProcessor",
            "video_sampling": sampling, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        },
        "processor_config": {"image_seq_len": 4, "processor_class": "SmolVLMProcessor"},
        "chat_template": {"chat_template": CHAT.replace("IMAGE", "<image>").replace("VIDEO", "<video>")},
    }  # fmt: skip
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    config = SmolVLMConfig(
        vision_config={**SMALL, "image_size": SIDE, "patch_size": 8},
        text_config={"model_type": "llama", **LLAMA, "vocab_size": len(tokenizer), **_marks()},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    spread(SmolVLMForConditionalGeneration(config)).save_pretrained(folder)


def write_qwen2_vl(folder: Path) -> None:
    """A chat-style model that takes videos too."""
    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _words_tokenizer(special)
    pixels = {"patch_size": 8, "size": {"shortest_edge": 16 * 16, "longest_edge": SIDE * SIDE}}
    chat = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>").replace(
        "VIDEO", "<|vision_start|><|video_pad|><|vision_end|>"
    )
    Qwen2VLProcessor(
        Qwen2VLImageProcessor(**pixels), tokenizer, Qwen2VLVideoProcessor(**pixels), chat_template=chat
    ).save_pretrained(folder)
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in zip(("vision_start", "vision_end", "image", "video"), special, strict=True)
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = Qwen2VLConfig(
        vision_config={"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8},
        text_config={**LLAMA, "vocab_size": len(tokenizer), "rope_parameters": rope, **_marks()},
        **ids,
    )
    spread(Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)


def write_encoder_decoder(folder: Path, *, processor: bool = True) -> None:
    """An image encoder with a text decoder, which reads no prompt; of old repos the processor is two parts."""
    tokenizer = _words_tokenizer([])
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        ViTConfig(**SMALL, image_size=SIDE, patch_size=16),
        TrOCRConfig(
            vocab_size=len(tokenizer), d_model=16, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=32,
            max_position_embeddings=64, cross_attention_hidden_size=16, **_marks(),
        ),
    )  # fmt: skip
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    spread(VisionEncoderDecoderModel(config)).save_pretrained(folder)
    images = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    if processor:
        TrOCRProcessor(images, tokenizer).save_pretrained(folder)
    else:
        images.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _words_tokenizer(special: list[str]) -> PreTrainedTokenizerFast:
    words = ["<pad>", "<s>", "</s>", "<unk>", "user", "assistant", *WORDS, *special]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    if special:
        fast.add_special_tokens({"additional_special_tokens": special})
    return fast


def _marks() -> dict[str, int]:
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
