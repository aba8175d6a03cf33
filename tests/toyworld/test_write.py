"""Check the world on disk: read back by the real corpora's readers, the same on every machine, resumable."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pseudocap.audio.waveform import read_sound
from pseudocap.data.corpora.audiocaps import read_audiocaps
from pseudocap.data.corpora.howto100m import join_segments, read_howto100m, read_transcripts
from pseudocap.data.corpora.msrvtt import VIDEOS as MSRVTT_VIDEOS
from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.data.corpora.msvd import CAPTIONS as MSVD_CAPTIONS
from pseudocap.data.corpora.msvd import VIDEOS as MSVD_VIDEOS
from pseudocap.data.corpora.msvd import read_msvd
from pseudocap.data.corpora.own import read_own
from pseudocap.data.corpora.valor import VIDEOS as VALOR_VIDEOS
from pseudocap.data.corpora.valor import read_valor_32k
from pseudocap.data.corpora.video_qa import read_msrvtt_qa
from pseudocap.data.tars.samples import read_shard, summarise_shard
from pseudocap.data.verify import fault_of
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, NoSoundError
from pseudocap.toyworld import formats, write
from pseudocap.toyworld.actions import film_events
from pseudocap.toyworld.corpora import (
    CORPORA,
    NARROW,
    SCALES,
    SPLITS,
    caption_count,
    captions_at,
    entropy,
    film_at,
    questions_at,
)
from pseudocap.toyworld.write import write_split, write_world
from pseudocap.video.decode import open_video

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32
QUICK = ["clips", "stills", "msrvtt", "msvd", "own", "valor", "qa"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write all of the tiny world but the long films."""
    folder = tmp_path_factory.mktemp("toy") / "world"
    write_world(folder, corpora=QUICK, size=SIZE, workers=1)
    return folder


def hashes(folder: Path) -> dict[str, Any]:
    corpora = json.loads((folder / "toyworld.json").read_text())["corpora"]
    return {name: corpus["sha256"] for name, corpus in corpora.items()}


def test_the_msrvtt_reader_takes_it_unchanged_and_every_film_is_there(world: Path) -> None:
    corpus = read_msrvtt(world / "msrvtt" / "annotations", allow_partial=True)
    assert {split: row["videos"] for split, row in corpus.counts.items()} == CORPORA["msrvtt"].films["tiny"]
    videos = VideoFolder(world / "msrvtt" / "videos")
    for row in corpus.rows:
        assert len(row.captions) == 20
        path = videos.find(row)
        assert path is not None
        assert fault_of(path) is None
    assert corpus.rows[0].captions == tuple(captions_at("msrvtt", "train", 0, seed=0))


def test_a_split_alone_has_the_films_of_the_whole_world(world: Path, tmp_path: Path) -> None:
    films = write_split(tmp_path, "msrvtt", "test", scale="tiny", size=32, seed=0, workers=1)
    rows = read_msrvtt(world / "msrvtt" / "annotations", allow_partial=True).split("test").rows
    assert [film.stem for film in films] == [row.video for row in rows]
    for film in films:
        assert film.read_bytes() == (world / "msrvtt" / "videos" / film.name).read_bytes()
    (mute, *_) = write_split(tmp_path / "mute", "msrvtt", "test", scale="tiny", size=32, seed=0, workers=1, sounds=0)
    with pytest.raises(NoSoundError):
        read_sound(mute)
    with open_video(mute) as silent, open_video(films[0]) as heard:
        pictures = zip(silent.every_frame(), heard.every_frame(), strict=True)
        assert all(np.array_equal(one.pixels, other.pixels) for one, other in pictures)


def test_the_msvd_reader_takes_it_unchanged_and_every_film_is_there(world: Path) -> None:
    corpus = read_msvd(world / "msvd" / "annotations", allow_partial=True)
    assert {split: row["videos"] for split, row in corpus.counts.items()} == CORPORA["msvd"].films["tiny"]
    videos = VideoFolder(world / "msvd" / "videos")
    assert all((path := videos.find(row)) is not None and fault_of(path) is None for row in corpus.rows)
    assert sorted(row.id for row in corpus.rows) == [row.id for row in corpus.rows], "the standard split goes by names"


