from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pseudocap.errors import ConfigError
from pseudocap.memory import Axis, Memory
from pseudocap.model.adapter import Adapter, ConvexAdapter, build_adapter
from pseudocap.model.config import Backbone, GateSchedule, PseudoCapConfig

WIDTH, MEMORY = 8, 6
BACKBONES: dict[str, Any] = {
    "decoder": Backbone(source="d"),
    "encoders": {"video": Backbone(source="e")},
    "adapter_layers": (0,),
}


def make_adapter(**settings: object) -> Adapter:
    config = PseudoCapConfig(**BACKBONES, **settings)
    adapter = build_adapter(config, width=WIDTH, memory_widths={"time": MEMORY, "space": MEMORY}, heads=2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5)
    return adapter


@pytest.fixture
def memory() -> Memory:
    return Memory.of_sight(
        time=torch.randn(2, 3, MEMORY),
        space=torch.randn(2, 4, MEMORY),
    )


def norm(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, (WIDTH,))


def feed_forward(adapter: Adapter, x: torch.Tensor) -> torch.Tensor:
    up, down = adapter.ffn.up, adapter.ffn.down
    return F.gelu(x @ up.weight.T + up.bias) @ down.weight.T + down.bias


@pytest.mark.parametrize("gate", ["vector", "scalar"])
def test_the_residual_fusion_is_its_equation(memory: Memory, gate: str) -> None:
    adapter = make_adapter(fusion="residual", gate=gate, gate_init=0.3)
    h, axes = torch.randn(2, 5, WIDTH), adapter.project(memory)
    step = h + math.tanh(0.3) * adapter.attention(norm(h), axes)
    expected = step + math.tanh(0.3) * feed_forward(adapter, norm(step))
    torch.testing.assert_close(adapter(h, axes), expected, atol=1e-5, rtol=1e-5)
    assert adapter.attention_gate.shape == (WIDTH if gate == "vector" else 1,)


