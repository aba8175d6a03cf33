"""Captioners that hear: built, grown out of ones that see alone, stored and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.captions import CAPTIONS
from helpers.tiny_ast import BINS, FRAMES, WIDTH, write_ast
from safetensors.torch import load_file

from pseudocap import PseudoCap
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.hub.fetch import CONFIG_FILE, WEIGHTS_FILE

Build = Callable[..., PseudoCap]


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ast(tmp_path_factory.mktemp("ast"))


def sound_of(*lengths: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Windows of each clip, so many frames of which are real."""
    most = max(map(len, lengths))
    windows = torch.randn(len(lengths), most, FRAMES, BINS, generator=torch.Generator().manual_seed(6))
    real = torch.tensor([[*each, *[0] * (most - len(each))] for each in lengths])
    return {"sound": windows * (real > 0)[..., None, None], "sound_lengths": real}


def opened(model: PseudoCap) -> PseudoCap:
    """Give what was gained weights of a useful size, as training would."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for adapter in model.adapters.values():
            adapter.attention.sound.value.weight.normal_(std=0.5, generator=generator)
            adapter.attention.mix.weight.normal_(std=0.5, generator=generator)
    return model


@pytest.mark.parametrize("options", [{}, {"fusion": "convex"}, {"adapter_width": 8}, {"gate": "scalar"}])
def test_a_captioner_that_gains_sound_is_unchanged_until_it_learns(
    build: Build, frames: torch.Tensor, ast: Path, options: dict[str, object]
) -> None:
    model = build(adapter_layers=(1, 3), **options)
    ids, heard = model.tokenize(CAPTIONS[:3]).input_ids, sound_of((FRAMES, 9), (), (FRAMES,))
    before = model(ids, model.encode(frames)).logits
    model.add_sound(ast)
    assert model.config.axes == ("time", "space", "sound")
    assert model.config.sound_preprocess == model.audio_encoder.preprocess
    for memory in (model.encode(frames), model.encode(frames, **heard)):
        assert torch.equal(model(ids, memory).logits, before)
    assert {name: each.requires_grad for name, each in model.named_parameters()} == {
        name: name in model.trainable_names for name, _ in model.named_parameters()
    }
    assert not any(name.startswith("audio_encoder") for name in model.state_dict())
    tokens = model.tokenize(CAPTIONS[:3])
    memory = model.encode(frames, **heard)
    model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss.backward()
    assert all(
        each.attention.mix.weight.grad[:, -(model.config.adapter_width or 16) :].any()
        for each in model.adapters.values()
    )
    opened(model)
    assert not torch.allclose(model(ids, model.encode(frames, **heard)).logits[0], before[0])


def test_the_weights_of_what_is_gained_are_those_of_its_seed(build: Build, ast: Path) -> None:
    models = [build(), build(), build()]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.rand(seed + 3)  # what is drawn elsewhere does not matter
        model.add_sound(ast, seed=seed)
    one, same, other = (next(iter(model.adapters.values())).attention.sound.key.weight for model in models)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("int8", [False, True])
def test_a_captioner_that_hears_is_the_same_when_it_is_loaded_again(
    build: Build, frames: torch.Tensor, ast: Path, tmp_path: Path, int8: bool
) -> None:
    model = build(adapter_width=8)
    model.save_pretrained(tmp_path / "deaf", int8=int8)
    model = opened(PseudoCap.from_pretrained(tmp_path / "deaf", audio_encoder=ast, device="cpu"))
    model.save_pretrained(tmp_path / "hears")
    document = json.loads((tmp_path / "hears" / CONFIG_FILE).read_text())
    assert document["axes"] == ["time", "space", "sound"]
    assert document["encoders"]["audio"]["fingerprint"] == model.audio_encoder.fingerprint
    assert document["sound_preprocess"]["frames"] == FRAMES
    again = PseudoCap.from_pretrained(tmp_path / "hears", device="cpu")
    ids, heard = model.tokenize(CAPTIONS[:3]).input_ids, sound_of((FRAMES, 9), (), (FRAMES,))
    logits = [each(ids, each.encode(frames, **heard)).logits for each in (model, again)]
    assert torch.equal(*logits)
    assert again.config == model.config
    assert again.decoder.memory_widths == {"time": 16, "space": 16, "sound": WIDTH}
    orders = [[name for name, _ in each.decoder.adapters.named_parameters()] for each in (model, again)]
    assert orders[0] == orders[1], "by which an optimiser numbers them"


def test_a_captioner_that_sees_alone_is_stored_as_it_was(build: Build, ast: Path, tmp_path: Path) -> None:
    model = build()
    model.save_pretrained(tmp_path / "deaf")
    assert not {"sound_preprocess", "axes"} & json.loads((tmp_path / "deaf" / CONFIG_FILE).read_text()).keys()
    keys = load_file(tmp_path / "deaf" / WEIGHTS_FILE).keys()
    model.add_sound(ast)
    model.save_pretrained(tmp_path / "hears")
    gained = load_file(tmp_path / "hears" / WEIGHTS_FILE).keys() - keys
    assert gained
    assert all(".attention.sound." in name for name in gained)


def test_what_cannot_hear_is_refused_in_one_line(build: Build, ast: Path, backbones: Path, tmp_path: Path) -> None:
    for attention in ("full", "resampler"):
        with pytest.raises(ConfigError, match=f"attention is '{attention}'.* cannot gain sound: start from one") as one:
            build(attention=attention).add_sound(ast)
        assert "\n" not in str(one.value)
    model = build()
    model.add_sound(ast)
    with pytest.raises(ConfigError, match="hears already"):
        model.add_sound(ast)
    build().save_pretrained(tmp_path / "deaf")
    small = PseudoCap.from_pretrained(tmp_path / "deaf", precision="int8", device="cpu")
    with pytest.raises(ConfigError, match=r"backbones are in int8.* it cannot gain an encoder"):
        small.add_sound(ast)
    with pytest.raises(ConfigError, match=r"axes are time, space, sound; take attention='separable'"):
        PseudoCap.from_backbones(
            decoder=backbones / "opt",
            encoder=backbones / "timesformer",
            audio_encoder=ast,
            attention="full",
            device="cpu",
        )


def test_another_audio_encoder_than_the_recorded_one_is_refused(build: Build, ast: Path, tmp_path: Path) -> None:
    model = build()
    model.add_sound(ast)
    model.save_pretrained(tmp_path / "hears")
    other = write_ast(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match=r"the audio_encoder in .*other is not the one"):
        PseudoCap.from_pretrained(tmp_path / "hears", audio_encoder=other, device="cpu")
    moved = write_ast(tmp_path / "moved")
    assert PseudoCap.from_pretrained(tmp_path / "hears", audio_encoder=moved, device="cpu").config.hears
    document = json.loads((tmp_path / "hears" / CONFIG_FILE).read_text())
    del document["encoders"]["audio"]
    (tmp_path / "hears" / CONFIG_FILE).write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="attends to time, space, sound and names no encoder of audio"):
        PseudoCap.from_pretrained(tmp_path / "hears", device="cpu")


def test_a_new_captioner_hears_from_the_start(backbones: Path, ast: Path, frames: torch.Tensor, tmp_path: Path) -> None:
    options = {"decoder": backbones / "opt", "encoder": backbones / "timesformer", "device": "cpu"}
    model = PseudoCap.from_backbones(**options, audio_encoder=ast, fusion="convex")
    assert model.decoder.memory_widths == {"time": 16, "space": 16, "sound": WIDTH}
    assert model.config.backbones["audio_encoder"].source == str(ast)
    ids = model.tokenize(CAPTIONS[:3]).input_ids
    heard = model(ids, model.encode(frames, **sound_of((FRAMES,), (), (9,)))).logits
    seen = model(ids, model.encode(frames)).logits
    assert torch.equal(heard[1], seen[1])
    assert not torch.equal(heard[0], seen[0])


def test_a_new_captioner_may_read_sound_in_its_own_attention(backbones: Path, ast: Path, frames: torch.Tensor) -> None:
    options = {"decoder": backbones / "opt", "encoder": backbones / "timesformer", "device": "cpu"}
    model = PseudoCap.from_backbones(**options, audio_encoder=ast, attention="context")
    ids = model.tokenize(CAPTIONS[:2]).input_ids
    heard = model(ids, model.encode(frames[:2], **sound_of((FRAMES,), ()))).logits
    seen = model(ids, model.encode(frames[:2])).logits
    torch.testing.assert_close(heard[1], seen[1])
    assert not torch.allclose(heard[0], seen[0])


def test_fewer_bits_hold_the_audio_encoder_too(build: Build, ast: Path, frames: torch.Tensor, tmp_path: Path) -> None:
    model = build()
    model.add_sound(ast)
    opened(model).save_pretrained(tmp_path / "hears")
    small = PseudoCap.from_pretrained(tmp_path / "hears", precision="bfloat16", device="cpu")
    one, other = (each.encode(frames[:1], **sound_of((FRAMES, 9))).axes["sound"] for each in (model, small))
    alike = torch.nn.functional.cosine_similarity(one.vectors[one.mask], other.vectors[other.mask].float(), dim=-1)
    assert 0.9 < alike.min() < 1
    assert small.parameter_counts() == model.parameter_counts()


def test_memories_of_sound_are_of_the_clips_that_they_are_given_with(
    build: Build, ast: Path, frames: torch.Tensor
) -> None:
    deaf, model = build(), build()
    model.add_sound(ast)
    opened(model)
    heard = sound_of((FRAMES, FRAMES, 5), (), (FRAMES,))
    together = model.encode(frames, **heard)
    ids = model.tokenize(CAPTIONS[:3]).input_ids
    logits = model(ids, together).logits
    for row, windows in enumerate((3, 0, 1)):
        own = {name: tensor[row : row + 1, :windows] for name, tensor in heard.items()} if windows else {}
        alone = model.encode(frames[row : row + 1], **own)
        torch.testing.assert_close(model(ids[row : row + 1], alone).logits[0], logits[row])
    assert torch.equal(logits[1], model(ids, model.encode(frames)).logits[1]), "masked sound is no sound, exactly"
    only = model.encode(sound=heard["sound"][:1], sound_lengths=heard["sound_lengths"][:1])
    assert list(only.axes) == ["sound"]
    torch.testing.assert_close(model(ids[:1], only).logits, model(ids[:1], together[:1].only("a")).logits)
    with pytest.raises(InputError, match="this model does not hear"):
        deaf.encode(frames, **heard)
    with pytest.raises(InputError, match="frames are of 3 clips and sound of 1"):
        model.encode(frames, sound=heard["sound"][:1], sound_lengths=heard["sound_lengths"][:1])
    with pytest.raises(InputError, match="sound_lengths must count"):
        model.encode(frames, sound=heard["sound"])
    with pytest.raises(InputError, match="there is nothing to encode"):
        model.encode()
