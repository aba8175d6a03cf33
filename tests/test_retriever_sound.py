"""A retriever that hears: what it embeds by sight, by sound and by both, and how it learns to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.audio_models import write_audio_model
from helpers.retrievers import build_retriever
from helpers.sounding import Track, write_sounding

from pseudocap.audio.clips import ClipSounds
from pseudocap.cli.main import main
from pseudocap.errors import ConfigError, InputError, NoSoundError
from pseudocap.heard_clips import HeardClip
from pseudocap.model.bottleneck import BottleneckTransformer, PatchGrid, picture_patches, spectrogram_patches
from pseudocap.model.encoders.pixels import MODEL_TYPE, SPECTROGRAM
from pseudocap.regimes.retrieval import Retrieval
from pseudocap.retriever import Retriever
from pseudocap.types import MOST_WINDOWS, Batch
from pseudocap.video.tensors import read_file

TEXTS = ["a red square", "two dogs play guitar on a stage"]
BOTTLENECK = {"media": "bottleneck", "media_layers": 2, "fusion_layer": 1}
BOTH = pytest.mark.parametrize("settings", [{}, BOTTLENECK], ids=["pooled", "bottleneck"])


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio") / "ast"
    write_audio_model(folder)
    return folder


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same pictures with two sounds and with none."""
    folder = tmp_path_factory.mktemp("films")
    return {
        "loud": write_sounding(folder / "loud.mp4", Track()),
        "faint": write_sounding(folder / "faint.mp4", Track(gains=(0.05,))),
        "silent": write_sounding(folder / "silent.mp4"),
    }


def by(model: Retriever, modalities: str, file: Path) -> torch.Tensor:
    model.listen_to(modalities)
    return model.embed_video(file)


@BOTH
def test_a_film_is_embedded_by_sight_by_sound_and_by_both(
    backbones: Path, ast: Path, sounding: dict[str, Path], settings: dict[str, Any]
) -> None:
    model = build_retriever(backbones, audio_encoder=ast, **settings)
    loud, faint, silent = sounding.values()
    assert (by(model, "av", loud) - by(model, "av", faint)).abs().max() > 1e-4
    assert (by(model, "a", loud) - by(model, "a", faint)).abs().max() > 1e-4
    torch.testing.assert_close(by(model, "v", loud), by(model, "v", faint))
    torch.testing.assert_close(by(model, "av", silent), by(model, "v", silent))
    assert (by(model, "av", loud) - by(model, "v", loud)).abs().max() > 1e-4
    model.listen_to("av")
    torch.testing.assert_close(model.embed_video([loud, silent, faint])[1:2], model.embed_video(silent))
    clip = model.decode(loud, start=0.5, end=1.5)
    assert isinstance(clip, HeardClip)
    assert model.config.sound_preprocess is not None
    with ClipSounds(loud, model.config.sound_preprocess) as sounds:
        windows, _ = sounds.of(0.5, 1.5) or ((), ())
    assert torch.equal(clip.windows, torch.as_tensor(windows))