@pytest.mark.parametrize("gate", ["vector", "scalar"])
def test_the_convex_fusion_is_its_equation_with_a_gate_of_one_half_at_first(memory: Memory, gate: str) -> None:
    adapter = make_adapter(fusion="convex", gate=gate)
    h, axes = torch.randn(2, 5, WIDTH), adapter.project(memory)
    a = norm(h)
    expected = 0.5 * feed_forward(adapter, a + adapter.attention(a, axes)) + 0.5 * h
    torch.testing.assert_close(adapter(h, axes), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(adapter.gates()["gate"], torch.full((WIDTH if gate == "vector" else 1,), 0.5))


def test_the_default_gate_lets_tanh_of_one_through() -> None:
    gates = make_adapter().gates()
    assert set(gates) == {"attention", "ffn"}
    for gate in gates.values():
        torch.testing.assert_close(gate, torch.full((WIDTH,), math.tanh(1.0)))


def test_a_closed_residual_gate_is_the_identity(memory: Memory) -> None:
    adapter = make_adapter(gate_init=0.0)
    h = torch.randn(2, 5, WIDTH)
    assert torch.equal(adapter(h, adapter.project(memory)), h)


def test_the_gate_schedule_is_equation_12_and_is_saved_with_the_weights() -> None:
    schedule = GateSchedule(start=-2.0, end=1.0, rate=0.01)
    adapter = make_adapter(fusion="convex", gate_schedule=schedule)
    assert isinstance(adapter, ConvexAdapter)
    assert adapter.eta.item() == -2.0
    adapter.set_gate_step(50)
    expected = -2.0 + 3.0 * (1 - math.exp(-0.5))
    assert adapter.eta.item() == pytest.approx(expected)
    assert adapter.gates()["gate"][0].item() == pytest.approx(1 / (1 + math.exp(-expected)))
    again = make_adapter(fusion="convex", gate_schedule=schedule)
    again.load_state_dict(adapter.state_dict())
    assert torch.equal(again.eta, adapter.eta)


def test_eta_stays_exact_in_a_half_precision_adapter() -> None:
    schedule = GateSchedule(start=-1.0, end=1.0, rate=1e-4)
    adapter = make_adapter(fusion="convex", gate_schedule=schedule).bfloat16()
    seen = []
    for step in (4000, 4001):
        adapter.set_gate_step(step)
        seen.append(adapter.eta.item())
    assert seen == [pytest.approx(schedule.eta(step), abs=1e-6) for step in (4000, 4001)]
    assert seen[0] < seen[1]
    assert adapter.gates()["gate"].dtype == torch.bfloat16


def test_linear_layers_start_small_and_normal() -> None:
    config = PseudoCapConfig(**BACKBONES)
    adapter = build_adapter(config, width=64, memory_widths={"time": 64, "space": 64}, heads=2)
    weight = adapter.ffn.up.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert weight.abs().max() > 0.05  # a uniform start of this deviation ends at 0.035
    assert not adapter.ffn.up.bias.any()


def test_a_printed_schedule_freezes_theta() -> None:
    learned = make_adapter(fusion="convex").trainable_names()
    printed = make_adapter(fusion="convex", gate_schedule=GateSchedule(learned=False)).trainable_names()
    assert learned - printed == {"theta"}


@pytest.mark.parametrize("fusion", ["residual", "convex"])
def test_every_declared_parameter_gets_a_gradient(memory: Memory, fusion: str) -> None:
    adapter = make_adapter(fusion=fusion)
    adapter(torch.randn(2, 5, WIDTH), adapter.project(memory)).square().sum().backward()
    moved = {
        name for name, parameter in adapter.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert moved == adapter.trainable_names()


# Narrower than the decoder, and more axes than two


@pytest.mark.parametrize("attention", ["separable", "full"])
@pytest.mark.parametrize("fusion", ["residual", "convex"])
def test_a_narrow_adapter_has_narrow_weights_and_the_decoders_words(fusion: str, attention: str) -> None:
    D, A, E = 64, 16, MEMORY
    config = PseudoCapConfig(**BACKBONES, attention=attention, fusion=fusion, adapter_width=A)
    adapter = build_adapter(config, width=D, memory_widths={"time": E, "space": E}, heads=8)
    shapes = {name: tuple(parameter.shape) for name, parameter in adapter.named_parameters()}
    mixes = "attention.mix.weight" if attention == "separable" else "attention.out.weight"
    assert shapes[mixes] == (D, 2 * A)
    assert (shapes["ffn.up.weight"], shapes["ffn.down.weight"]) == ((4 * A, D), (D, 4 * A))
    norms_and_gates = D * (6 if fusion == "residual" else 3)
    of_attention = 2 * (A * D + 2 * A * E) + 2 * A * D + (4 if attention == "separable" else 2) * E
    feed_forward = 2 * 4 * A * D + 4 * A + D
    assert sum(parameter.numel() for parameter in adapter.parameters()) == (
        norms_and_gates + of_attention + feed_forward
    )
    h = torch.randn(2, 5, D)
    seen = Memory.of_sight(time=torch.randn(2, 3, E), space=torch.randn(2, 4, E), patches=torch.randn(2, 3, 4, E))
    assert adapter(h, adapter.project(seen)).shape == h.shape


def test_heads_of_a_narrow_adapter_are_as_wide_as_the_decoders() -> None:
    config = PseudoCapConfig(**BACKBONES, adapter_width=24)
    widths = {"time": MEMORY, "space": MEMORY}
    assert build_adapter(config, width=64, memory_widths=widths, heads=8).attention.time.heads == 3
    own, given = (
        build_adapter(replace(config, adapter_width=inner), width=64, memory_widths=widths, heads=8).state_dict()
        for inner in (None, 64)
    )
    assert {name: each.shape for name, each in own.items()} == {name: each.shape for name, each in given.items()}
    with pytest.raises(ConfigError, match="adapter_width must be a multiple of 8, as wide as a head, not 12"):
        build_adapter(replace(config, adapter_width=12), width=64, memory_widths=widths, heads=8)


def test_each_axis_has_the_width_of_its_own_encoder() -> None:
    config = PseudoCapConfig(**BACKBONES, axes=("time", "space", "sound"))
    adapter = build_adapter(config, width=WIDTH, memory_widths={"time": 6, "space": 6, "sound": 10}, heads=2)
    assert adapter.attention.sound.key.weight.shape == (WIDTH, 10)
    assert adapter.attention.space.key.weight.shape == (WIDTH, 6)
    assert adapter.attention.mix.weight.shape == (WIDTH, 3 * WIDTH)


@pytest.mark.parametrize("fusion", ["residual", "convex"])
def test_an_adapter_that_gains_an_axis_is_unchanged_and_learns_it(memory: Memory, fusion: str) -> None:
    adapter, h = make_adapter(fusion=fusion), torch.randn(2, 5, WIDTH)
    sound = Axis(torch.randn(2, 7, 10), torch.ones(2, 7, dtype=torch.bool))
    heard, before = Memory({**memory.axes, "sound": sound}), adapter(h, adapter.project(memory))
    adapter.grow_axis("sound", memory_width=10)
    for seen in (memory, heard):
        assert torch.equal(adapter(h, adapter.project(seen)), before)
    adapter(h, adapter.project(heard)).square().sum().backward()
    assert adapter.attention.mix.weight.grad[:, 2 * WIDTH :].any()
    with torch.no_grad():
        adapter.attention.mix.weight -= 0.1 * adapter.attention.mix.weight.grad
    assert not torch.equal(adapter(h, adapter.project(heard)), before)
    assert not torch.equal(adapter(h, adapter.project(heard)), adapter(h, adapter.project(memory)))


def test_attention_to_every_patch_gains_no_axis() -> None:
    with pytest.raises(ConfigError, match="only attention='separable' has axes, so this adapter cannot gain sound"):
        make_adapter(attention="full").grow_axis("sound", memory_width=10)
