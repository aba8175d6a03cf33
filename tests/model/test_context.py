"""The laws of a captioner whose language model reads the video in its own self-attention, and may learn with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
import torch
from helpers.captions import CAPTIONS
from helpers.decoders import write_decoder
from safetensors.torch import load_file

from pseudocap import PseudoCap
from pseudocap.errors import ConfigError, InputError
from pseudocap.explain.gates import read_gates
from pseudocap.explain.looking import look
from pseudocap.hub.fetch import CONFIG_FILE, WEIGHTS_FILE
from pseudocap.hub.publish import pack_checkpoint
from pseudocap.memory import Memory
from pseudocap.regimes.finetune import FineTune
from pseudocap.types import Batch

Read = Callable[..., PseudoCap]
FAMILIES = pytest.mark.parametrize("family", ["opt", "gpt2", "llama"])
TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("decoders")
    return {family: write_decoder(root / family, family) for family in ("opt", "gpt2", "llama")}


@pytest.fixture
def read(backbones: Path, decoders: dict[str, Path]) -> Read:
    """Return a captioner that reads videos before the words, loudly: at its start it would hardly be noticed."""

    def build(family: str = "gpt2", **options: object) -> PseudoCap:
        options = {"decoder": decoders[family], "encoder": backbones / "timesformer", "attention": "context", **options}
        model = PseudoCap.from_backbones(device="cpu", **options)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.decoder.adapters.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(std=0.2, generator=generator)
        return model

    return build


@FAMILIES
def test_a_video_changes_the_words_and_without_one_the_model_is_plain(
    read: Read, frames: torch.Tensor, family: str
) -> None:
    model = read(family)
    ids = model.tokenize(CAPTIONS[:1]).input_ids
    plain = model(ids, None).logits
    torch.testing.assert_close(plain, model.decoder.lm(input_ids=ids).logits, **TOLERANCE)
    memory = model.encode(frames)
    seen = [model(ids, memory[row : row + 1]).logits for row in range(2)]
    assert (seen[0] - seen[1]).abs().max() > 1e-3
    assert (seen[0] - plain).abs().max() > 1e-3


@FAMILIES
def test_words_are_what_the_model_makes_of_vectors_before_them(read: Read, frames: torch.Tensor, family: str) -> None:
    """One pass over the vectors, all at the first position, and the words behind them."""
    model = read(family)
    ids, memory = model.tokenize(CAPTIONS[:1]).input_ids, model.encode(frames[:1])
    vectors = model.decoder.context(memory).vectors
    both = torch.cat([vectors, model.decoder.embed(ids)], dim=1)
    positions = torch.cat([torch.zeros(vectors.shape[1]), torch.arange(ids.shape[1])]).long()[None]
    mask = torch.ones(both.shape[:2], dtype=torch.long)
    expected = model.decoder.lm(inputs_embeds=both, attention_mask=mask, position_ids=positions).logits
    torch.testing.assert_close(model(ids, memory).logits, expected[:, vectors.shape[1] :], **TOLERANCE)


@FAMILIES
def test_captions_in_a_batch_are_as_alone(read: Read, frames: torch.Tensor, family: str) -> None:
    """Several captions of each video, of several lengths, and a video with fewer frames."""
    model = read(family)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    memory = model.encode(frames[:2], mask)
    tokens = model.tokenize(CAPTIONS * 2)
    together = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    own = [model.encode(frames[:1]), model.encode(frames[1:2, :2])]
    alone = [model.tokenize([caption]) for caption in CAPTIONS]
    counts = [int((one.labels != -100).sum()) for one in alone]
    losses = [
        model(one.input_ids, own[video], labels=one.labels).loss * counts[row] / (2 * sum(counts))
        for video in range(2)
        for row, one in enumerate(alone)
    ]
    torch.testing.assert_close(together, sum(losses), **TOLERANCE)


@FAMILIES
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_generation_is_that_of_each_video_alone_and_of_no_cache(
    read: Read, frames: torch.Tensor, family: str, options: dict[str, int]
) -> None:
    model = read(family)
    mask = torch.tensor([[True] * 4, [True] + [False] * 3, [True] * 4])
    memory = model.encode(frames, mask)
    fixed = {"max_new_tokens": 8, "min_new_tokens": 8, "eos_token_id": -1, **options}
    written = model.generate(memory, **fixed)
    for row, own in enumerate((frames[:1], frames[1:2, :1], frames[2:])):
        assert torch.equal(model.generate(model.encode(own), **fixed)[0], written[row])
    if not options:
        ids = written[:, :1]
        for _ in range(8):
            ids = torch.cat((ids, model(ids, memory).logits[:, -1:].argmax(dim=-1)), dim=1)
        assert torch.equal(ids, written)


@FAMILIES
def test_a_prompt_is_continued(read: Read, frames: torch.Tensor, family: str) -> None:
    """Prompts of two lengths, so that one of them is padded on the left."""
    model = read(family)
    texts, videos = ["a red", "two dogs play"], model.encode(frames[:2])
    fixed = {"max_new_tokens": 5, "min_new_tokens": 5, "eos_token_id": -1}

    def written(prompts: list[str], memory: Memory) -> torch.Tensor:
        tokens = model.tokenize(prompts)
        ids = [row[: int(mask.sum()) - 1] for row, mask in zip(tokens.input_ids, tokens.attention_mask, strict=True)]
        batch = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=model.decoder.pad_id)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)).long() for row in ids], batch_first=True)
        return model.generate(memory, input_ids=batch, attention_mask=mask, **fixed)[:, -5:]

    together = written(texts, videos)
    for row, text in enumerate(texts):
        assert torch.equal(written([text], videos[row : row + 1])[0], together[row])


@pytest.mark.parametrize("learn", [False, True])
def test_one_step_moves_what_is_declared_and_a_checkpoint_holds_it(
    read: Read, frames: torch.Tensor, tmp_path: Path, learn: bool
) -> None:
    model = read(learn_decoder=learn).train()
    tokens = model.tokenize(CAPTIONS)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    options = {"attention_mask": tokens.attention_mask, "labels": tokens.labels}
    model(tokens.input_ids, model.encode(frames), **options).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == model.trainable_names
    assert any(name.startswith("decoder.lm.") for name in moved) is learn
    assert "decoder.adapters.context.inputs.time.1.weight" in moved
    model.eval().save_pretrained(tmp_path)
    assert any(name.startswith("lm.") for name in load_file(tmp_path / WEIGHTS_FILE)) is learn
    again = PseudoCap.from_pretrained(tmp_path, device="cpu")
    ids = model.tokenize(CAPTIONS).input_ids
    assert torch.equal(again(ids, again.encode(frames)).logits, model(ids, model.encode(frames)).logits)
    assert again.trainable_names == model.trainable_names
    assert (again.config.attention, again.config.learn_decoder) == ("context", learn)
    page = (tmp_path / "README.md").read_text()
    assert f"decoder (writes), {'trained' if learn else 'frozen'}" in page
    assert "before the words" in page
    sendable = {"decoder": "someone/gpt2", "encoder": "someone/timesformer"}
    assert pack_checkpoint(tmp_path, "someone/captioner", license="mit", **sendable)


def test_a_language_model_may_learn_beside_adapters_too(read: Read, frames: torch.Tensor, tmp_path: Path) -> None:
    model = read("opt", attention="separable", learn_decoder=True)
    with torch.no_grad():
        model.decoder.lm.get_input_embeddings().weight.add_(0.1)
    model.save_pretrained(tmp_path / "saved")
    again = PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")
    ids = model.tokenize(CAPTIONS).input_ids
    assert torch.equal(again(ids, again.encode(frames)).logits, model(ids, model.encode(frames)).logits)
    document = json.loads((tmp_path / "saved" / CONFIG_FILE).read_text())
    (tmp_path / "saved" / CONFIG_FILE).write_text(json.dumps({**document, "learn_decoder": False}))
    with pytest.raises(Exception, match=r"unexpected .*lm\."):
        PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")


def test_lightning_keeps_the_language_model_that_learns(read: Read, frames: torch.Tensor, tmp_path: Path) -> None:
    model, texts = read(learn_decoder=True), tuple(CAPTIONS)
    references = tuple((text,) for text in texts)
    options = {"keys": texts, "modality": "video", "captions": texts, "references": references}
    batch = Batch(**options, memory=model.encode(frames))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(accelerator="cpu", max_steps=1, enable_model_summary=False, **quiet)
    module = FineTune(model)
    module.log_losses = lambda *_: None  # type: ignore[method-assign]
    trainer.fit(module, torch.utils.data.DataLoader([batch], batch_size=None))
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    stored = torch.load(tmp_path / "one.ckpt", weights_only=False)["state_dict"]
    assert {name.removeprefix("model.") for name in stored} >= model.trainable_names
    assert not any(name.startswith("model.encoder.") for name in stored)


def test_what_cannot_be_is_refused_in_one_line(read: Read, frames: torch.Tensor, tmp_path: Path) -> None:
    model = read()
    ids, memory = model.tokenize(CAPTIONS[:1]).input_ids, model.encode(frames[:1])
    with pytest.raises(InputError, match="captions cannot be packed in a row"):
        model(ids, memory, position_ids=torch.arange(ids.shape[1])[None])
    with pytest.raises(InputError, match="a dynamic cache alone"):
        model.generate(memory, max_new_tokens=4, cache_implementation="static")
    with pytest.raises(InputError, match="has no adapters, whose attention could be looked at"):
        look(model, ids, memory)
    with pytest.raises(ConfigError, match="this captioner cannot gain sound"):
        model.decoder.grow_axis("sound", memory_width=4)
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(InputError, match="has no adapters, and so no gates"):
        read_gates(tmp_path / "saved" / WEIGHTS_FILE, model.config)
    with pytest.raises(ConfigError, match="learn_decoder must be true or false, not 'yes'"):
        read(learn_decoder="yes")


def test_fewer_bits_keep_the_words_near(read: Read, frames: torch.Tensor) -> None:
    model = read()
    ids = model.tokenize(CAPTIONS).input_ids
    expected = model(ids, model.encode(frames)).logits
    model.set_precision("float16")
    torch.testing.assert_close(model(ids, model.encode(frames)).logits, expected, atol=0.05, rtol=0.05)