@BOTH
def test_what_is_heard_alone_needs_no_pictures(
    backbones: Path, ast: Path, sounding: dict[str, Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    model = build_retriever(backbones, audio_encoder=ast, **settings)
    sound = write_sounding(tmp_path / "sound.wav", Track(codec="pcm_s16le"), codec=None)
    film = write_sounding(tmp_path / "film.mkv", Track(codec="pcm_s16le"))
    torch.testing.assert_close(by(model, "a", sound), by(model, "a", film), atol=1e-3, rtol=1e-3)
    assert (by(model, "a", sound) - by(model, "a", sounding["faint"])).abs().max() > 1e-3
    with pytest.raises(NoSoundError):
        by(model, "a", sounding["silent"])
    with pytest.raises(InputError, match="modalities must be one of av, v, a, not 'sound'"):
        model.listen_to("sound")
    with pytest.raises(InputError, match="this retriever does not hear: modalities is 'a'"):
        build_retriever(backbones).listen_to("a")


def test_a_sound_is_the_same_whatever_is_seen(backbones: Path, ast: Path, sounding: dict[str, Path]) -> None:
    model = build_retriever(backbones, audio_encoder=ast, **BOTTLENECK)
    one, other = (model.decode(sounding[name]) for name in ("loud", "loud"))
    assert isinstance(other, HeardClip)
    assert other.frames is not None
    model.listen_to("a")
    turned = replace(other, frames=other.frames.flip(-1))
    torch.testing.assert_close(model.embed_clips([one]), model.embed_clips([turned]))


@BOTH
def test_a_saved_retriever_hears_the_same(
    backbones: Path, ast: Path, sounding: dict[str, Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    model = build_retriever(backbones, audio_encoder=ast, **settings)
    model.save_pretrained(tmp_path / "saved")
    again = Retriever.from_pretrained(tmp_path / "saved", device="cpu")
    assert (again.config, again.identity) == (model.config, model.identity)
    torch.testing.assert_close(again.embed_video(sounding["loud"]), model.embed_video(sounding["loud"]))
    assert set(again.state_dict()) == model.trainable_names
    assert not any(name.startswith("audio_encoder.") for name in model.trainable_names)
    deaf = build_retriever(backbones, **settings)
    deaf.save_pretrained(tmp_path / "deaf")
    assert "sound_preprocess" not in json.loads((tmp_path / "deaf" / "config.json").read_text())
    with pytest.raises(ConfigError, match="does not hear, and a retriever gains no ears"):
        Retriever.from_pretrained(tmp_path / "deaf", audio_encoder=ast, device="cpu")
    with pytest.raises(InputError, match="does not hear"):
        deaf.encode(sound=torch.zeros(1, 1, 128, 32), sound_lengths=torch.tensor([[128]]))


def test_videoccs_tower_reads_patches_of_pixels_and_of_a_spectrogram(
    backbones: Path, sounding: dict[str, Path], tmp_path: Path
) -> None:
    for name, document in (
        ("pixels", {"model_type": MODEL_TYPE, "patch": 8, "size": 16, "frames": 2}),
        ("sound", {"model_type": SPECTROGRAM, "patch": 4, "preprocess": {"bins": 8, "frames": 100}}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(document))
    model = build_retriever(
        backbones, encoder=tmp_path / "pixels", audio_encoder=tmp_path / "sound", bottlenecks=2, **BOTTLENECK
    )
    grids = {
        "video": PatchGrid(steps=2, patches=4, width=192),
        "audio": PatchGrid(steps=25 * MOST_WINDOWS, patches=2, width=16),
    }
    network = BottleneckTransformer(grids, width=16, depth=2, heads=2, bottlenecks=2, fusion_layer=1).eval()
    network.load_state_dict(model.media_tower.transformer.state_dict())
    clip = model.decode(sounding["loud"], end=1.0)
    assert isinstance(clip, HeardClip)
    assert clip.frames is not None
    assert clip.windows.shape == (1, 100, 8)
    lengths = (torch.arange(100) < clip.lengths[0])[None]
    patches = {
        "video": picture_patches(clip.frames[None], 8),
        "audio": spectrogram_patches(clip.windows, 4, lengths),
    }
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.media_tower.project(network(patches)), dim=-1)
    torch.testing.assert_close(model.embed_clips([clip]), expected)


def test_a_step_learns_from_sound_and_groups_are_drawn(backbones: Path, ast: Path, sounding: dict[str, Path]) -> None:
    model = build_retriever(backbones, audio_encoder=ast, **BOTTLENECK)
    clips = [model.decode(sounding[name]) for name in ("loud", "faint")]
    frames = torch.stack([clip.frames for clip in clips])  # type: ignore[union-attr]
    sound, lengths = (torch.stack([getattr(clip, name) for clip in clips]) for name in ("windows", "lengths"))
    batch = Batch(
        keys=("one", "two"), modality="video", captions=tuple(TEXTS), references=tuple((text,) for text in TEXTS),
        frames=frames, sound=sound, sound_lengths=lengths, step=0,
    )  # fmt: skip
    losses = {}
    for group in ("av", "v", "a"):
        module = Retrieval(model, modality_groups={group: 1.0})
        seen: list[object] = []
        module.log_losses = lambda found, _, seen=seen: seen.append(found.group)  # type: ignore[method-assign]
        module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
        loss = module.training_step(batch, 0)
        losses[group] = float(loss.detach())
        assert seen == [group]
        loss.backward()
        stream = model.media_tower.transformer.streams["audio"].project.weight
        assert bool(stream.grad is not None and stream.grad.any()) is (group != "v")
        model.zero_grad()
    assert len(set(losses.values())) == 3
    with pytest.raises(ConfigError, match="modality_groups is for a model that hears"):
        Retrieval(build_retriever(backbones), modality_groups={"av": 1.0})


def test_an_index_hears(backbones: Path, ast: Path, sounding: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    from pseudocap.search import VideoIndex

    model = build_retriever(backbones, audio_encoder=ast)
    model.save_pretrained(tmp_path / "saved")
    words = [
        "index",
        str(sounding["loud"].parent),
        "--retriever",
        str(tmp_path / "saved"),
        "--out",
        str(tmp_path / "i"),
    ]
    assert main([*words, "--clip-seconds", "3", "--workers", "0"]) == 0
    hits = VideoIndex.open(tmp_path / "i", device="cpu").search(TEXTS[0])
    scores = {Path(hit.file).name: hit.score for hit in hits}
    expected = {
        path.name: float(model.embed_text(TEXTS[:1])[0] @ model.embed_video(path)[0]) for path in sounding.values()
    }
    assert scores == pytest.approx(expected, abs=1e-3)
    assert abs(scores["loud.mp4"] - scores["silent.mp4"]) > 1e-4


def test_several_clips_of_a_film_have_their_part_of_the_sound(
    backbones: Path, ast: Path, sounding: dict[str, Path]
) -> None:
    model = build_retriever(backbones, audio_encoder=ast, clips=2)
    frames, info = read_file(sounding["loud"], 2 * model.frames_of(None))
    halves = model.prepare(frames).split(model.frames_of(None))
    assert model.config.sound_preprocess is not None
    with ClipSounds(sounding["loud"], model.config.sound_preprocess) as sounds:
        heard = [sounds.of(part * info.duration / 2, (part + 1) * info.duration / 2) for part in range(2)]
    clips = [HeardClip.of(half, sound) for half, sound in zip(halves, heard, strict=True) if sound is not None]
    expected = torch.nn.functional.normalize(model.embed_clips(clips).mean(dim=0), dim=0)
    torch.testing.assert_close(model.embed_video(sounding["loud"])[0], expected)
