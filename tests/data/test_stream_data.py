from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers.caption_rows import keys, write_captions
from helpers.corpora import write_clip, write_json
from helpers.recorder import SMALL, Recorder, every_step, recorded, trainer
from helpers.tars import image_tars, video_tars
from jsonargparse import ArgumentParser

from pseudocap.data import CaptionData, StreamData
from pseudocap.data.corpora.howto100m import read_howto100m
from pseudocap.data.stream.sources import TarSource
from pseudocap.data.tars.index import index_tars
from pseudocap.errors import ConfigError, DataError

HALF = {"image": 0.5, "video": 0.5}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_tars(tmp_path_factory.mktemp("images"), tars=4, each=5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_tars(tmp_path_factory.mktemp("videos"))


def stream(*sources: Any, **options: Any) -> StreamData:
    small = {"batch_size": 2, "image_batch_factor": 2, "workers": 0, "epoch_steps": 4, "mix": 8, "preprocess": SMALL}
    return StreamData(*sources, **{**small, **options})


def test_a_mixture_of_tars_gives_batches_of_one_modality_for_as_many_steps_as_the_trainer_wants(
    tmp_path: Path, images: Path, videos: Path
) -> None:
    data = stream(images, videos, probabilities=HALF)
    trainer(tmp_path, max_steps=24).fit(Recorder(tmp_path / "log"), data)
    batches = recorded(tmp_path / "log", "train")
    assert [batch["step"] for batch in batches] == list(range(24))
    assert [batch["epoch"] for batch in batches] == [step // 4 for step in range(24)]
    shapes = {(batch["modality"], *batch["shape"]) for batch in batches}
    assert shapes == {("image", 4, 1, 3, 16, 16), ("video", 2, 2, 3, 16, 16)}
    tally = Counter(batch["modality"] for batch in batches)
    counts = data.counts()
    assert {name: drawn.batches for name, drawn in counts.items()} == tally
    assert (counts["image"].samples, counts["video"].samples) == (4 * tally["image"], 2 * tally["video"])
    pictures = keys([batch for batch in batches if batch["modality"] == "image"])
    assert sorted(pictures[:20], key=int) == [str(number) for number in range(20)]
    assert data.provenance()["drawn"]["image"]["batches"] == tally["image"]


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8, 11])
def test_a_mixture_stopped_anywhere_and_resumed_sees_what_the_uninterrupted_one_sees(
    tmp_path: Path, videos: Path, stop: int
) -> None:
    pictures = image_tars(tmp_path / "tars", tars=4, each=5, broken=(1, 7, 8))
    setting = {"probabilities": HALF, "max_failure_rate": 0.6}
    straight = stream(pictures, videos, **setting)
    run = trainer(tmp_path, max_steps=14, callbacks=[every_step(tmp_path / "saved")])
    run.fit(Recorder(tmp_path / "straight"), straight)
    checkpoint = tmp_path / "saved" / f"step={stop}.ckpt"
    resumed = stream(pictures, videos, **setting, workers=1)
    trainer(tmp_path, max_steps=14).fit(Recorder(tmp_path / "again"), resumed, ckpt_path=checkpoint)
    assert recorded(tmp_path / "again", "train") == recorded(tmp_path / "straight", "train")[stop:]
    assert resumed.counts() == straight.counts()


@pytest.mark.parametrize(
    ("name", "value"),
    [("probabilities", {"image": 0.9, "video": 0.1}), ("image_batch_factor", 3), ("mix", 9), ("synchronised", True)],
)
def test_another_mixture_than_that_of_the_checkpoint_is_refused(
    tmp_path: Path, images: Path, videos: Path, name: str, value: object
) -> None:
    run = trainer(tmp_path, max_steps=1, callbacks=[every_step(tmp_path)])
    run.fit(Recorder(tmp_path / "log"), stream(images, videos))
    with pytest.raises(ConfigError, match=f"the run to resume had {name} "):
        trainer(tmp_path, max_steps=2).fit(
            Recorder(tmp_path / "log"), stream(images, videos, **{name: value}), ckpt_path=tmp_path / "step=1.ckpt"
        )


