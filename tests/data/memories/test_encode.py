"""Memories on disk: the same as encoding again, complete after any end, refused where they are of other weights."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.crashing_rows import CrashingRows
from helpers.films import write_film
from helpers.hub_server import Hub
from helpers.image_models import VIT, write_timm
from helpers.tars import image_bytes

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.data import CaptionData, StreamData
from pseudocap.data.collate import collate
from pseudocap.data.corpora.own import read_own
from pseudocap.data.corpora.unlabelled import uncaptioned
from pseudocap.data.memories.encode import Encoded, encode
from pseudocap.data.memories.shards import ShardVectors
from pseudocap.data.memories.source import MemoryRows, MemorySource
from pseudocap.data.memories.spec import MemorySpec, view_generator
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DataError
from pseudocap.memory import Memory, quantise
from pseudocap.tolerance import Tolerance
from pseudocap.types import CaptionedVideo, Preprocess
from pseudocap.video.tensors import decode_file, pad_clips
from pseudocap.zoo.tiny import write_timesformer

PREPROCESS = Preprocess(size=16, frames=4)
Run = Callable[..., Encoded]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of different lengths, one of a single frame, with captions beside them."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for number, frames in enumerate((30, 12, 1, 20, 8, 16)):
        write_film(folder / f"{number}.mp4", frames=frames, size=(96, 64))
        rows.append({"video": f"{number}.mp4", "caption": [f"film {number}", f"take {number}"]})
    rows.append({"video": "0.mp4", "caption": "its first half", "start": 0, "end": 0.6})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def spec(model: PseudoCap) -> MemorySpec:
    return MemorySpec(encoder=model.config.encoder.fingerprint, preprocess=PREPROCESS, crops=2, seed=3)


def films_named(folder: Path, count: int, *, frames: int = 3, text: str = "film") -> Path:
    folder.mkdir(parents=True)
    names = [f"{number:02d}.mp4" for number in range(count)]
    for number, name in enumerate(names):
        write_film(folder / name, frames=frames + number % 7, size=(32, 32))
    rows = [json.dumps({"video": name, "caption": f"{text} {name}"}) for name in names]
    (folder / "captions.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def rows_of(folder: Path) -> RowSource:
    return RowSource(read_own(folder / "captions.jsonl").rows, VideoFolder(folder), PREPROCESS)


@pytest.fixture
def run(model: PseudoCap, spec: MemorySpec) -> Run:
    def run_encode(source: RowSource, out: Path, **options: object) -> Encoded:
        settings = options.pop("spec", spec)
        return encode(source, model.encoder, out, settings, batch_size=4, shard_size=3, **options)  # type: ignore[arg-type]

    return run_encode


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def test_every_view_is_what_the_encoder_sees_of_the_same_pixels(
    films: Path, tmp_path: Path, run: Run, model: PseudoCap, spec: MemorySpec
) -> None:
    source = rows_of(films)
    assert run(source, tmp_path / "m").stored == 7
    stored = MemorySource(tmp_path / "m", encoder=spec.encoder, preprocess=PREPROCESS)
    assert [row.key for row in stored.rows] == [row.id for row in source.rows]
    for index in range(7):
        for view in range(3):
            generator = view_generator(spec, source.describe(index).content, view)
            frames = source.sample(index, generator).frames
            assert frames is not None
            seen, kept = model.encode(frames[None]), stored.memory(index, view)
            torch.testing.assert_close(kept.time, seen.time, atol=2e-3, rtol=1e-3)
            torch.testing.assert_close(kept.space, seen.space, atol=2e-3, rtol=1e-3)
    one, two = stored.memory(0, 1), stored.memory(0, 2)
    assert not torch.equal(one.space, two.space), "the views must differ, or augmentation is lost"


def test_training_from_memories_gives_the_losses_of_training_from_frames(
    films: Path, tmp_path: Path, run: Run, model: PseudoCap, spec: MemorySpec
) -> None:
    source = rows_of(films)
    run(source, tmp_path / "m")
    stored = MemorySource(tmp_path / "m")
    clips, samples = [], []
    for index in range(7):
        draw = torch.Generator().manual_seed(index)
        sample = stored.sample(index, draw)
        view = 1 + int(torch.randint(2, (), generator=torch.Generator().manual_seed(index)))
        frames = source.sample(index, view_generator(spec, source.describe(index).content, view)).frames
        assert frames is not None
        samples.append(sample)
        clips.append(frames)
    tokens = model.tokenize([row.captions[0] for row in stored.rows])
    losses = [
        model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
        for memory in (model.encode(*pad_clips(clips)), collate(samples, [""] * 7).memory)
    ]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-3, rtol=1e-3)


def test_int8_is_off_by_at_most_half_a_step_of_each_vector(
    films: Path, tmp_path: Path, run: Run, spec: MemorySpec
) -> None:
    vectors = torch.randn(5, 7, 16) * torch.logspace(-4, 4, 5)[:, None, None]
    quantised, scale = quantise(vectors)
    assert bool(((quantised * scale - vectors).abs() <= scale * 0.5001).all())
    assert not quantise(torch.zeros(2, 4))[0].any()
    run(rows_of(films), tmp_path / "float")
    run(rows_of(films), tmp_path / "int", spec=replace(spec, storage="int8"))
    exact, rough = MemorySource(tmp_path / "float"), MemorySource(tmp_path / "int")
    for index in range(7):
        a, b = exact.memory(index, 1), rough.memory(index, 1)
        step = a.space.abs().amax(-1, keepdim=True) / 127
        assert bool(((a.space - b.space).abs() <= 0.55 * step + 1e-3).all())


def test_a_batch_of_memories_of_different_lengths_is_padded_and_masked(films: Path, tmp_path: Path, run: Run) -> None:
    run(rows_of(films), tmp_path / "m")
    stored = MemorySource(tmp_path / "m")
    rows = [stored.memory(index) for index in range(7)]
    assert {row.time.shape[1] for row in rows} == {1, 4}, "the film of one frame is an image"
    batch = collate([stored.sample(index, None) for index in range(7)], [""] * 7).memory
    assert batch is not None
    for number, row in enumerate(rows):
        length = row.time.shape[1]
        assert batch.time_mask[number].tolist() == [True] * length + [False] * (4 - length)
        torch.testing.assert_close(batch.time[number, :length], row.time[0], atol=0, rtol=0)


def test_workers_and_stops_change_no_byte(films: Path, tmp_path: Path, run: Run) -> None:
    run(rows_of(films), tmp_path / "whole")
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run(rows_of(films), stopped, progress=_stop_after(5))
    assert 0 < len(contents(stopped)) < len(contents(tmp_path / "whole"))
    assert run(rows_of(films), stopped).stored == 4, "the first shard of three was kept"
    assert contents(stopped) == contents(tmp_path / "whole")
    assert run(rows_of(films), stopped).stored == 0


def _stop_after(count: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(films: Path, tmp_path: Path, backbones: Path) -> None:
    command = [sys.executable, "-m", "pseudocap", "encode", str(films / "captions.jsonl"), "--crops", "40"]
    command += [
        "--encoder",
        str(backbones / "timesformer"),
        "--shard-size",
        "1",
        "--batch-size",
        "3",
        "--device",
        "cpu",
    ]
    subprocess.run([*command, "--workers", "2", "--out", str(tmp_path / "whole")], check=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, "--workers", "1", "--out", str(killed)], start_new_session=True)
    while not list(killed.glob("00001.json")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(contents(killed)) < len(contents(tmp_path / "whole"))
    subprocess.run([*command, "--workers", "0", "--out", str(killed)], check=True)
    assert contents(killed) == contents(tmp_path / "whole")


def test_what_is_new_in_a_source_is_added_and_what_is_known_is_not_encoded_again(
    films: Path, tmp_path: Path, run: Run
) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    run(rows_of(folder), tmp_path / "m")
    shutil.copy(folder / "1.mp4", folder / "again.mp4")  # the same pixels under another name
    write_film(folder / "new.mp4", frames=9, size=(96, 64))
    with (folder / "captions.jsonl").open("a") as file:
        file.write('{"video": "again.mp4", "caption": "film 1 again"}\n{"video": "new.mp4", "caption": "a new one"}\n')
    result = run(rows_of(folder), tmp_path / "m")
    assert (result.stored, result.already, result.total) == (1, 8, 8)
    stored = MemorySource(tmp_path / "m")
    assert len(stored) == 9
    same, copy = stored.memory(stored.find("1.mp4"), 2), stored.memory(stored.find("again.mp4"), 2)
    assert torch.equal(same.time, copy.time)
    assert stored.rows[stored.find("again.mp4")].captions == ("film 1 again",)


def test_a_broken_video_is_named_and_may_be_retried(films: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    (folder / "3.mp4").write_bytes((films / "3.mp4").read_bytes()[:200])
    result = run(rows_of(folder), tmp_path / "m")
    assert list(result.failed) == ["3.mp4"]
    assert result.failed["3.mp4"]
    assert run(rows_of(folder), tmp_path / "m").failed == result.failed, "what failed stays reported"
    shutil.copy(films / "3.mp4", folder)
    retried = run(rows_of(folder), tmp_path / "m", retry_failed=True)
    assert (retried.stored, retried.failed) == (1, {})
    assert run(rows_of(folder), tmp_path / "m").failed == {}
    assert MemorySource(tmp_path / "m").find("3.mp4") == 6


def test_what_fails_again_on_a_retry_does_not_end_the_run(tmp_path: Path, run: Run) -> None:
    folder = films_named(tmp_path / "films", 25)
    for number in (0, 1, 22):
        (folder / f"{number:02d}.mp4").write_bytes(b"text")
    assert len(run(rows_of(folder), tmp_path / "m", max_failure_rate=0.2).failed) == 3
    again = run(rows_of(folder), tmp_path / "m", retry_failed=True, max_failure_rate=0.0)
    assert (list(again.failed), again.stored) == (["00.mp4", "01.mp4", "22.mp4"], 0)
    write_film(folder / "00.mp4", frames=9, size=(32, 32))  # as if it had been fetched again
    shutil.copy(folder / "00.mp4", folder / "22.mp4")
    Path(folder / "00.mp4").write_bytes(b"text")
    retried = run(rows_of(folder), tmp_path / "m", retry_failed=True)
    assert list(retried.failed) == ["00.mp4", "01.mp4"]


def test_videos_of_two_folders_under_one_name_are_told_apart_or_refused(tmp_path: Path, run: Run) -> None:
    one, two = (films_named(tmp_path / name, 2, frames=frames, text=name) for name, frames in (("a", 3), ("b", 9)))
    run(rows_of(one), tmp_path / "m")
    run(rows_of(two), tmp_path / "m")
    stored = MemorySource(tmp_path / "m")
    assert len(stored) == 4
    for look in (lambda: stored.find("00.mp4"), lambda: MemoryRows(rows_of(one).rows, stored)):
        with pytest.raises(DataError, match=r"different videos under the name 00\.mp4"):
            look()


def test_a_folder_that_was_encoded_anew_is_read_anew(tmp_path: Path, run: Run) -> None:
    one, two = (films_named(tmp_path / name, 2, frames=frames) for name, frames in (("a", 3), ("b", 9)))
    run(rows_of(one), tmp_path / "m")
    before = MemorySource(tmp_path / "m").memory(0)
    shutil.rmtree(tmp_path / "m")
    run(rows_of(two), tmp_path / "m")
    assert not torch.equal(MemorySource(tmp_path / "m").memory(0).space, before.space)


def test_what_a_source_is_changes_with_captions_and_files(tmp_path: Path, run: Run) -> None:
    folder = films_named(tmp_path / "films", 2)
    run(rows_of(folder), tmp_path / "m")
    before = MemorySource(tmp_path / "m").identity
    captions = folder / "captions.jsonl"
    captions.write_text(captions.read_text().replace("film 00", "another text of 00"))
    run(rows_of(folder), tmp_path / "m")
    stored = MemorySource(tmp_path / "m")
    assert stored.identity != before
    assert stored.rows[stored.find("00.mp4")].captions == ("another text of 00.mp4",)
    write_film(folder / "01.mp4", frames=30, size=(64, 32))
    assert run(rows_of(folder), tmp_path / "m").stored == 1, "a replaced video is another one"


@pytest.mark.slow
def test_a_decoder_that_dies_costs_its_own_sample_alone(tmp_path: Path, run: Run) -> None:
    folder = films_named(tmp_path / "films", 7)
    (folder / "03.mp4").rename(folder / "crash.mp4")
    captions = folder / "captions.jsonl"
    captions.write_text(captions.read_text().replace("03.mp4", "crash.mp4"))
    rows = rows_of(folder).rows
    result = run(CrashingRows(rows, VideoFolder(folder), PREPROCESS), tmp_path / "m", workers=1)
    assert list(result.failed) == ["crash.mp4"]
    assert "crashes" in result.failed["crash.mp4"]
    assert [row.key for row in MemorySource(tmp_path / "m").rows] == [row.id for row in rows if row.id != "crash.mp4"]


def test_gathering_a_shard_takes_little_more_than_its_file() -> None:
    spec = MemorySpec(encoder="x" * 64, preprocess=PREPROCESS, crops=1)
    vectors = ShardVectors(spec, samples=40)
    memory = Memory.of_sight(
        time=torch.randn(4, 2, 8),
        space=torch.randn(4, 6, 8),
        time_mask=torch.tensor([[True, True], [True, False], [True, True], [True, True]]),
    )
    rooms = set()
    for _ in range(20):
        vectors.add(memory)
        rooms.add(vectors.tensors()["space"].untyped_storage().data_ptr())
    assert len(rooms) == 1, "the file's tensor is filled in place"
    packed = vectors.tensors()
    assert all(tensor.dtype == torch.float16 for name, tensor in packed.items() if name != "frames")
    torch.testing.assert_close(packed["space"][39, 1], memory.space[3].half(), atol=0, rtol=0)
    assert packed["time"].shape[0] == int(packed["frames"].sum()) == 20 * 7


def test_copies_of_what_is_known_fill_shards_too(tmp_path: Path, run: Run) -> None:
    folder = films_named(tmp_path / "films", 1)
    lines = []
    for number in range(7):
        shutil.copy(folder / "00.mp4", folder / f"copy{number}.mp4")
        lines.append(json.dumps({"video": f"copy{number}.mp4", "caption": f"copy {number}"}))
    with (folder / "captions.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    run(rows_of(folder), tmp_path / "m")
    assert len(list((tmp_path / "m").glob("*.safetensors"))) == 3, "eight rows, three in a shard"
    assert len(MemorySource(tmp_path / "m")) == 8


def test_a_run_that_was_killed_as_it_began_is_gone_on_with(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "m"
    out.mkdir()
    (out / ".memories.json.9.part").write_bytes(b"{")
    (out / ".00000.safetensors.9.part").write_bytes(b"half")
    assert run(rows_of(films_named(tmp_path / "films", 1)), out).stored == 1
    assert not list(out.glob(".*.part"))


def test_a_name_that_is_no_utf8_is_stored_and_found(tmp_path: Path, run: Run, backbones: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    path = os.fsencode(folder) + b"/caf\xe9.mp4"
    write_film(folder / "a.mp4", frames=3, size=(32, 32))
    (folder / "a.mp4").rename(os.fsdecode(path))
    rows = uncaptioned(VideoFolder(folder))
    source = RowSource(rows, VideoFolder(folder), PREPROCESS)
    run(source, tmp_path / "m")
    stored = MemorySource(tmp_path / "m")
    assert stored.find(rows[0].id) == 0
    assert stored.identity
    options = ["--encoder", str(backbones / "timesformer"), "--workers", "0", "--device", "cpu"]
    Path(os.fsdecode(path)).write_bytes(b"text")
    assert main(["encode", str(folder), *options, "--out", str(tmp_path / "e")]) == 1


def test_images_do_not_go_into_a_folder_of_videos(films: Path, tmp_path: Path, run: Run) -> None:
    class Images(RowSource):
        modality = "image"

    source = rows_of(films)
    run(source, tmp_path / "m")
    with pytest.raises(DataError, match="holds memories of videos, and these are images"):
        run(Images(source.rows, VideoFolder(films), PREPROCESS), tmp_path / "m")


def test_what_the_encoder_ran_in_belongs_to_what_made_a_memory(spec: MemorySpec) -> None:
    half = replace(spec, precision="bfloat16")
    assert half.fingerprint != spec.fingerprint
    assert MemorySpec.from_dict(half.to_dict()) == half
    assert "precision" not in spec.to_dict(), "or every older folder would count as edited"
    with pytest.raises(ConfigError, match="precision is 'float8'"):
        replace(spec, precision="float8")


def test_a_source_of_memories_is_compared_with_the_model_and_must_have_captions(
    films: Path, tmp_path: Path, run: Run
) -> None:
    run(rows_of(films), tmp_path / "m")
    data = StreamData(videos=MemorySource(tmp_path / "m"), preprocess=replace(PREPROCESS, size=32), workers=0)
    with pytest.raises(DataError, match="other pictures"):
        data.setup("fit")
    run(RowSource(uncaptioned(VideoFolder(films)), VideoFolder(films), PREPROCESS), tmp_path / "silent")
    for videos in (tmp_path / "silent", MemorySource(tmp_path / "silent")):
        with pytest.raises(DataError, match="has no captions of 6 of its 6 samples"):
            StreamData(videos=videos, preprocess=PREPROCESS, workers=0).setup("fit")


def test_rows_without_a_memory_are_told_to_be_encoded(films: Path, tmp_path: Path, run: Run) -> None:
    run(rows_of(films), tmp_path / "m")
    unknown = CaptionedVideo(id="x", video="x.mp4", captions=("unknown",), split="train")
    with pytest.raises(DataError, match=r"1 of 1 videos have no memory.*pseudocap encode"):
        MemoryRows([unknown], MemorySource(tmp_path / "m")).refuse_missing(Tolerance(0.1))


def test_too_many_failures_end_the_run_and_keep_what_was_encoded(films: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    for name in ("3.mp4", "4.mp4", "5.mp4"):
        (folder / name).write_bytes(b"text")
    with pytest.raises(DataError, match="max_failure_rate"):
        run(rows_of(folder), tmp_path / "m", max_failure_rate=0.1)
    assert len(MemorySource(tmp_path / "m")) == 3


def test_memories_of_other_weights_or_pictures_are_refused(
    films: Path, tmp_path: Path, run: Run, spec: MemorySpec
) -> None:
    run(rows_of(films), tmp_path / "m")
    with pytest.raises(DataError, match="fingerprint"):
        MemorySource(tmp_path / "m", encoder="0" * 64)
    with pytest.raises(DataError, match="other pictures"):
        MemorySource(tmp_path / "m", preprocess=replace(PREPROCESS, size=32))
    with pytest.raises(DataError, match="crops is 2 there and 5 here"):
        run(rows_of(films), tmp_path / "m", spec=replace(spec, crops=5))
    manifest = tmp_path / "m" / "memories.json"
    manifest.write_text(manifest.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(DataError, match="edited"):
        MemorySource(tmp_path / "m")


def test_caption_data_takes_memories_in_place_of_videos(
    films: Path, tmp_path: Path, run: Run, spec: MemorySpec
) -> None:
    run(rows_of(films), tmp_path / "m")
    stored = MemorySource(tmp_path / "m")
    data = CaptionData(
        films / "captions.jsonl", memories=tmp_path / "m", preprocess=PREPROCESS, batch_size=2, workers=0, val_share=0.3
    )
    data.setup("fit")
    assert {name: coverage.present for name, coverage in data.coverage.items()} == {"train": 5, "val": 2}
    for batch in data.val_dataloader():
        assert batch.frames is None
        assert batch.memory is not None
        for row, key in enumerate(batch.keys):
            memory = stored.memory(stored.find(key))
            torch.testing.assert_close(batch.memory.space[row], memory.space[0], atol=0, rtol=0)
    seen = {key for _, batch in zip(range(3), data.train_dataloader(), strict=False) for key in batch.keys}
    assert len(seen) == 5
    renamed = CaptionedVideo(id="clip 2", video="2", captions=("known by its video",), split="train")
    assert stored.of_row(renamed) == stored.find("2.mp4")
    assert stored.of_row(replace(renamed, start=0.0, end=0.1)) is None


def test_a_stream_takes_a_folder_of_memories(films: Path, tmp_path: Path, run: Run) -> None:
    run(rows_of(films), tmp_path / "m")
    data = StreamData(videos=tmp_path / "m", preprocess=PREPROCESS, batch_size=3, workers=0, epoch_steps=2)
    data.prepare_data()
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert [len(batch) for batch in batches] == [3, 3]
    assert all(batch.memory is not None for batch in batches)
    with pytest.raises(DataError, match="other pictures"):
        StreamData(videos=tmp_path / "m", preprocess=replace(PREPROCESS, size=32)).setup("fit")


def test_a_damaged_shard_is_named(films: Path, tmp_path: Path, run: Run) -> None:
    run(rows_of(films), tmp_path / "m")
    shard = tmp_path / "m" / "00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:300])
    stored = MemorySource(tmp_path / "m")
    stored.memory(0)
    with pytest.raises(DataError, match=r"00001\.safetensors is damaged"):
        stored.memory(4)


def test_a_full_disk_is_one_clear_error_and_the_shards_before_it_stay(films: Path, tmp_path: Path, run: Run) -> None:
    def fill(done: int, total: int) -> None:
        if done == 3:  # one shard is written; from here on no file may grow
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(DataError, match=r"00001\.safetensors could not be written"):
            run(rows_of(films), tmp_path / "m", progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(contents(tmp_path / "m")) == ["00000.json", "00000.safetensors", "memories.json"]
    run(rows_of(films), tmp_path / "m")
    run(rows_of(films), tmp_path / "whole")
    assert contents(tmp_path / "m") == contents(tmp_path / "whole")


def test_a_second_run_into_the_same_folder_is_refused(films: Path, tmp_path: Path, run: Run) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(
            DataError, match=rf"another run \(process {os.getpid()} on .*\) is encoding into {tmp_path}"
        ):
            run(rows_of(films), tmp_path / "m")

    assert run(rows_of(films), tmp_path / "m", progress=second).stored == 7


def test_a_long_video_without_captions_is_cut_into_clips(tmp_path: Path) -> None:
    write_film(tmp_path / "long.mp4", frames=70)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = uncaptioned(VideoFolder(tmp_path), clip_seconds=1.0, min_seconds=0.5)
    assert [(row.id, row.start, row.end) for row in rows] == [
        ("broken.mp4", None, None),
        ("long.mp4#0.000-1.000", 0.0, 1.0),
        ("long.mp4#1.000-2.000", 1.0, 2.0),
        ("long.mp4#2.000-2.800", 2.0, pytest.approx(2.8)),
    ]


def test_the_verb_encodes_and_tells_mistakes_in_one_line(
    films: Path, tmp_path: Path, backbones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, out = str(backbones / "timesformer"), str(tmp_path / "m")
    options = ["--encoder", encoder, "--workers", "0", "--device", "cpu"]
    assert main(["encode", str(films / "captions.jsonl"), *options, "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stored"] == 7
    assert main(["encode", str(films), *options, "--out", str(tmp_path / "c"), "--clip-seconds", "0.5"]) == 0
    assert "samples encoded" in capsys.readouterr().out
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("mine")
    for source, folder, more, message in (
        (str(tmp_path / "nothing"), out, [], "no such file"),
        (str(empty), str(tmp_path / "x"), [], "no video file"),
        (str(films / "captions.jsonl"), str(tmp_path / "full"), [], "is not empty"),
        (str(films / "captions.jsonl"), out, ["--crops", "1"], "crops is 0 there and 1 here"),
        (str(films / "captions.jsonl"), out, ["--size", "15"], "patch size"),
        (str(films / "captions.jsonl"), out, ["--workers", "-1"], "workers must be at least 0"),
        (str(films / "captions.jsonl"), out, ["--bf16"], "precision is float32 there and bfloat16 here"),
        (str(films / "captions.jsonl"), str(tmp_path / "y"), ["--videos", str(empty)], "--videos"),
    ):
        assert main(["encode", source, *options, "--out", folder, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error


def test_the_verb_names_missing_videos_and_does_not_take_a_stray_text_for_captions(
    tmp_path: Path, backbones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--encoder", str(backbones / "timesformer"), "--workers", "0", "--device", "cpu"]
    folder = films_named(tmp_path / "films", 3)
    (folder / "02.mp4").unlink()
    captions = ["encode", str(folder / "captions.jsonl"), *options, "--out", str(tmp_path / "m")]
    assert main(captions) == 2
    assert "1 of 3 videos are not below" in capsys.readouterr().err
    assert main([*captions, "--max-failure-rate", "0.5"]) == 1
    assert "missing: 1 videos" in capsys.readouterr().out
    assert main([*captions, "--max-failure-rate", "0.5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["missing"] == ["02.mp4"]
    (folder / "readme.txt").write_text("where these come from\n")
    assert main(["encode", str(folder), *options, "--out", str(tmp_path / "whole")]) == 0
    assert {row.key for row in MemorySource(tmp_path / "whole").rows} == {"00.mp4", "01.mp4"}


def test_an_encoder_that_is_not_the_checkpoints_any_more_is_refused(
    films: Path, tmp_path: Path, backbones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(backbones / "timesformer", tmp_path / "encoder")
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=tmp_path / "encoder", device="cpu")
    start.save_pretrained(tmp_path / "start")
    write_timesformer(tmp_path / "other", hidden_size=16, seed=9)
    shutil.rmtree(tmp_path / "encoder")
    shutil.copytree(tmp_path / "other", tmp_path / "encoder")
    command = ["encode", str(films / "captions.jsonl"), "--encoder", str(tmp_path / "start"), "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "m"), "--workers", "0"]) == 2
    assert "no longer holds the weights" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--patches", "--bf16"]])
def test_the_verb_takes_any_image_model_and_the_captioner_of_one(
    films: Path, tmp_path: Path, backbones: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_timm(tmp_path / "vit", **VIT)
    start = PseudoCap.from_backbones(
        decoder=backbones / "opt", encoder=tmp_path / "vit", num_frames=4, size=16, device="cpu"
    )
    start.save_pretrained(tmp_path / "start")
    options = ["--size", "16", "--frames", "4", "--workers", "0", "--device", "cpu", *flags]
    source = str(films / "captions.jsonl")
    for encoder in ("vit", "start"):  # what is encoded by the first is known to the second
        words = [
            "encode",
            source,
            "--encoder",
            str(tmp_path / encoder),
            "--out",
            str(tmp_path / "m"),
            *options,
            "--json",
        ]
        assert main([*words, "--out", str(tmp_path / "m"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["stored"] == 0
    expected = start.config.encoder.fingerprint
    stored = MemorySource(tmp_path / "m", encoder=expected, preprocess=start.config.preprocess)
    index = next(number for number, row in enumerate(stored.rows) if row.key == "3.mp4")
    memory = stored.sample(index, torch.Generator()).memory
    assert memory is not None
    frames = decode_file(films / "3.mp4", start.config.preprocess)[None]
    again = start.encode(frames)
    tolerance = 0.1 if flags else 0.01
    torch.testing.assert_close(memory.time, again.time, rtol=0, atol=tolerance)
    torch.testing.assert_close(memory.space, again.space, rtol=0, atol=tolerance)


def test_the_verb_offers_the_nearest_name_of_timms(
    hub: Hub, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["encode", str(films), "--encoder", "timm/resnet81.a1_in1k", "--out", str(tmp_path / "m")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "timm has no model 'resnet81' (did you mean 'resnet18'?)" in error
    assert error.count("\n") == 1


def test_captions_of_pictures_are_encoded_as_images_with_all_of_them(
    backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(image_bytes(number))
    rows = [{"image": f"{number}.png", "caption": ["a dog", f"picture {number}"]} for number in range(3)]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--encoder", str(backbones / "timesformer"), "--out", str(tmp_path / "memories"), "--workers", "0"]
    assert main(["encode", str(tmp_path / "captions.jsonl"), "--images", *words]) == 0
    memories = MemorySource(tmp_path / "memories")
    assert memories.modality == "image"
    assert {row.captions for row in memories.rows} == {("a dog", f"picture {number}") for number in range(3)}
    assert main(["encode", str(tmp_path), "--images", *words]) == 2
    assert "is neither" in capsys.readouterr().err