def test_the_reader_of_your_own_captions_takes_it(world: Path) -> None:
    corpus = read_own(world / "own" / "captions.jsonl")
    assert len(corpus) == CORPORA["own"].films["tiny"]["test"]
    assert all(VideoFolder(world / "own").find(row) for row in corpus.rows)
    assert not corpus.mismatches


def test_the_readers_take_what_is_seen_and_heard_and_what_is_heard_alone(world: Path) -> None:
    annotations, videos = world / "valor" / "annotations", VideoFolder(world / "valor" / "videos")
    sizes = CORPORA["valor"].films["tiny"]
    seen = read_own(annotations / "captions.jsonl")
    assert {split: row["videos"] for split, row in seen.counts.items()} == sizes
    assert all(len(row.captions) == 5 and videos.find(row) for row in seen.rows)
    described = read_valor_32k(annotations, allow_partial=True)
    assert [(row.video, row.captions[0], row.split) for row in seen.rows] == [
        (f"{row.video}.mp4", *row.captions, row.split) for row in described.rows
    ]
    assert all(videos.find(row) for row in described.rows)
    assert {split: row["videos"] for split, row in described.counts.items()} == sizes
    heard = read_audiocaps(annotations, allow_partial=True)
    lines = (annotations / "sounds.jsonl").read_text().splitlines()
    sounding = {row["video"]: bool(row["sounds"]) for row in map(json.loads, lines)}
    assert {f"{row.video}.mp4" for row in heard.rows} == {video for video, sounds in sounding.items() if sounds}
    assert all(videos.find(row) for row in heard.rows)
    assert [len(row.captions) for row in heard.split("test").rows] == [5] * len(heard.split("test"))


def test_the_questions_are_read_back_and_their_films_are_those_of_valor(world: Path) -> None:
    corpus = read_msrvtt_qa(world / "qa" / "annotations", allow_partial=True)
    assert corpus.splits == ("train", "val", "test")
    asked = [(row.question, row.captions, row.kind) for row in corpus.split("test").rows]
    assert asked == [
        (each.text, (each.answer,), each.kind)
        for index in range(CORPORA["qa"].films["tiny"]["test"])
        for each in questions_at("test", index, seed=0)
    ]
    videos = VideoFolder(world / "valor" / "videos")
    assert all(videos.find(row) is not None for row in corpus.rows)
    assert sorted(path.name for path in (world / "qa").iterdir()) == ["annotations"]


def test_the_tracks_of_films_are_those_that_are_described(world: Path) -> None:
    rows = [json.loads(line) for line in (world / "own" / "sounds.jsonl").read_text().splitlines()]
    for row in rows:
        with av.open(str(world / "own" / "videos" / row["video"])) as container:
            assert bool(container.streams.audio) is not row["silent"]
    assert all(sound["start"] < sound["end"] for row in rows for sound in row["sounds"])


def test_a_world_that_was_begun_before_films_had_sound_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_world(tmp_path, corpora=["own"], size=SIZE, workers=1)
    settings = tmp_path / "toyworld.settings.json"
    settings.write_text(json.dumps({k: v for k, v in json.loads(settings.read_text()).items() if k != "sounds"}))
    for path in tmp_path.rglob("*.mp4"):
        path.unlink()
    (tmp_path / "own" / "sounds.jsonl").unlink()
    manifest = write_world(tmp_path, corpora=["own"], size=SIZE, workers=1)
    assert manifest["sounds"] == 0
    assert manifest["corpora"]["own"]["sha256"].keys() == {"captions.jsonl", "scenes.jsonl"}
    for path in tmp_path.rglob("*.mp4"):
        with av.open(str(path)) as container:
            assert not container.streams.audio
    with pytest.raises(ConfigError, match="begun before films had sound, which valor is about"):
        write_world(tmp_path, corpora=["valor"], size=SIZE, workers=1)
    monkeypatch.setattr(write, "CORPORA", ["own", "valor"])  # all there are
    assert write_world(tmp_path, size=SIZE, workers=1)["corpora"].keys() == {"own"}


