"""Any image-text or video-text model of transformers captions files as a captioner of ours does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.hub_server import Hub
from helpers.image_text_models import (
    write_blip2,
    write_encoder_decoder,
    write_git,
    write_idefics3,
    write_qwen2_vl,
    write_smolvlm,
)
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BlipForConditionalGeneration,
    BlipModel,
    ViTConfig,
    ViTModel,
)
from transformers.video_utils import VideoMetadata

from pseudocap import PseudoCap, load
from pseudocap.caption_files import caption_files
from pseudocap.decoding import FileDecoding
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.external import ExternalCaptioner, most_agreed
from pseudocap.hub.external import find_external
from pseudocap.video.reader import Frames
from pseudocap.video.tensors import read_file
from pseudocap.video.writer import write_video
from pseudocap.zoo.tiny import write_blip, write_opt

WRITERS: dict[str, Callable[[Path], None]] = {
    "blip": write_blip,
    "blip2": write_blip2,
    "git": write_git,
    "git-video": lambda folder: write_git(folder, frames=4),
    "idefics3": write_idefics3,
    "qwen2-vl": write_qwen2_vl,
    "smolvlm": write_smolvlm,
    "old": lambda folder: write_encoder_decoder(folder, processor=False),
    "trocr": write_encoder_decoder,
}
DEFAULTS = {
    "blip": "centre",
    "git": "centre",
    "git-video": "video",
    "idefics3": "centre",
    "qwen2-vl": "video",
    "smolvlm": "video",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, write in WRITERS.items():
        write(root / name)
    return root


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three films of other lengths and shapes whose every frame is other blocks, and a picture."""
    folder = tmp_path_factory.mktemp("films")
    paths = []
    for seed, (seconds, height, width) in enumerate(((3, 48, 64), (5, 32, 96), (4, 64, 48))):
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, 256, (8 * seconds, height // 8, width // 8, 3), dtype=np.uint8)
        frames = (each.repeat(8, 0).repeat(8, 1) for each in blocks)
        write_video(folder / f"{seed}.mp4", frames, rate=8, codec="mpeg4", options={"g": "4"})
        paths.append(folder / f"{seed}.mp4")
    picture = np.random.default_rng(9).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(picture).save(folder / "still.png")
    return [*paths, folder / "still.png"]


def external(folder: Path, frames: str | None = None) -> ExternalCaptioner:
    model = load(folder, frames=frames, device="cpu")
    assert isinstance(model, ExternalCaptioner)
    return model


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_in_a_batch_has_the_caption_that_it_has_alone(name: str, models: Path, films: list[Path]) -> None:
    model = external(models / name)
    together = model.caption(films, max_new_tokens=8)
    assert together == [model.caption(film, max_new_tokens=8) for film in films]
    assert len(set(together)) > 1
    assert model.caption(films[::-1], max_new_tokens=8, batch_size=3) == together[::-1]
    assert model.frames == DEFAULTS.get(name, "centre")


def generated(folder: Path, inputs: dict[str, torch.Tensor], beams: int = 1) -> str:
    """What transformers writes, without the prompt that it repeats."""
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    ids = model.generate(**inputs, max_new_tokens=8, do_sample=False, num_beams=beams)
    prompt = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
    (text,) = AutoProcessor.from_pretrained(folder).batch_decode(ids[:, prompt:], skip_special_tokens=True)
    return " ".join(text.split())


def chat(folder: Path, kind: str, question: str) -> str:
    content = [{"type": kind}, {"type": "text", "text": question}]
    text = AutoProcessor.from_pretrained(folder).apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    return str(text)


def planar(frames: Frames) -> torch.Tensor:
    return torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", ["blip", "git"])
def test_the_centre_frame_is_captioned_as_transformers_does(name: str, models: Path, films: list[Path]) -> None:
    model = external(models / name)
    for film in films:
        (image,) = planar(read_file(film, 1)[0])
        pixels = AutoProcessor.from_pretrained(models / name).image_processor([image], return_tensors="pt")
        assert model.caption(film, max_new_tokens=8) == generated(models / name, dict(pixels))


def test_a_chat_style_model_is_asked_through_its_template(models: Path, films: list[Path]) -> None:
    model, folder = external(models / "idefics3"), models / "idefics3"
    for prompt in ("", "a red ball"):
        asked = chat(folder, "image", prompt or "Describe this image in one sentence.")
        (image,) = planar(read_file(films[0], 1)[0])
        inputs = AutoProcessor.from_pretrained(folder)(images=[image], text=[asked], return_tensors="pt")
        assert model.caption(films[0], max_new_tokens=8, prompt=prompt) == generated(folder, dict(inputs))
        searched = model.caption(films[0], max_new_tokens=8, prompt=prompt, beams=3)
        assert searched == generated(folder, dict(inputs), beams=3)


def test_a_model_of_videos_gets_frames_of_all_of_a_clip(models: Path, films: list[Path]) -> None:
    git = models / "git-video"
    frames = read_file(films[1], 4)[0]
    pixels = AutoProcessor.from_pretrained(git).image_processor(list(planar(frames)), return_tensors="pt").pixel_values
    assert external(git).caption(films[1], max_new_tokens=8) == generated(git, {"pixel_values": pixels[None]})


@pytest.mark.parametrize("name", ["qwen2-vl", "smolvlm"])
def test_a_chat_style_model_of_videos_is_asked_about_videos_and_stills(
    name: str, models: Path, films: list[Path]
) -> None:
    model, folder = external(models / name), models / name
    frames = read_file(films[1], 8)[0]
    inputs = AutoProcessor.from_pretrained(folder)(
        videos=[planar(frames)], text=[chat(folder, "video", "Describe this video in one sentence.")],
        video_metadata=[VideoMetadata(total_num_frames=8, fps=8 / 5, frames_indices=list(range(8)))],
        do_sample_frames=False, return_tensors="pt",
    )  # fmt: skip
    assert model.caption(films[1], max_new_tokens=8) == generated(folder, dict(inputs))
    assert model.caption(films[1], max_new_tokens=8, beams=3) == generated(folder, dict(inputs), beams=3)
    still = AutoProcessor.from_pretrained(folder)(
        images=list(planar(read_file(films[3], 1)[0])),
        text=[chat(folder, "image", "Describe this image in one sentence.")],
        return_tensors="pt",
    )
    assert model.caption(films[3], max_new_tokens=8) == generated(folder, dict(still))


@pytest.mark.parametrize("name", ["idefics3", "qwen2-vl", "smolvlm"])
def test_a_chat_style_model_is_asked_about_several_pictures_at_once(name: str, models: Path, films: list[Path]) -> None:
    model = external(models / name, "centre")
    together = model.caption(films, max_new_tokens=8, batch_size=3)
    assert together == [model.caption(film, max_new_tokens=8) for film in films]
    assert len(set(together)) > 1


def test_a_smolvlm_without_num2words_says_what_to_install(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    with pytest.raises(CheckpointError, match="pip install num2words") as error:
        external(models / "smolvlm")
    assert "\n" not in str(error.value)


def test_consensus_takes_the_caption_that_agrees_with_most(models: Path, films: list[Path], tmp_path: Path) -> None:
    assert most_agreed(["a dog runs", "a cat sleeps on the grass", "a dog runs on the grass"]).startswith("a dog runs")
    assert most_agreed(["one"]) == "one"
    centre, voting = external(models / "blip"), external(models / "blip", "consensus")
    stills = []
    for number, pixels in enumerate(read_file(films[0], 3)[0].pixels):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        stills.append(tmp_path / f"{number}.png")
    votes = centre.caption(stills, max_new_tokens=8)
    assert isinstance(votes, list)
    assert voting.caption(films[0], max_new_tokens=8, num_frames=3) == most_agreed(votes)
    assert voting.caption(films[3], max_new_tokens=8) == centre.caption(films[3], max_new_tokens=8)


def test_sampling_repeats_with_its_seed(models: Path, films: list[Path]) -> None:
    model = external(models / "idefics3")
    first, again, other = (model.caption(films, top_p=0.95, seed=seed, max_new_tokens=8) for seed in (1, 1, 2))
    assert first == again != other


def test_a_prompt_opens_a_caption_and_is_not_repeated(models: Path, films: list[Path]) -> None:
    for name in ("blip", "blip2", "git"):
        model = external(models / name)
        plain, prompted = (model.caption(films, max_new_tokens=8, prompt=prompt) for prompt in ("", "a dog"))
        assert plain != prompted
    tokens = AutoProcessor.from_pretrained(models / "git").tokenizer("a dog", return_tensors="pt").input_ids[:, :-1]
    pixels = AutoProcessor.from_pretrained(models / "git").image_processor(
        list(planar(read_file(films[0], 1)[0])), return_tensors="pt"
    )
    expected = generated(models / "git", {**pixels, "input_ids": tokens})
    assert external(models / "git").caption(films[0], max_new_tokens=8, prompt="a dog") == expected


def test_a_long_film_and_a_broken_file_go_as_with_a_captioner_of_ours(
    models: Path, films: list[Path], tmp_path: Path
) -> None:
    model = external(models / "git-video")
    timed = list(model.caption_long(films[1], clip_seconds=2.0, max_new_tokens=4))
    assert [(each.start, each.end) for each in timed] == [(0, 2), (2, 4), (4, 5)]
    (tmp_path / "broken.mp4").write_text("no film")
    found = list(caption_files(model, [films[0], tmp_path / "broken.mp4", films[3]], FileDecoding(max_new_tokens=4)))
    assert [bool(each.error) for each in found] == [False, True, False]
    centre = external(models / "blip")
    ends = [each.captions[0].end for each in caption_files(centre, [films[0], films[3]])]
    assert ends == [pytest.approx(3, abs=0.2), 0.0]


def test_a_repo_of_the_hub_captions_by_its_name(hub: Hub, models: Path, films: list[Path]) -> None:
    commit = hub.put("team/git", {path.name: path.read_bytes() for path in (models / "git").iterdir()})
    model = load("team/git", device="cpu")
    assert isinstance(model, ExternalCaptioner)
    assert model.model.revision == commit
    assert model.caption(films[0], max_new_tokens=8) == external(models / "git").caption(films[0], max_new_tokens=8)
    found = find_external("team/git@main")
    assert found is not None
    assert (found.source, found.revision) == ("team/git", "main")


def test_a_captioner_of_ours_is_loaded_as_it_is(model: PseudoCap, films: list[Path], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert isinstance(loaded, PseudoCap)
    assert loaded.caption(films[0]) == model.caption(films[0])
    with pytest.raises(ConfigError, match="frames is centre, which is for image-text models"):
        load(tmp_path, frames="centre")


def test_what_is_no_captioner_is_refused_in_one_line(models: Path, tmp_path: Path) -> None:
    write_opt(tmp_path / "opt")
    ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(tmp_path / "vit")
    part = BlipModel(BlipForConditionalGeneration.from_pretrained(models / "blip").config)
    part.save_pretrained(tmp_path / "part")
    AutoProcessor.from_pretrained(models / "blip").save_pretrained(tmp_path / "part")
    for name, message in (
        ("opt", "opt is a opt, which writes no text about pictures; name a directory, or a repo"),
        ("vit", "vit is a vit, which writes no text about pictures"),
        ("part", "has no weights for .* tensors of a blip that writes captions, text_decoder"),
        ("gone", "gone is no directory here"),
    ):
        with pytest.raises(CheckpointError, match=message) as error:
            load(tmp_path / name if name != "gone" else "gone", device="cpu")
        assert "\n" not in str(error.value)


def test_options_that_do_not_fit_the_model_are_refused(models: Path, films: list[Path]) -> None:
    for name in ("trocr", "old"):
        with pytest.raises(InputError, match="is a vision-encoder-decoder, which takes no prompt: leave prompt out"):
            external(models / name).caption(films[0], prompt="a dog")
    with pytest.raises(
        ConfigError, match=r"frames is video, and .*blip takes pictures alone: name centre or consensus"
    ):
        external(models / "blip", "video")
    with pytest.raises(ConfigError, match="frames is 'middle' and must be one of centre, consensus, video"):
        external(models / "blip", "middle")
    with pytest.raises(InputError, match="num_frames is 3, and frames is centre: frames consensus takes as many"):
        external(models / "blip").caption(films[0], num_frames=3)
    with pytest.raises(InputError, match=r"num_frames is 5, and .*git-video has embeddings for 4"):
        external(models / "git-video").caption(films[0], num_frames=5)
    with pytest.raises(ConfigError, match="precision is int4, which is for captioners of ours"):
        load(models / "blip", precision="int4", device="cpu")
