"""Bottleneck fusion at tiny size: against timm's ViT, and what may cross between modalities."""

from __future__ import annotations

import pytest
import timm
import torch

from pseudocap.errors import ConfigError, InputError
from pseudocap.model.bottleneck import (
    VIDEOCC,
    BottleneckTransformer,
    Patches,
    PatchGrid,
    picture_patches,
    spectrogram_patches,
)

SIDE = 8
GRIDS = {
    "video": PatchGrid(steps=3, patches=4, width=3 * SIDE * SIDE),
    "audio": PatchGrid(steps=4, patches=2, width=SIDE * SIDE),
}


def tiny(*modalities: str, fusion_layer: int = 1, seed: int = 0) -> BottleneckTransformer:
    torch.manual_seed(seed)
    grids = {name: GRIDS[name] for name in modalities}
    network = BottleneckTransformer(grids, width=16, depth=3, heads=2, bottlenecks=2, fusion_layer=fusion_layer).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
    return network


def clips(*, sound: float = 1.0) -> dict[str, Patches]:
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(2, 3, 3, 16, 16, generator=generator)
    spectrogram = sound * torch.randn(2, 32, 16, generator=generator)
    return {"video": picture_patches(frames, SIDE), "audio": spectrogram_patches(spectrogram, SIDE)}


def test_sight_alone_is_timms_vit_of_one_frame() -> None:
    settings = {"img_size": 16, "patch_size": SIDE, "embed_dim": 16, "depth": 3, "num_heads": 2, "num_classes": 0}
    vit = timm.models.VisionTransformer(**settings).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.3)
    network = tiny("video")
    network.start_from_vit(vit.state_dict())
    with torch.no_grad():
        network.streams["video"].get_parameter("steps").zero_()
        frames = torch.randn(2, 1, 3, 16, 16)
        expected = vit.forward_features(frames[:, 0])[:, 0]
        torch.testing.assert_close(network({"video": picture_patches(frames, SIDE)}), expected, atol=1e-5, rtol=1e-4)


def test_patches_are_cut_along_the_rows() -> None:
    frames = torch.arange(2 * 3 * 16 * 16.0).view(1, 2, 3, 16, 16)
    patches = picture_patches(frames, SIDE)
    assert patches.vectors.shape == (1, 2, 4, 3 * SIDE * SIDE)
    assert torch.equal(patches.vectors[0, 1, 1], frames[0, 1, :, :8, 8:].flatten())
    values = torch.arange(32 * 16.0).view(1, 32, 16)
    sound = spectrogram_patches(values, SIDE)
    assert sound.vectors.shape == (1, 4, 2, SIDE * SIDE)
    assert torch.equal(sound.vectors[0, 2, 1], values[0, 16:24, 8:].flatten())
    mask = torch.arange(32)[None] < 17
    assert spectrogram_patches(values, SIDE, mask).mask.tolist() == [[True, True, True, False]]


def test_sight_and_sound_meet_in_the_bottleneck_alone() -> None:
    seen: dict[str, torch.Tensor] = {}

    def run(network: BottleneckTransformer, sound: float) -> torch.Tensor:
        handle = network.norms["video"].register_forward_hook(lambda *args: seen.update(video=args[2]))
        network(clips(sound=sound))
        handle.remove()
        return seen["video"]

    network = tiny("video", "audio", fusion_layer=1)
    assert (run(network, 1.0) - run(network, 2.0)).abs().max() > 1e-4, "what is heard reaches [CLS] of sight"
    # Sight reads at layer l what sound wrote before it, so with fusion in the last layer alone nothing arrives.
    late = tiny("video", "audio", fusion_layer=2)
    assert torch.equal(run(late, 1.0), run(late, 2.0))
    assert network.bottlenecks is not None
    assert tiny("video").bottlenecks is None


@pytest.mark.parametrize("modalities", [("video",), ("audio",), ("video", "audio")])
def test_a_batch_gives_what_each_clip_gives_alone_and_padding_nothing(modalities: tuple[str, ...]) -> None:
    network = tiny(*modalities)
    batch = {name: clips()[name] for name in modalities}
    for patches in batch.values():
        patches.mask[0, 2:] = False
    together = network(batch)
    assert together.shape == (2, 16)
    alone = {name: Patches(each.vectors[:1, :2], each.mask[:1, :2]) for name, each in batch.items()}
    torch.testing.assert_close(network(alone)[0], together[0])
    for patches in batch.values():
        patches.vectors[0, 2:] = 1e3
    torch.testing.assert_close(network(batch), together)


def test_a_silent_clip_is_what_it_is_without_sound() -> None:
    network = tiny("video", "audio")
    batch = clips()
    batch["audio"].mask[0] = False
    found = network(batch)
    torch.testing.assert_close(found[0], network({"video": clips()["video"]})[0])
    assert (found[1] - network({"video": clips()["video"]})[1]).abs().max() > 1e-3


def test_every_parameter_learns() -> None:
    network = tiny("video", "audio").train()
    network(clips()).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_videoccs_sizes_are_the_defaults() -> None:
    with torch.device("meta"):
        network = BottleneckTransformer(VIDEOCC)
    assert network.bottlenecks is not None
    assert network.bottlenecks.shape == (4, 768)
    assert (network.fusion_layer, network.depth) == (8, 12)
    assert network.streams["audio"].get_parameter("steps").shape == (50, 768)
    frames = torch.zeros(1, 1, 3, 224, 224)
    assert picture_patches(frames, 16).vectors.shape[2:] == (VIDEOCC["video"].patches, VIDEOCC["video"].width)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="fusion_layer must be from 0 to below the 3 layers, not 3"):
        tiny("video", fusion_layer=3)
    with pytest.raises(ConfigError, match="fuses video and audio, not smell"):
        BottleneckTransformer({"smell": GRIDS["video"]})
    with pytest.raises(InputError, match="up to 3 steps, 4, 192"):
        tiny("video")({"video": picture_patches(torch.zeros(1, 4, 3, 16, 16), SIDE)})
    with pytest.raises(InputError, match="have none of audio"):
        tiny("audio")({"video": clips()["video"]})