def test_the_tars_of_stills_are_whole_and_agree_with_their_parquet(world: Path) -> None:
    (tar,) = (world / "stills").glob("*.tar")
    summary = summarise_shard(tar)
    assert summary.samples == CORPORA["stills"].films["tiny"]["train"]
    assert not summary.mismatches
    for sample in read_shard(tar):
        assert Image.open(io.BytesIO(sample.media)).size == (SIZE, SIZE)
        assert sample.metadata["status"] == "success"


def test_the_transcript_reader_takes_the_talking_films(tmp_path: Path) -> None:
    formats.write_talking(tmp_path, CORPORA["talking"], "tiny", 0)
    transcripts = list(read_transcripts(tmp_path / "caption.json"))
    assert [each.video for each in transcripts] == ["talking000000", "talking000001"]
    truth = [json.loads(line) for line in (tmp_path / "utterances.jsonl").read_text().splitlines()]
    for transcript in transcripts:
        spoken = " ".join(row["text"] for row in truth if row["video"] == f"{transcript.video}.mp4")
        assert " ".join(segment.text for segment in transcript.segments) == spoken
        clips = list(join_segments(transcript))
        assert 5 < np.mean([row.end - row.start for row in clips]) < 11, "clips of about eight seconds"
    assert len(read_howto100m(tmp_path / "caption.json")) > 20


def test_labels_name_the_action_and_the_look_of_every_clip(world: Path) -> None:
    labels = [json.loads(line) for line in (world / "clips" / "labels.jsonl").read_text().splitlines()]
    assert len(labels) == sum(CORPORA["clips"].films["tiny"].values())
    for index, label in enumerate(row for row in labels if row["split"] == "train"):
        ((shot, event),) = film_events(film_at("clips", "train", index, seed=0))
        assert (label["action"], label["direction"]) == (event.name, event.direction)
        assert label["actor"]["colour"] == shot.things[event.actor].colour
        assert (label["patient"] is None) is (event.patient is None)
        assert (world / "clips" / "videos" / label["video"]).is_file()


def test_every_film_has_its_exact_scene_beside_it(world: Path) -> None:
    for line in (world / "msrvtt" / "annotations" / "scenes.jsonl").read_text().splitlines():
        scene = json.loads(line)
        assert (world / "msrvtt" / "videos" / scene["video"]).is_file()
        assert scene["seconds"] == pytest.approx(sum(shot["frames"] for shot in scene["shots"]) / 8)
        assert all(shot["events"] and shot["things"] for shot in scene["shots"])


def test_a_whole_corpus_has_the_numbers_that_the_real_one_fixes() -> None:
    assert CORPORA["msrvtt"].films["full"] == MSRVTT_VIDEOS
    assert CORPORA["msvd"].films["full"] == MSVD_VIDEOS
    assert CORPORA["valor"].films["full"] == VALOR_VIDEOS
    for split, total in MSVD_CAPTIONS.items():
        counts = [caption_count("msvd", split, index) for index in range(MSVD_VIDEOS[split])]
        assert sum(counts) == total
        assert min(counts) >= 1
    assert {caption_count("msrvtt", split, 7) for split in SPLITS} == {20}


@pytest.mark.slow
def test_the_annotations_of_the_full_scale_are_read_as_a_whole_corpus(tmp_path: Path) -> None:
    formats.write_msvd(tmp_path, CORPORA["msvd"], "full", 0)
    assert not read_msvd(tmp_path).mismatches


def test_no_corpus_split_or_stream_shares_a_seed_with_another() -> None:
    seeds = [
        entropy(recipe, seed, split, index, stream)
        for recipe in CORPORA.values()
        for seed in (0, 1)
        for split in SPLITS
        for index in range(20)
        for stream in range(4)
    ]
    assert len(set(seeds)) == len(seeds)
    drawn = {tuple(np.random.default_rng(seed).integers(2**63, size=2)) for seed in seeds}
    assert len(drawn) == len(seeds)


def test_no_film_of_one_corpus_is_in_another() -> None:
    films = [
        film_at(name, split, index, seed=0)
        for name, recipe in CORPORA.items()
        if name != "talking" and not recipe.of
        for split in recipe.films["tiny"]
        for index in range(40)
    ]
    assert len(set(films)) == len(films)


def test_a_larger_world_begins_with_the_films_of_a_smaller_one() -> None:
    for recipe in CORPORA.values():
        for small, large in pairwise(SCALES):
            assert all(recipe.films[small][split] <= recipe.films[large][split] for split in recipe.films[small])
            assert set(recipe.indices(small)) <= set(recipe.indices(large))