def test_other_tars_than_those_of_the_checkpoint_are_refused(tmp_path: Path, images: Path) -> None:
    run = trainer(tmp_path, max_steps=1, callbacks=[every_step(tmp_path)])
    run.fit(Recorder(tmp_path / "log"), stream(images))
    fewer = sorted(images.glob("*.tar"))[:3]
    with pytest.raises(ConfigError, match=r"the run to resume had samples \(image\)"):
        trainer(tmp_path, max_steps=2).fit(
            Recorder(tmp_path / "log"), stream(fewer), ckpt_path=tmp_path / "step=1.ckpt"
        )


@pytest.mark.parametrize("modality", ["image", "video"])
def test_a_single_source_is_the_same_module(tmp_path: Path, images: Path, videos: Path, modality: str) -> None:
    data = stream(images) if modality == "image" else stream(videos=videos)
    trainer(tmp_path, max_steps=5).fit(Recorder(tmp_path / "log"), data)
    batches = recorded(tmp_path / "log", "train")
    assert {batch["modality"] for batch in batches} == {modality}
    assert {len(batch["keys"]) for batch in batches} == {4 if modality == "image" else 2}


def test_transcripts_are_streamed_as_clips_of_their_videos(tmp_path: Path) -> None:
    speech = {"start": [0.0, 0.4, 0.8], "end": [0.4, 0.8, 1.2], "text": ["hello", "now we cook", "bye"]}
    talks = write_json(tmp_path / "caption.json", dict.fromkeys(("talk1", "talk2"), speech))
    for name in ("talk1", "talk2"):
        write_clip(tmp_path / "films" / f"{name}.mp4", frames=6)
    corpus = read_howto100m(talks, seconds=0.4)
    data = stream(videos=corpus, video_folder=tmp_path / "films")
    trainer(tmp_path, max_steps=3).fit(Recorder(tmp_path / "log"), data)
    batches = recorded(tmp_path / "log", "train")
    assert set(keys(batches)) == {row.id for row in corpus.rows}
    spoken = {key: text for batch in batches for key, text in zip(batch["keys"], batch["captions"], strict=True)}
    assert spoken["talk1#0.400-0.800"] == "now we cook"
    with pytest.raises(ConfigError, match="video_folder= must name the folder of the videos of howto100m"):
        stream(videos=corpus)
    with pytest.raises(DataError, match="are not below"):
        stream(videos=corpus, video_folder=videos_elsewhere(tmp_path)).setup()


