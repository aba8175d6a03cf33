from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from transformers import TimesformerConfig, TimesformerForVideoClassification, TimesformerModel

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.model.encoders.base import pool
from pseudocap.model.encoders.convert import from_huggingface_key, read_original
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig
from pseudocap.zoo.tiny import write_timesformer


@pytest.fixture
def encoder(backbones: Path) -> TimeSformer:
    return TimeSformer.from_pretrained(backbones / "timesformer")


def by_definition(encoder: TimeSformer, frames_T3HW: torch.Tensor) -> torch.Tensor:
    """One clip through the TimeSformer as its paper defines it: loops, one attention at a time, no batching."""
    state, config = encoder.state_dict(), encoder.config
    frames, patch = len(frames_T3HW), config.patch_size
    rows, columns = frames_T3HW.shape[2] // patch, frames_T3HW.shape[3] // patch
    grid = config.image_size // patch

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], config.eps)

    def attend(name: str, x_LE: torch.Tensor) -> torch.Tensor:
        q, k, v = linear(f"{name}.qkv", x_LE).chunk(3, dim=-1)
        heads = []
        for q_LK, k_LK, v_LK in zip(*(part.chunk(config.heads, dim=-1) for part in (q, k, v)), strict=True):
            heads.append((q_LK @ k_LK.T / math.sqrt(q_LK.shape[1])).softmax(dim=-1) @ v_LK)
        return linear(f"{name}.proj", torch.cat(heads, dim=-1))

    x = torch.empty(frames, rows * columns, config.width)
    for t in range(frames):
        for s in range(rows * columns):
            row, column = divmod(s, columns)
            pixels = frames_T3HW[t, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            kernel = state["patch_embed.proj.weight"]
            near = (row * grid // rows) * grid + column * grid // columns
            x[t, s] = (kernel * pixels).sum(dim=(1, 2, 3)) + state["patch_embed.proj.bias"]
            x[t, s] += state["pos_embed"][0, 1 + near] + state["time_embed"][0, t * config.num_frames // frames]
    cls = (state["cls_token"] + state["pos_embed"][:, :1])[0]

    for i in range(config.depth):
        block = f"blocks.{i}"
        along_time = torch.stack(
            [attend(f"{block}.temporal_attn", norm(f"{block}.temporal_norm1", x[:, s])) for s in range(x.shape[1])],
            dim=1,
        )
        x = x + linear(f"{block}.temporal_fc", along_time)
        each = [torch.cat((cls, x[t])) for t in range(frames)]
        updates = torch.stack([attend(f"{block}.attn", norm(f"{block}.norm1", frame)) for frame in each])
        cls, x = cls + updates[:, :1].mean(dim=0), x + updates[:, 1:]
        thought = [
            linear(f"{block}.mlp.fc2", F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", y)))) for y in (cls, x)
        ]
        cls, x = cls + thought[0], x + thought[1]
    return norm("norm", x)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [(16, 16), (24, 16), (8, 32)])
def test_any_length_and_size_equals_the_definition(encoder: TimeSformer, frames: int, size: tuple[int, int]) -> None:
    clip = torch.randn(frames, 3, *size)
    torch.testing.assert_close(encoder(clip[None])[0], by_definition(encoder, clip), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 5, 1024])
@pytest.mark.parametrize("frames", [1, 3, 7])
def test_without_gradients_slices_of_any_size_equal_the_definition(
    encoder: TimeSformer, frames: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudocap.model.encoders.timesformer.TOKENS_AT_ONCE", at_once)
    for parameter in encoder.parameters():
        if parameter.dim() == 1:  # biases and norms stand at 0 and 1
            parameter.normal_()
    clips = torch.randn(2, 7, 3, 24, 16)
    mask = torch.tensor([[True] * frames + [False] * (7 - frames), [True] * 7])
    with torch.no_grad():
        features = encoder(clips, mask)
        torch.testing.assert_close(
            features[0, :frames], by_definition(encoder, clips[0, :frames]), atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(features[1], by_definition(encoder, clips[1]), atol=1e-5, rtol=1e-5)


def test_frames_are_left_as_they_were(encoder: TimeSformer) -> None:
    clips = torch.randn(1, 5, 3, 16, 16)
    before, weights = clips.clone(), {key: value.clone() for key, value in encoder.state_dict().items()}
    first, second = encoder.encode(clips), encoder.encode(clips)
    assert torch.equal(clips, before)
    assert torch.equal(first.space, second.space)
    assert all(torch.equal(value, weights[key]) for key, value in encoder.state_dict().items())


def test_gradients_reach_every_weight_of_an_encoder_that_learns(encoder: TimeSformer) -> None:
    encoder.requires_grad_(True)
    encoder(torch.randn(1, 3, 3, 16, 16)).square().mean().backward()
    last = f"blocks.{encoder.config.depth - 1}"
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []
    assert encoder.get_parameter(f"{last}.temporal_fc.weight").grad.abs().max() > 0


@pytest.mark.parametrize("frames", [2, 8])
def test_equals_hugging_face_at_its_own_length_and_size(tmp_path: Path, frames: int) -> None:
    write_timesformer(tmp_path, num_frames=frames, image_size=24)
    clip = torch.randn(2, frames, 3, 24, 24)
    theirs = TimesformerModel.from_pretrained(tmp_path).eval()(clip).last_hidden_state[:, 1:]
    ours = TimeSformer.from_pretrained(tmp_path)(clip)
    torch.testing.assert_close(ours, theirs.unflatten(1, (9, frames)).transpose(1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_equals_hugging_face_at_the_base_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    TimesformerModel(TimesformerConfig()).save_pretrained(tmp_path)
    clip = torch.randn(1, 8, 3, 224, 224)
    with torch.no_grad():
        theirs = TimesformerModel.from_pretrained(tmp_path).eval()(clip).last_hidden_state[:, 1:]
        ours = TimeSformer.from_pretrained(tmp_path)(clip)
    assert (ours - theirs.unflatten(1, (196, 8)).transpose(1, 2)).abs().max() < 1e-4


def test_a_padded_clip_is_the_clip_alone(encoder: TimeSformer) -> None:
    short, long = torch.randn(3, 3, 16, 16), torch.randn(6, 3, 16, 16)
    batch = torch.full((2, 6, 3, 16, 16), torch.nan)
    batch[0, :3], batch[1] = short, long
    mask = torch.tensor([[True] * 3 + [False] * 3, [True] * 6])
    together = encoder(batch, mask)
    torch.testing.assert_close(together[0, :3], encoder(short[None])[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[1], encoder(long[None])[0], atol=1e-5, rtol=1e-5)

    memory, alone = encoder.encode(batch, mask), encoder.encode(short[None])
    torch.testing.assert_close(memory.time[0, :3], alone.time[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(memory.space[:1], alone.space, atol=1e-5, rtol=1e-5)
    assert (memory.time[0, 3:] == 0).all()
    assert torch.equal(memory.time_mask, mask)


def test_padding_may_stand_anywhere(encoder: TimeSformer) -> None:
    clip = torch.randn(2, 3, 16, 16)
    batch = torch.zeros(1, 4, 3, 16, 16)
    batch[0, 1], batch[0, 3] = clip
    mask = torch.tensor([[False, True, False, True]])
    torch.testing.assert_close(encoder(batch, mask)[0, [1, 3]], encoder(clip[None])[0], atol=1e-5, rtol=1e-5)


def test_pooling_is_the_maximum_over_each_axis() -> None:
    features = torch.randn(2, 3, 5, 4)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    memory = pool(features, mask)
    assert torch.equal(memory.time[0, 1], features[0, 1].max(dim=0).values)
    assert torch.equal(memory.space[0], features[0, :2].max(dim=0).values)
    assert torch.equal(memory.space[1], features[1].max(dim=0).values)


@pytest.mark.parametrize("stored", [8, 16, 96])
def test_time_positions_are_resized_by_nearest_at_every_length(stored: int) -> None:
    encoder = TimeSformer(
        TimeSformerConfig(image_size=8, patch_size=8, num_frames=stored, width=4, depth=1, heads=1, mlp_width=4)
    )
    for frames in range(1, 97):
        resized = F.interpolate(encoder.time_embed.transpose(1, 2), size=frames, mode="nearest").transpose(1, 2)
        assert torch.equal(encoder._time_positions(frames, None), resized), frames
        masked = encoder._time_positions(frames, torch.ones(1, frames, dtype=torch.bool))
        assert torch.equal(masked, resized), frames


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
def test_half_precision_stays_near_full_precision(backbones: Path, dtype: torch.dtype, tolerance: float) -> None:
    clip = torch.randn(1, 4, 3, 16, 16)
    full = TimeSformer.from_pretrained(backbones / "timesformer")(clip)
    half = TimeSformer.from_pretrained(backbones / "timesformer", dtype=dtype)(clip)
    assert half.dtype == dtype
    assert (half.float() - full).abs().max() < tolerance


def test_a_loaded_encoder_is_frozen_and_evaluating(encoder: TimeSformer) -> None:
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_both_formats_on_disk_give_the_same_encoder(backbones: Path, encoder: TimeSformer, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    again = TimeSformer.from_pretrained(tmp_path)
    assert again.config == encoder.config
    assert again.origin.fingerprint == encoder.origin.fingerprint
    clip = torch.randn(1, 3, 3, 16, 16)
    assert torch.equal(again(clip), encoder(clip))


def test_a_classifier_checkpoint_loads_without_its_head(tmp_path: Path) -> None:
    config = TimesformerConfig(
        image_size=16,
        patch_size=8,
        num_frames=2,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    classifier = TimesformerForVideoClassification(config).eval()
    classifier.save_pretrained(tmp_path)
    clip = torch.randn(1, 2, 3, 16, 16)
    theirs = classifier.timesformer(clip).last_hidden_state[:, 1:].unflatten(1, (4, 2)).transpose(1, 2)
    torch.testing.assert_close(TimeSformer.from_pretrained(tmp_path)(clip), theirs, atol=1e-5, rtol=1e-5)


def test_from_timm_sees_a_single_frame_exactly_as_the_vit_does() -> None:
    torch.manual_seed(3)
    encoder = TimeSformer.from_timm("vit_tiny_patch16_224", num_frames=4, pretrained=False)
    torch.manual_seed(3)
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(image[:, None])[:, 0], vit.forward_features(image)[:, 1:], atol=1e-4, rtol=1e-4
        )
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.config.mean == vit.pretrained_cfg["mean"]
    state = encoder.state_dict()
    assert torch.equal(state["blocks.3.temporal_attn.qkv.weight"], state["blocks.3.attn.qkv.weight"])
    assert not any(state[key].any() for key in state if "temporal_fc" in key or key == "time_embed")


def test_from_timm_refuses_what_is_no_plain_vit() -> None:
    with pytest.raises(CheckpointError, match="resnet10t is no plain ViT"):
        TimeSformer.from_timm("resnet10t", pretrained=False)
    with pytest.raises(CheckpointError, match="without one plain attention"):
        TimeSformer.from_timm("vit_small_patch16_18x2_224", pretrained=False)
    with pytest.raises(CheckpointError, match=r"unexpected blocks.0.ls1.gamma"):
        TimeSformer.from_timm("vit_small_patch14_dinov2", pretrained=False)


def original_state(encoder: TimeSformer, *, prefix: str) -> dict[str, torch.Tensor]:
    state = {f"{prefix}{key}": value for key, value in encoder.state_dict().items()}
    return state | {f"{prefix}head.weight": torch.zeros(5, 16), f"{prefix}head.bias": torch.zeros(5)}


@pytest.mark.parametrize("prefix", ["model.", ""])
@pytest.mark.parametrize("frames", [8, 16, 96])
def test_an_original_checkpoint_is_read_whatever_its_prefix_and_length(
    tmp_path: Path, prefix: str, frames: int
) -> None:
    config = TimeSformerConfig(image_size=16, patch_size=8, num_frames=frames, width=16, depth=2, heads=2, mlp_width=32)
    encoder = TimeSformer(config)
    torch.save(
        {"epoch": 3, "cfg": "TRAIN: ...", "model_state": original_state(encoder, prefix=prefix)},
        tmp_path / "x.pyth",
    )
    values, state = read_original(tmp_path / "x.pyth", heads=2)
    again = TimeSformer.from_state(TimeSformerConfig(**values), state, source="x.pyth")
    assert again.config == config
    clip = torch.randn(1, 3, 3, 16, 16)
    assert torch.equal(again(clip), encoder(clip))


def test_the_real_checkpoint_has_exactly_our_keys_and_shapes(shared_data: Path) -> None:
    listed = {}
    for line in (shared_data / "timesformer/TimeSformer_divST_8x32_224_keys.tsv").read_text().splitlines():
        key, shape = line.split("\t")
        if not key.startswith("model.head."):
            listed[key.removeprefix("model.")] = [int(side) for side in shape.split("x")]
    with torch.device("meta"):
        ours = {key: list(value.shape) for key, value in TimeSformer(TimeSformerConfig()).state_dict().items()}
    assert ours == listed


def test_every_hugging_face_key_has_one_of_ours() -> None:
    with torch.device("meta"):
        theirs = TimesformerModel(TimesformerConfig()).state_dict()
        ours = TimeSformer(TimeSformerConfig()).state_dict()
    assert {from_huggingface_key(key): value.shape for key, value in theirs.items()} == {
        key: value.shape for key, value in ours.items()
    }


def test_equal_shapes_do_not_hide_other_weights(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_timesformer(tmp_path / str(seed), seed=seed)
    first, second = (TimeSformer.from_pretrained(tmp_path / str(seed)).origin for seed in (0, 1))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 3, 20, 16), r"20 x 16 pixels.*multiples of the patch size 8"),
        ((1, 0, 3, 16, 16), "1 to 96 frames, not 0"),
        ((1, 97, 3, 16, 16), "1 to 96 frames, not 97"),
        ((0, 4, 3, 16, 16), "the batch is empty"),
        ((1, 4, 1, 16, 16), r"\[B, T, 3, H, W\]"),
        ((4, 3, 16, 16), r"\[B, T, 3, H, W\]"),
    ],
)
def test_frames_that_cannot_be_are_refused_with_the_reason(
    encoder: TimeSformer, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        encoder(torch.zeros(shape))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_pixels_that_are_no_numbers_are_refused(encoder: TimeSformer, bad: float) -> None:
    clip = torch.zeros(1, 4, 3, 16, 16)
    clip[0, 2, 1, 5, 5] = bad
    with pytest.raises(InputError, match="NaN or infinite pixels"):
        encoder(clip)


def test_bytes_and_bad_masks_are_refused(encoder: TimeSformer) -> None:
    clip = torch.zeros(1, 4, 3, 16, 16)
    with pytest.raises(InputError, match=r"normalised floats, not torch.uint8"):
        encoder(clip.to(torch.uint8))
    with pytest.raises(InputError, match="hides every frame"):
        encoder(clip, torch.zeros(1, 4, dtype=torch.bool))
    with pytest.raises(InputError, match=r"boolean and of shape \[1, 4\]"):
        encoder(clip, torch.ones(1, 3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("width", 0, "width must be a whole number above 0"),
        ("heads", 5, "cannot be shared among 5 heads"),
        ("image_size", 30, "no multiple of patch_size"),
        ("num_frames", 97, "at most 96"),
    ],
)
def test_a_config_that_cannot_be_is_refused_at_birth(field: str, value: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimeSformerConfig(**{"image_size": 16, "patch_size": 8, "width": 16, "heads": 2, field: value})


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"attention_type": "joint_space_time"}, "only divided_space_time"), ({"hidden_act": "relu"}, "must use GELU")],
)
def test_a_timesformer_that_computes_otherwise_is_refused(
    tmp_path: Path, setting: dict[str, str], message: str
) -> None:
    write_timesformer(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **setting}))
    with pytest.raises(CheckpointError, match=message):
        TimeSformer.from_pretrained(tmp_path)


def test_damaged_and_foreign_encoders_are_refused(backbones: Path, encoder: TimeSformer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a directory nor a repo's name"):
        TimeSformer.from_pretrained(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="describes a 'opt', not a TimeSformer"):
        TimeSformer.from_pretrained(backbones / "opt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"has no config.json \(it holds nothing\)"):
        TimeSformer.from_pretrained(tmp_path / "empty")
    encoder.save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match=r"model.safetensors .* damaged or incomplete"):
        TimeSformer.from_pretrained(tmp_path)


def test_a_damaged_hugging_face_encoder_is_refused(tmp_path: Path) -> None:
    write_timesformer(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match=r"the TimeSformer in .* could not be loaded"):
        TimeSformer.from_pretrained(tmp_path)


def test_an_original_checkpoint_with_code_in_it_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model_state": Trap()}, tmp_path / "trap.pyth")
    with pytest.raises(CheckpointError, match="code in it is never run"):
        read_original(tmp_path / "trap.pyth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"model_state": {"fc.weight": torch.zeros(2)}}, "has no cls_token"),
        ({"weights": 3}, "no 'model_state' of tensors"),
    ],
)
def test_other_torch_files_are_refused(tmp_path: Path, document: dict[str, object], message: str) -> None:
    torch.save(document, tmp_path / "x.pyth")
    with pytest.raises(CheckpointError, match=message):
        read_original(tmp_path / "x.pyth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.999999.x": torch.zeros(1)}, "blocks up to 999999 but only 3 of them"),
        ({"blocks.0.mlp.fc1.weight": torch.tensor(1.0)}, "no ViT's blocks"),
        ({"pos_embed": torch.zeros(1, 0, 16)}, "0 positions: no square grid"),
    ],
)
def test_an_original_checkpoint_of_a_strange_shape_is_refused(
    tmp_path: Path, encoder: TimeSformer, change: dict[str, torch.Tensor], message: str
) -> None:
    torch.save({"model_state": {**encoder.state_dict(), **change}}, tmp_path / "x.pyth")
    with pytest.raises(CheckpointError, match=message):
        read_original(tmp_path / "x.pyth", heads=2)


def test_weights_that_are_no_numbers_are_refused(encoder: TimeSformer) -> None:
    state = encoder.state_dict()
    for broken in (state["norm.weight"] * math.nan, state["norm.weight"].long()):
        with pytest.raises(CheckpointError, match=r"NaN, infinite or whole numbers in norm.weight"):
            TimeSformer.from_state(encoder.config, {**state, "norm.weight": broken}, source="x")