def test_the_talking_corpus_is_narrow_in_things_and_rich_in_actions() -> None:
    films = [film_at("talking", "train", index, seed=0) for index in range(20)]
    assert {thing.kind for film in films for shot in film.shots for thing in shot.things} <= set(NARROW)
    assert len({event.name for film in films for _, event in film_events(film)}) > 40
    broad = [film_at("stills", "train", index, seed=0) for index in range(400)]
    assert len({thing.kind for film in broad for shot in film.shots for thing in shot.things}) > 5 * len(NARROW)


def test_the_same_world_is_written_whatever_the_number_of_workers(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "again", corpora=["msvd"], size=SIZE, workers=2)
    assert hashes(tmp_path / "again")["msvd"] == hashes(world)["msvd"]
    first, second = (sorted((each / "msvd" / "videos").iterdir()) for each in (world, tmp_path / "again"))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_another_seed_is_another_world() -> None:
    assert film_at("msrvtt", "train", 0, seed=0) != film_at("msrvtt", "train", 0, seed=1)
    assert captions_at("msrvtt", "train", 0, seed=0) != captions_at("msrvtt", "train", 0, seed=1)


def test_a_killed_run_is_taken_up_where_it_stopped(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    call = f"write_world({str(folder)!r}, corpora={QUICK}, size={SIZE}, workers=1)"
    code = f"from pseudocap.toyworld.write import write_split, write_world; {call}"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    videos = folder / "msrvtt" / "videos"
    deadline = time.monotonic() + 60
    while not (videos.is_dir() and len(list(videos.glob("*.mp4"))) >= 2):
        assert process.poll() is None, "it must still be at work"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "toyworld.json").exists(), "the manifest comes last"
    finished = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert 0 < len(finished) < len(list(world.rglob("*.mp4")))
    write_world(folder, corpora=QUICK, size=SIZE, workers=1)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert hashes(folder) == hashes(world)
    for path in world.rglob("*.mp4"):
        assert (folder / path.relative_to(world)).read_bytes() == path.read_bytes()


def test_a_finished_world_is_left_as_it_is_and_can_get_another_corpus(tmp_path: Path) -> None:
    first = write_world(tmp_path, corpora=["own"], size=SIZE, workers=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    second = write_world(tmp_path, corpora=["clips"], size=SIZE, workers=1)
    assert set(first["corpora"]) == {"own"}
    assert set(second["corpora"]) == {"own", "clips"}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_world_gains_captions_in_other_languages_and_keeps_its_english(tmp_path: Path) -> None:
    first = write_world(tmp_path, corpora=["own"], size=SIZE, workers=1)["corpora"]["own"]["sha256"]
    second = write_world(tmp_path, corpora=["own"], size=SIZE, workers=1, languages=["es", "de"])
    gained = second["corpora"]["own"]["sha256"]
    assert gained.keys() - first.keys() == {"captions.es.jsonl", "captions.de.jsonl"}
    assert {name: gained[name] for name in first} == first
    corpus = read_own(tmp_path / "own" / "captions.es.jsonl")
    assert corpus.rows[1].captions == tuple(captions_at("own", "test", 1, seed=0, language="es"))
    assert json.loads((tmp_path / "own" / "captions.de.jsonl").read_text().splitlines()[0])["language"] == "de"


def test_another_world_and_foreign_folders_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed 0, and 1 is requested"):
        write_world(world, size=SIZE, seed=1)
    with pytest.raises(ConfigError, match="size 32, and 64"):
        write_world(world)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other things than a toy world"):
        write_world(tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        write_world(tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "huge"}, "scale is 'huge' and must be one of tiny, small, full"),
        ({"size": 33}, "size is 33 and must be an even number"),
        ({"size": 16}, "size is 16"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": 0}, "workers is 0"),
        ({"languages": ["fr"]}, "no language 'fr'; it has en, es, de"),
        ({"corpora": ["msrvt"]}, "no corpus 'msrvt' .did you mean 'msrvtt'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_written(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_world(tmp_path / "w", **options)
    assert not (tmp_path / "w").exists()