def videos_elsewhere(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    return folder / "elsewhere"


def test_any_source_may_be_streamed(tmp_path: Path, images: Path) -> None:
    source = TarSource(index_tars(images), SMALL, modality="image")
    data = stream(source)
    data.setup()
    assert {batch.modality for batch in data.train_dataloader()} == {"image"}
    with pytest.raises(ConfigError, match="videos= was given a source of images; give it as images=, and videos=None"):
        stream(videos=source).setup()


def test_named_streams_are_mixed_and_each_batch_names_its_own(tmp_path: Path, images: Path, videos: Path) -> None:
    """Two streams of the same tars have orders of their own; another order of the names would draw other samples."""
    names = {"photos": images, "films": videos, "again": images}

    def data(further: dict[str, Path], photos: int = 3, **options: Any) -> StreamData:
        shares = {"video": 0.2, "photos": 0.3, "films": 0.2, "again": 0.3}
        factors = {"photos": photos}
        return stream(videos=videos, streams=further, probabilities=shares, batch_factors=factors, **options)

    straight = data(names)
    run = trainer(tmp_path, max_steps=40, callbacks=[every_step(tmp_path / "saved")])
    run.fit(Recorder(tmp_path / "straight"), straight)
    batches = recorded(tmp_path / "straight", "train")
    kinds = {(batch["stream"], batch["modality"], len(batch["keys"])) for batch in batches}
    expected = {("video", "video", 2), ("photos", "image", 6), ("films", "video", 2), ("again", "image", 2)}
    assert kinds == expected
    tally = Counter(batch["stream"] for batch in batches)
    assert {name: drawn.batches for name, drawn in straight.counts().items()} == tally
    first = {name: keys([batch for batch in batches if batch["stream"] == name])[:6] for name in tally}
    assert first["photos"] != first["again"]
    assert first["video"] != first["films"]
    saved = tmp_path / "saved" / "step=9.ckpt"
    trainer(tmp_path, max_steps=40).fit(Recorder(tmp_path / "again"), data(names, workers=1), ckpt_path=saved)
    assert recorded(tmp_path / "again", "train") == batches[9:]
    turned = dict(reversed(names.items()))
    for changed, other in (("batch_factors", data(names, photos=2)), ("streams", data(turned))):
        with pytest.raises(ConfigError, match=f"the run to resume had {changed} "):
            trainer(tmp_path, max_steps=12).fit(Recorder(tmp_path / "other"), other, ckpt_path=saved)


def test_a_checkpoint_of_images_and_videos_holds_what_it_held_before_there_were_other_streams(
    images: Path, videos: Path
) -> None:
    data = stream(images, videos)
    data.setup("fit")
    state = data.train_dataloader().state_dict()
    draws = ["batch_size", "image_batch_factor", "probabilities", "synchronised", "seed"]
    assert list(state["run"]) == [*draws, "ranks", "mix", "numpy", "samples (image)", "samples (video)"]
    assert state["run"]["probabilities"] == {"image": 0.95, "video": 0.05}


def test_a_corpus_is_evaluated_beside_the_stream(tmp_path: Path, images: Path) -> None:
    captions = write_captions(tmp_path / "corpus", {"val": 3, "test": 2})
    data = stream(images, validation=CaptionData(captions, batch_size=2, workers=0))
    trainer(tmp_path, max_steps=8).fit(Recorder(tmp_path / "log"), data)
    assert keys(recorded(tmp_path / "log", "val")) == ["val0", "val1", "val2"] * 2
    trainer(tmp_path).test(Recorder(tmp_path / "log"), data)
    assert keys(recorded(tmp_path / "log", "test")) == ["test0", "test1"]


def test_broken_samples_are_named_once_and_too_many_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = image_tars(tmp_path / "tars", tars=2, each=10, broken=(3,))
    with caplog.at_level(logging.WARNING):
        trainer(tmp_path, max_steps=40).fit(Recorder(tmp_path / "log"), stream(folder))
    warnings = [record.getMessage() for record in caplog.records if "cannot be decoded" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("cannot be decoded: 00000.tar, sample 3: no image can be decoded")
    worse = image_tars(tmp_path / "worse", tars=2, each=10, broken=(3, 4, 5, 6, 7))
    with pytest.raises(DataError, match=r"\d+ of \d+ samples cannot be decoded, more than max_failure_rate 0.1"):
        trainer(tmp_path, max_steps=80).fit(Recorder(tmp_path / "log"), stream(worse))
    none = image_tars(tmp_path / "none", tars=1, each=3, broken=(0, 1, 2))
    with pytest.raises(DataError, match="17 samples in a row cannot be decoded") as refusal:
        trainer(tmp_path, max_steps=1).fit(Recorder(tmp_path / "log"), stream(none, workers=1))
    assert "Traceback" not in str(refusal.value)


@pytest.mark.parametrize("kind", [StreamData, CaptionData])
def test_null_in_a_config_leaves_a_source_out(kind: type) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(kind, "data", skip={"source"} if kind is CaptionData else set())
    names = ["videos", *(["images", "video_folder", "index"] if kind is StreamData else ["memories"])]
    data = parser.parse_args([f"--data.{name}=null" for name in names]).data
    assert [data[name] for name in names] == [None] * len(names)


def test_what_cannot_be_streamed_is_named(images: Path, videos: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing to stream: give images=, videos= or both"):
        stream()
    with pytest.raises(ConfigError, match=r"probabilities give video 0.5, and there are no videos; give videos="):
        stream(images, probabilities=HALF)
    with pytest.raises(ConfigError, match=r"not of 'images' \(did you mean 'image'\?\)"):
        stream(images, videos, probabilities={"images": 0.5, "video": 0.5})
    with pytest.raises(ConfigError, match="probabilities= must say how often each of image, films is drawn"):
        stream(images, streams={"films": videos})
    with pytest.raises(ConfigError, match="the stream 'image' is given twice, as images= and in streams="):
        stream(images, streams={"image": images})
    with pytest.raises(ConfigError, match="epoch_steps must be a whole number above 0"):
        stream(images, epoch_steps=0)
    with pytest.raises(ConfigError, match="StreamData does not know the size"):
        stream(images, preprocess=None).setup("fit")
