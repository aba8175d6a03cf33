from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from helpers.image_models import PATCH, SIZE, TRANSFORMERS, VIT, write_timm, write_transformers

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.model.encoders.frames import FramesConfig, FramesEncoder, sinusoids
from pseudocap.model.encoders.load import load_encoder

SWIN = {"depths": (1, 1), "num_heads": (1, 2)}
TIMM_MODELS: dict[str, dict[str, Any]] = {
    "vit_base_patch16_clip_224.openai": VIT,  # a class token
    "vit_small_patch14_reg4_dinov2": VIT,  # a class token and registers
    "vit_base_patch16_siglip_224": VIT,  # neither
    "test_resnet": {},
    "test_convnext": {},
    "test_efficientnet": {},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "window_size": 4, "embed_dim": 8, **SWIN},
}


def clips(*shape: int, size: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    write_timm(folder, **VIT)
    return folder


def naive_memory(grids: list[list[torch.Tensor]], frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled by loops over the patches [S,E] of each frame of each clip."""
    time, space = [], []
    for clip in grids:
        width = clip[0].shape[1]
        for rank, grid in enumerate(clip):
            position = rank * frames / len(clip)
            half = width // 2
            wave = [math.sin(position / 10000 ** (k / half)) for k in range(half)]
            wave += [math.cos(position / 10000 ** (k / half)) for k in range(half)]
            time.append(torch.stack([grid[:, e].max() + wave[e] for e in range(width)]))
        space.append(torch.stack([torch.stack([each[s] for each in clip]).max(dim=0)[0] for s in range(len(clip[0]))]))
    return torch.stack(time).unflatten(0, (len(grids), -1)), torch.stack(space)


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_a_timm_model_sees_every_frame_as_by_itself(name: str, tmp_path: Path) -> None:
    """Row by row: a row of the grid is what the model itself makes of that frame, cut and turned by hand."""
    model = write_timm(tmp_path, name, **TIMM_MODELS[name])
    encoder = load_encoder(tmp_path)
    size = encoder.preprocess.size
    frames = clips(2, 3, size=size)
    memory = encoder.encode(frames, patches=True)
    grids = []
    for clip in frames:
        row = []
        for frame in clip:
            with torch.no_grad():
                features = model.forward_features(frame[None])[0]
            if name.startswith("vit"):
                registers = {"reg4": 5, "siglip": 0}
                features = features[next((n for word, n in registers.items() if word in name), 1) :]
                features = features.unflatten(0, (size // PATCH, size // PATCH))
            elif not name.startswith("swin"):
                features = features.permute(1, 2, 0)
            rows, columns = features.shape[:2]
            row.append(torch.stack([features[y, x] for y in range(rows) for x in range(columns)]))
        grids.append(row)
    time, space = naive_memory(grids, 8)
    torch.testing.assert_close(memory.time, time, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(memory.space, space, rtol=1e-4, atol=1e-4)
    assert memory.patches is not None
    assert memory.patches.shape == (2, 3, *grids[0][0].shape)
    assert encoder.width("time") == grids[0][0].shape[1]
    assert math.prod(encoder.grid(size, size)) == len(grids[0][0])


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_an_image_model_of_transformers_sees_every_frame_as_by_itself(kind: str, tmp_path: Path) -> None:
    model = write_transformers(tmp_path, kind)
    encoder = load_encoder(tmp_path)
    frames = clips(1, 2, size=SIZE)
    tower = getattr(model, "vision_model", model if type(model).__name__.endswith("Model") else model.base_model)
    grids = []
    for frame in frames[0]:
        with torch.no_grad():
            features = tower(pixel_values=frame[None]).last_hidden_state[0]
            if kind == "clip":
                features = tower.post_layernorm(features)
        if features.dim() == 3:
            features = features.flatten(1).T
        else:
            features = features[{"siglip": 0, "swin": 0, "dinov2_with_registers": 5, "dinov3_vit": 3}.get(kind, 1) :]
        grids.append(features)
    memory = encoder.encode(frames)
    time, space = naive_memory([grids], 8)
    torch.testing.assert_close(memory.time, time, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(memory.space, space, rtol=1e-4, atol=1e-4)
    assert encoder.preprocess.size == SIZE
    mean = {"clip": 0.48145466, "dinov2": 0.485, "siglip": 0.5}
    if kind in mean:
        assert encoder.preprocess.mean[0] == pytest.approx(mean[kind], abs=0.004)


def test_a_cnn_tells_the_top_left_of_a_frame_from_the_rest(tmp_path: Path) -> None:
    write_timm(tmp_path, "test_resnet")
    encoder = load_encoder(tmp_path)
    black, corner = torch.zeros(1, 1, 3, 160, 320), torch.zeros(1, 1, 3, 160, 320)
    corner[..., :8, -8:] = 9  # top right
    assert encoder.grid(160, 320) == (5, 10)
    changed = (encoder.encode(corner).space - encoder.encode(black).space).abs().amax(dim=2)[0].view(5, 10)
    row, column = divmod(int(changed.argmax()), 10)
    assert (row, column) == (0, 9)


def test_a_batch_means_what_its_clips_mean_alone(vit: Path) -> None:
    encoder = load_encoder(vit)
    frames = clips(3, 4, size=SIZE)
    whole = encoder.encode(frames, patches=True)
    for index in range(3):
        alone = encoder.encode(frames[index : index + 1], patches=True)
        for name in ("time", "space", "patches"):
            torch.testing.assert_close(getattr(whole, name)[index], getattr(alone, name)[0], rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing_and_is_never_seen(vit: Path) -> None:
    encoder = load_encoder(vit)
    frames = clips(2, 5, size=SIZE)
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])
    frames[~mask] = float("nan")
    padded = encoder.encode(frames, mask, patches=True)
    alone = encoder.encode(frames[1:, mask[1]], patches=True)
    torch.testing.assert_close(padded.time[1, mask[1]], alone.time[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(padded.space[1], alone.space[0], rtol=1e-5, atol=1e-5)
    assert padded.patches is not None
    assert alone.patches is not None
    torch.testing.assert_close(padded.patches[1, mask[1]], alone.patches[0], rtol=1e-5, atol=1e-5)
    assert not padded.time[1, ~mask[1]].any()
    assert not padded.patches[1, ~mask[1]].any()
    assert torch.equal(padded.time_mask, mask)


def test_order_is_told_by_time_alone(vit: Path) -> None:
    """A film backwards has the same space, and time that differs by more than the order of its vectors."""
    encoder = load_encoder(vit)
    frames = clips(1, 4, size=SIZE)
    forth, back = encoder.encode(frames), encoder.encode(frames.flip(1))
    torch.testing.assert_close(forth.space, back.space)
    assert not torch.allclose(forth.time, back.time.flip(1), atol=0.1)


def test_one_frame_is_the_image_itself(vit: Path) -> None:
    encoder = load_encoder(vit)
    memory = encoder.encode(clips(1, 1, size=SIZE), patches=True)
    assert memory.patches is not None
    torch.testing.assert_close(memory.time, memory.patches.amax(dim=2))
    torch.testing.assert_close(memory.space, memory.patches[:, 0] - sinusoids(torch.zeros(1, 1), 16))


def test_an_encoder_without_positions_sees_no_order_and_is_another_one(tmp_path: Path) -> None:
    config = FramesConfig(architecture="test_efficientnet", size=64)
    network = timm.create_model("test_efficientnet", num_classes=0)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    with_order = FramesEncoder.from_state(config, state, source="made").eval()
    without = FramesEncoder.from_state(dataclasses.replace(config, positions=False), state, source="made").eval()
    frames = clips(1, 4, size=64)
    forth, back = without.encode(frames), without.encode(frames.flip(1))
    torch.testing.assert_close(forth.time, back.time.flip(1))
    torch.testing.assert_close(forth.space, with_order.encode(frames).space)
    assert not torch.allclose(forth.time, with_order.encode(frames).time, atol=0.1)
    assert without.fingerprint != with_order.fingerprint
    without.save_pretrained(tmp_path / "encoder")
    assert load_encoder(tmp_path / "encoder").fingerprint == without.fingerprint


def test_positions_stretch_to_the_clip() -> None:
    torch.testing.assert_close(sinusoids(torch.tensor([[0.0]]), 5)[0, 0], torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0]))
    waves = sinusoids(torch.arange(96.0)[None], 32)
    assert torch.unique(waves.round(decimals=4), dim=1).shape[1] == 96


@pytest.mark.parametrize("kind", ["timm", "clip", "dinov2", "resnet"])
def test_frames_of_other_sizes_are_seen_where_the_network_allows_it(kind: str, tmp_path: Path) -> None:
    if kind == "timm":
        write_timm(tmp_path, **VIT)
    else:
        write_transformers(tmp_path, kind)
    encoder = load_encoder(tmp_path)
    frames = torch.randn(1, 2, 3, 48, 64)
    rows, columns = encoder.grid(48, 64)
    assert encoder.encode(frames).space.shape[1] == rows * columns
    if kind != "resnet":
        assert (rows, columns) == (48 // PATCH, 64 // PATCH)
        with pytest.raises(InputError, match="multiples of the patch size 8"):
            encoder.encode(torch.zeros(1, 1, 3, 36, 32))
        with pytest.raises(ConfigError, match="multiple of the encoder's patch size 8, not 36"):
            encoder.check_size(36)


def test_a_network_of_one_size_says_so(tmp_path: Path) -> None:
    write_timm(tmp_path, "beit_base_patch16_224", **VIT)
    encoder = load_encoder(tmp_path)
    encoder.check_size(SIZE)
    with pytest.raises(InputError, match=r"takes no frames of 48 x 48 pixels .* to 32 for instance"):
        encoder.encode(torch.zeros(1, 1, 3, 48, 48))
    with pytest.raises(ConfigError, match="size 48 cannot be"):
        encoder.check_size(48)


def test_a_size_that_patches_do_not_divide_is_the_networks_own(tmp_path: Path) -> None:
    """SigLIP so400m has patches of 14 in 384 pixels."""
    write_timm(tmp_path, "vit_base_patch16_siglip_224", **{**VIT, "img_size": 36})
    encoder = load_encoder(tmp_path)
    assert encoder.grid(36, 36) == (4, 4)


# Our own format


@pytest.fixture
def made(tmp_path: Path) -> FramesEncoder:
    """The feature map of stride 16 of a CNN, standardised."""
    values = {"size": 64, "mean": (0.5,) * 3, "std": (0.5,) * 3, "frames": 4, "stage": 16}
    write_timm(tmp_path / "timm", "test_efficientnet")
    state = safetensors.torch.load_file(tmp_path / "timm/model.safetensors")
    beyond = ("blocks.4", "conv_head", "bn2", "classifier")
    kept = {f"network.{name}": value for name, value in state.items() if not name.startswith(beyond)}
    kept["standardise.mean"], kept["standardise.std"] = torch.arange(48.0), torch.arange(1.0, 49.0)
    config = FramesConfig(architecture="test_efficientnet", **values)
    return FramesEncoder.from_state(config, kept, source="made").requires_grad_(False).eval()


def test_a_feature_map_by_its_stride_standardised_per_channel(made: FramesEncoder, tmp_path: Path) -> None:
    model = write_timm(tmp_path / "again", "test_efficientnet")
    frames = clips(1, 2, size=64)
    with torch.no_grad():
        maps = model.forward_intermediates(frames[0], intermediates_only=True)
    grid = next(each for each in maps[::-1] if each.shape[-1] == 64 // 16)
    expected = (grid - torch.arange(48.0)[:, None, None]) / torch.arange(1.0, 49.0)[:, None, None]
    torch.testing.assert_close(made(frames)[0], expected.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)


def test_our_format_holds_weights_standardisation_and_stage(made: FramesEncoder, tmp_path: Path) -> None:
    made.save_pretrained(tmp_path / "ours")
    document = json.loads((tmp_path / "ours/config.json").read_text())
    assert document == {
        "model_type": "pseudocap-frames",
        "architecture": "test_efficientnet",
        "size": 64,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "frames": 4,
        "stage": 16,
    }
    again = load_encoder(tmp_path / "ours")
    frames = clips(2, 3, size=64)
    torch.testing.assert_close(again.encode(frames).time, made.encode(frames).time)
    assert again.fingerprint == made.fingerprint
    assert again.preprocess.frames == 4


def test_the_identity_is_of_weights_standardisation_stage_and_architecture(made: FramesEncoder, tmp_path: Path) -> None:
    made.half().save_pretrained(tmp_path / "half")
    half = load_encoder(tmp_path / "half")
    made.float().save_pretrained(tmp_path / "whole")
    assert load_encoder(tmp_path / "whole").fingerprint == half.fingerprint
    assert load_encoder(tmp_path / "half", dtype=torch.bfloat16).fingerprint == half.fingerprint
    made.standardise.std[3] += 1
    made.save_pretrained(tmp_path / "other")
    assert load_encoder(tmp_path / "other").fingerprint != half.fingerprint
    for name, value in (("frames", 5), ("architecture", "test_efficientnet_ln")):
        document = json.loads((tmp_path / "whole/config.json").read_text())
        (tmp_path / "whole/config.json").write_text(json.dumps({**document, name: value}))
        if name == "frames":
            assert load_encoder(tmp_path / "whole").fingerprint != half.fingerprint
        else:
            with pytest.raises(CheckpointError, match="do not fit"):
                load_encoder(tmp_path / "whole")


def test_gelu_and_quick_gelu_with_the_same_weights_are_two_encoders(vit: Path, tmp_path: Path) -> None:
    document = json.loads((vit / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps({**document, "architecture": "vit_base_patch16_clip_quickgelu_224"})
    )
    (tmp_path / "model.safetensors").write_bytes((vit / "model.safetensors").read_bytes())
    assert load_encoder(tmp_path).fingerprint != load_encoder(vit).fingerprint


def test_a_timm_checkpoint_and_our_copy_of_it_are_one_encoder(vit: Path, tmp_path: Path) -> None:
    encoder = load_encoder(vit)
    assert isinstance(encoder, FramesEncoder)
    encoder.save_pretrained(tmp_path / "ours")
    assert load_encoder(tmp_path / "ours").fingerprint == encoder.fingerprint


def test_a_frozen_encoder_stays_as_it_is(vit: Path) -> None:
    encoder = load_encoder(vit)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_loading_leaves_torchs_random_state_alone(tmp_path: Path) -> None:
    write_timm(tmp_path, "swin_tiny_patch4_window7_224", **TIMM_MODELS["swin_tiny_patch4_window7_224"])
    torch.manual_seed(7)
    load_encoder(tmp_path)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))


# Fewer bits and layers


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["timm", "siglip", "resnet"])
def test_linear_layers_of_any_encoder_become_fewer_bits(kind: str, precision: str, tmp_path: Path) -> None:
    if kind == "timm":
        write_timm(tmp_path, **VIT)
    else:
        write_transformers(tmp_path, kind)
    encoder = load_encoder(tmp_path)
    frames = clips(1, 2, size=SIZE)
    full = encoder.encode(frames)
    encoder.pack(precision)
    packed = encoder.encode(frames)
    assert torch.nn.functional.cosine_similarity(full.space, packed.space, dim=-1).min() > 0.98
    assert torch.equal(full.space, packed.space) == (kind == "resnet")


def test_a_network_that_reads_its_layers_weights_stays_whole_and_says_so(tmp_path: Path) -> None:
    write_timm(tmp_path, "eva02_tiny_patch14_224", **VIT)
    encoder = load_encoder(tmp_path)
    frames = clips(1, 1, size=SIZE)
    full = encoder.encode(frames)
    with pytest.raises(ConfigError, match=r"eva02_tiny_patch14_224 cannot be held in int8 .* precision='float32'"):
        encoder.pack("int8")
    assert torch.equal(encoder.encode(frames).time, full.time)


@pytest.mark.parametrize(("kind", "count"), [("timm", 2), ("clip", 2), ("convnext", 2)])
def test_the_layers_are_the_networks_trunk(kind: str, count: int, tmp_path: Path) -> None:
    if kind == "timm":
        write_timm(tmp_path, **VIT)
    else:
        write_transformers(tmp_path, kind)
    assert len(load_encoder(tmp_path).layers) == count


# What cannot be


def test_a_checkpoint_with_missing_keys_is_refused_by_name(vit: Path, tmp_path: Path) -> None:
    state = safetensors.torch.load_file(vit / "model.safetensors")
    for change, message in (
        ({"blocks.1.mlp.fc1.weight": None}, r"missing blocks.1.mlp.fc1.weight"),
        ({"blocks.2.mlp.fc1.weight": torch.zeros(1)}, r"unexpected blocks.2.mlp.fc1.weight"),
        ({"cls_token": torch.zeros(1, 1, 8)}, r"cls_token is \[1, 1, 8\] and should be \[1, 1, 16\]"),
        ({"cls_token": torch.full((1, 1, 16), torch.nan)}, r"NaN"),
    ):
        changed = {name: value for name, value in {**state, **change}.items() if value is not None}
        safetensors.torch.save_file(changed, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
        with pytest.raises(CheckpointError, match=message):
            load_encoder(tmp_path)


@pytest.mark.parametrize("kind", ["clip", "vit", "dinov2"])
def test_a_transformers_checkpoint_with_other_keys_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    write_transformers(tmp_path, kind)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors", device="cpu")
    deep = next(name for name in state if ".1." in name and "text_model" not in name and name.endswith("weight"))
    less = {name: value.clone() for name, value in state.items() if name != deep}
    safetensors.torch.save_file(less, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="1 missing keys: "):
        load_encoder(tmp_path)
    more = {**less, deep: state[deep].clone(), deep.replace(".1.", ".2."): state[deep].clone()}
    safetensors.torch.save_file(more, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="1 surplus keys: "):
        load_encoder(tmp_path)


def test_old_clip_checkpoints_carry_the_numbers_of_their_positions(tmp_path: Path) -> None:
    write_transformers(tmp_path, "clip")
    state = {name: value.clone() for name, value in safetensors.torch.load_file(tmp_path / "model.safetensors").items()}
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_encoder(tmp_path).width("space") == 16


def test_weights_of_pytorchs_own_format_are_read_without_running_code(vit: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    torch.save(safetensors.torch.load_file(vit / "model.safetensors"), tmp_path / "pytorch_model.bin")
    assert load_encoder(tmp_path).fingerprint == load_encoder(vit).fingerprint
    torch.save({"state_dict": Path()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="code in it is never run"):
        load_encoder(tmp_path)


def test_standard_deviations_of_zero_are_refused(made: FramesEncoder, tmp_path: Path) -> None:
    made.standardise.std[0] = 0
    made.save_pretrained(tmp_path / "ours")
    with pytest.raises(CheckpointError, match=r"standardise.std divides the features"):
        load_encoder(tmp_path / "ours")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "test_efficientnot"}, r"no model 'test_efficientnot' \(did you mean 'test_efficientnet'\?\)"),
        ({"stage": 7}, "stage 7 is no stride of a feature map of test_efficientnet; there are 2, 4, 8, 16, 32"),
        ({"frames": 97}, "frames must be at most 96"),
        ({"std": [0, 1, 1]}, "must be above 0"),
        ({"sise": 3}, "sise"),
    ],
)
def test_a_config_that_cannot_be_is_refused(
    change: dict[str, Any], message: str, made: FramesEncoder, tmp_path: Path
) -> None:
    made.save_pretrained(tmp_path / "ours")
    document = json.loads((tmp_path / "ours/config.json").read_text())
    (tmp_path / "ours/config.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(CheckpointError, match=message):
        load_encoder(tmp_path / "ours")


def test_an_image_model_of_transformers_keeps_its_own_format(tmp_path: Path) -> None:
    write_transformers(tmp_path, "clip")
    encoder = load_encoder(tmp_path)
    assert isinstance(encoder, FramesEncoder)
    with pytest.raises(ConfigError, match="copy its directory"):
        encoder.save_pretrained(tmp_path / "ours")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="its mean, std and size of images are in that file"):
        load_encoder(tmp_path)


def test_frames_that_cannot_be_are_refused(vit: Path) -> None:
    encoder = load_encoder(vit)
    with pytest.raises(InputError, match="NaN"):
        encoder.encode(torch.full((1, 1, 3, SIZE, SIZE), torch.nan))
    with pytest.raises(InputError, match="hides every frame"):
        encoder.encode(torch.zeros(1, 1, 3, SIZE, SIZE), torch.zeros(1, 1, dtype=torch.bool))
    with pytest.raises(InputError, match="1 to 96 frames"):
        encoder.encode(torch.zeros(1, 97, 3, SIZE, SIZE))
