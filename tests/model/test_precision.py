"""Backbones in fewer bits: near to float32, the same alone and in a batch, for captioning only."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.captions import CAPTIONS
from safetensors.torch import load_file
from torch import nn
from transformers import OPTForCausalLM

from pseudocap import PseudoCap
from pseudocap.errors import ConfigError
from pseudocap.hub.fetch import WEIGHTS_FILE
from pseudocap.model import precision as precision_module
from pseudocap.model.precision import BFloat16Linear, Float16Linear, Int4Linear, Int8Linear, PackedLinear
from pseudocap.regimes.finetune import FineTune
from pseudocap.types import PRECISIONS

Build = Callable[..., PseudoCap]
FEWER = [name for name in PRECISIONS if name != "float32"]
EACH = pytest.mark.parametrize("precision", FEWER)
BOTH = pytest.mark.parametrize("opt", ["opt", "opt-350m"])
# What rounding may cost a layer, as a share of its outputs' size: half a step of 8, 7 and 4 bits over a row, with room.
NEAR = {BFloat16Linear: 0.01, Float16Linear: 0.001, Int8Linear: 0.02, Int4Linear: 0.15}
pytestmark = pytest.mark.filterwarnings("ignore:this CPU has no bfloat16 instructions")


def layer_of(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("kind", NEAR)
@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(128, 64, True), (40, 23, False), (16, 100, True)])
def test_a_packed_layer_gives_nearly_what_the_layer_gave(
    kind: type[PackedLinear], inputs: int, outputs: int, bias: bool
) -> None:
    layer = layer_of(inputs, outputs, bias=bias)
    x = torch.randn(2, 5, inputs) + 1  # rows need not lie around zero
    expected = layer(x)
    given = kind(layer)(x)
    assert given.shape == expected.shape
    assert given.dtype == torch.float32
    assert (given - expected).norm() < NEAR[kind] * expected.norm()


def test_an_integer_layer_is_exact_where_its_numbers_are_the_integers() -> None:
    layer = layer_of(64, 16)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-127, 128, (16, 64)))
        layer.weight[:, 0] = 127.0  # so that the scale of each output is 1
    x = torch.randint(0, 128, (3, 64)).float()
    x[:, :2] = torch.tensor([0.0, 127.0])
    assert torch.allclose(Int8Linear(layer)(x), layer(x), rtol=1e-6)


@pytest.mark.parametrize(("kind", "levels"), [(Int8Linear, 254), (Int4Linear, 15)])
def test_each_weight_is_off_by_at_most_half_a_step(kind: type[PackedLinear], levels: int) -> None:
    """Rounded, not cut: rows of a unit matrix, whose own numbers are exact, give the weights as they are held."""
    layer = layer_of(64, 64, bias=False)
    held = kind(layer)(torch.eye(64)).T
    weight = layer.weight
    if kind is Int8Linear:
        steps = 2 * weight.abs().amax(dim=1, keepdim=True) / levels
    else:
        groups = weight.unflatten(1, (-1, Int4Linear.GROUP))
        steps = ((groups.amax(dim=2) - groups.amin(dim=2)) / levels).repeat_interleave(Int4Linear.GROUP, dim=1)
    off = (held - weight) / steps
    assert float(off.abs().max()) < 0.55  # the steps themselves are bfloat16 numbers in four bits
    assert abs(float(off.mean())) < 0.03, "as often above as below"


def test_each_input_of_an_integer_layer_is_off_by_at_most_half_a_step() -> None:
    layer = layer_of(64, 64, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(64) * 127)  # exact in eight bits
    rows = torch.randn(50, 64) + 3
    steps = (rows.amax(dim=1, keepdim=True) - rows.amin(dim=1, keepdim=True)) / Int8Linear.LEVELS
    off = (Int8Linear(layer)(rows) / 127 - rows) / steps
    assert 0.45 < float(off.abs().max()) < 0.51
    assert abs(float(off.mean())) < 0.03


def test_the_layer_that_decides_the_word_has_eight_bits_where_the_others_have_four(build: Build) -> None:
    model = build()
    model.set_precision("int4")
    head = model.decoder.lm.get_output_embeddings()
    assert type(head) is Int8Linear
    others = {type(each) for each in model.decoder.lm.modules() if isinstance(each, PackedLinear) and each is not head}
    assert others == {Int4Linear}
    assert {type(each) for each in model.encoder.modules() if isinstance(each, PackedLinear)} == {Int8Linear}


@pytest.mark.parametrize("kind", [Int8Linear, Int4Linear])
def test_a_row_does_not_depend_on_its_neighbours(kind: type[PackedLinear]) -> None:
    packed = kind(layer_of(96, 48))
    rows = torch.randn(7, 96) * torch.logspace(-2, 2, 7)[:, None]
    assert torch.equal(packed(rows), torch.cat([packed(row) for row in rows.split(1)]))


def test_a_constant_row_one_far_from_zero_and_a_layer_of_zeros_are_no_division_by_zero() -> None:
    layer = layer_of(32, 16)
    with torch.no_grad():
        layer.weight[0] = 0
    for kind in (Int8Linear, Int4Linear):
        for row in (torch.zeros(1, 32), torch.full((1, 32), 3.0), 1e4 + torch.randn(1, 32) / 100):
            given = kind(layer)(row)
            assert (given - layer(row)).norm() <= NEAR[kind] * layer(row).norm()


@EACH
@BOTH
def test_logits_are_near_those_of_float32(build: Build, frames: torch.Tensor, precision: str, opt: str) -> None:
    model = build(opt)
    ids = model.tokenize(CAPTIONS).input_ids
    full = model(ids, model.encode(frames)).logits
    model.set_precision(precision)
    fewer = model(ids, model.encode(frames)).logits
    assert not torch.equal(fewer, full)
    share = {"bfloat16": 0.03, "float16": 0.002, "int8": 0.05, "int4": 0.25}[precision]
    assert (fewer - full).norm() < share * full.norm()


@EACH
@BOTH
def test_cached_decoding_says_the_likeliest_words_of_its_own_logits(
    build: Build, frames: torch.Tensor, precision: str, opt: str
) -> None:
    model = build(opt)
    model.set_precision(precision)
    memory = model.encode(frames)
    ids = model.generate(memory, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    logits = model(ids[:, :-1], memory).logits
    spread = logits.std()
    logits[..., model.decoder.config.eos_token_id] = -torch.inf  # min_new_tokens forbids it
    best, said = logits.amax(dim=2), logits.gather(2, ids[:, 1:, None])[..., 0]
    assert ((best - said) <= 0.02 * spread).all()  # ties may fall either way
    assert all(model.decode(ids))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_clip_is_captioned_alone_as_in_a_batch(build: Build, frames: torch.Tensor, precision: str) -> None:
    model = build()
    model.set_precision(precision)
    memory = model.encode(frames)
    alone = torch.cat([model.encode(clip).time for clip in frames.split(1)])
    assert torch.allclose(memory.time, alone, atol=1e-4)


@EACH
def test_a_loaded_captioner_says_the_same_as_one_that_was_turned_and_keeps_its_adapters(
    build: Build, frames: torch.Tensor, tmp_path: Path, precision: str
) -> None:
    model = build()
    model.save_pretrained(tmp_path / "full")
    loaded = PseudoCap.from_pretrained(tmp_path / "full", device="cpu", precision=precision)
    assert loaded.precision == precision
    assert loaded.config == model.config  # fingerprints are of the file, not of what was made of it
    loaded.save_pretrained(tmp_path / "again")
    for name, tensor in load_file(tmp_path / "full" / WEIGHTS_FILE).items():
        assert torch.equal(load_file(tmp_path / "again" / WEIGHTS_FILE)[name], tensor)
    ids = model.tokenize(CAPTIONS).input_ids
    model.set_precision(precision)
    assert torch.equal(loaded(ids, loaded.encode(frames)).logits, model(ids, model.encode(frames)).logits)
    assert not any(layer.weight.dtype != torch.float32 for layer in loaded.modules() if isinstance(layer, nn.Linear))


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
def test_adapters_stored_in_float16_stay_so_and_say_and_save_the_same(
    build: Build, frames: torch.Tensor, tmp_path: Path, precision: str
) -> None:
    model = build()
    model.half().save_pretrained(tmp_path / "half")
    loaded = PseudoCap.from_pretrained(tmp_path / "half", device="cpu", precision=precision)
    assert not [name for name, module in loaded.named_modules() if "adapters" in name and type(module) is nn.Linear]
    assert loaded.trainable_names == model.trainable_names
    assert loaded.parameter_counts() == model.parameter_counts()
    loaded.save_pretrained(tmp_path / "again")
    again = load_file(tmp_path / "again" / WEIGHTS_FILE)
    for name, tensor in load_file(tmp_path / "half" / WEIGHTS_FILE).items():
        assert torch.equal(again[name].float(), tensor.float())
    full = PseudoCap.from_pretrained(tmp_path / "half", device="cpu")
    memory = full.encode(frames)
    mine, theirs = full.decoder.project(memory), loaded.decoder.project(memory)
    h = torch.randn(len(frames), 5, 16)
    for layer, adapter in full.adapters.items():
        assert torch.allclose(
            loaded.adapters[layer](h, theirs.layers[layer]), adapter(h, mine.layers[layer]), atol=1e-4, rtol=1e-4
        )


@EACH
def test_no_linear_layer_of_a_backbone_is_left_and_every_weight_is_counted(build: Build, precision: str) -> None:
    model = build("opt-350m")
    counts, trainable = model.parameter_counts(), model.trainable_names
    model.set_precision(precision)
    for backbone in (model.encoder, model.decoder.opt) if precision != "float16" else (model.decoder.opt,):
        assert not [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    assert all(parameter.dtype == torch.float32 for parameter in model.decoder.adapters.parameters())
    assert model.parameter_counts() == counts
    assert model.trainable_names == trainable


@EACH
def test_training_in_fewer_bits_is_refused_wherever_it_begins(
    build: Build, frames: torch.Tensor, precision: str
) -> None:
    model = build()
    model.set_precision(precision)
    tokens, memory = model.tokenize(CAPTIONS), model.encode(frames)
    with pytest.raises(ConfigError, match=f"in {precision}.*cannot be trained; load it with precision='float32'"):
        model.train()
    with pytest.raises(ConfigError, match="cannot be trained"):
        FineTune(model)
    with pytest.raises(ConfigError, match="cannot compute a loss"):
        model(tokens.input_ids, memory, labels=tokens.labels)
    model.decoder.adapters.requires_grad_(True)  # by somebody who trains without asking
    with pytest.raises(ConfigError, match="a gradient reached a backbone in fewer bits"):
        model(tokens.input_ids, memory)
    with pytest.raises(ConfigError, match="cannot become"):
        model.set_precision("int8" if precision == "int4" else "int4")
    assert not model.training


def test_what_is_no_precision_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"float32, bfloat16, float16, int8, int4, not 'int9' \(did you mean 'int8'\?\)"
    ):
        PseudoCap.from_pretrained(tmp_path / "nowhere", device="cpu", precision="int9")
    with pytest.raises(ConfigError, match=r"so dtype=torch.bfloat16 excludes it"):
        PseudoCap.from_pretrained(tmp_path / "nowhere", device="cpu", precision="int8", dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match=r"kernels for the CPU alone, and the device is meta.*'bfloat16'"):
        precision_module.check_precision("int4", torch.device("meta"))


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
def test_what_is_packed_for_the_cpu_cannot_leave_the_cpu(model: PseudoCap, precision: str) -> None:
    model.set_precision(precision)
    with pytest.raises(ConfigError, match="run on the CPU alone and cannot move to meta"):
        model.to("meta")


def test_a_cpu_without_bfloat16_is_told_so_and_another_is_not(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.warns(UserWarning, match="this CPU has no bfloat16 instructions"):
        precision_module.warn_where_slow("bfloat16", cpu)
    recwarn.clear()
    precision_module.warn_where_slow("int8", cpu)
    precision_module.warn_where_slow("bfloat16", torch.device("meta"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    precision_module.warn_where_slow("bfloat16", cpu)
    assert not recwarn.list


@EACH
def test_a_decoder_stored_in_float16_is_packed_from_its_file_and_says_the_same(
    build: Build, backbones: Path, frames: torch.Tensor, tmp_path: Path, precision: str
) -> None:
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    OPTForCausalLM.from_pretrained(backbones / "opt").half().save_pretrained(tmp_path / "opt")
    model = PseudoCap.from_backbones(decoder=tmp_path / "opt", encoder=backbones / "timesformer", device="cpu")
    model.save_pretrained(tmp_path / "captioner")
    loaded = PseudoCap.from_pretrained(tmp_path / "captioner", device="cpu", precision=precision)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    ids = model.tokenize(CAPTIONS).input_ids
    model.set_precision(precision)
    assert torch.equal(loaded(ids, loaded.encode(frames)).logits, model(ids, model.encode(frames)).logits)
