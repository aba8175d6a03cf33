from __future__ import annotations

import json
import logging
import multiprocessing
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.caption_rows import keys, write_captions
from helpers.corpora import write_clip
from helpers.recorder import SMALL, Recorder, every_step, recorded, trainer
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import OnExceptionCheckpoint

from pseudocap.data import CaptionData
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError, DataError
from pseudocap.video.tensors import decode_file

CAPTIONS = ["one", "two", "three"]


def data(source: Path, **options: Any) -> CaptionData:
    return CaptionData(source, **{"batch_size": 2, "workers": 0, "preprocess": SMALL, **options})


def test_a_file_of_captions_beside_its_videos_is_all_that_a_trainer_needs(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"": 5})
    run = trainer(tmp_path, max_epochs=2)
    run.fit(Recorder(tmp_path / "log"), CaptionData(source, batch_size=2, workers=0))
    train, val = recorded(tmp_path / "log", "train"), recorded(tmp_path / "log", "val")
    assert len(train) == 2 * 2
    assert train[0]["shape"] == [2, 2, 3, 16, 16]
    assert len(set(keys(train[:2]))) == 4
    assert set(keys(val)) == {f"video{k}" for k in range(5)} - set(keys(train))
    assert len(keys(val)) == 2  # the one that was held out, at the end of both epochs
    assert val[0]["references"] == [3]


@pytest.mark.parametrize("options", [{}, {"val_split": "dev"}])
def test_rows_of_the_split_dev_are_validated_on_and_not_learned(tmp_path: Path, options: dict[str, str]) -> None:
    source = data(write_captions(tmp_path, {"train": 3, "dev": 2}), **options)
    source.setup("fit")
    assert {key for batch in source.val_dataloader() for key in batch.keys} == {"dev0", "dev1"}
    assert source.learnable == 3
    own = read_own(write_captions(tmp_path, {"train": 3, "dev": 2}))
    named = replace(own, rows=tuple(replace(row, split=row.split.replace("val", "dev")) for row in own.rows))
    given = data(named, videos=tmp_path, val_split="dev")
    given.setup("fit")
    assert len(given.val_dataloader()) == 1


def test_without_a_model_that_says_so_the_preprocessing_must_be_given(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"": 2})
    with pytest.raises(ConfigError, match=r"CaptionData does not know the size .* give preprocess="):
        trainer(tmp_path).fit(Recorder(tmp_path / "log", preprocess=None), CaptionData(source, workers=0))
    with pytest.raises(ConfigError, match="give preprocess="):
        CaptionData(source).setup("fit")


def test_every_epoch_shows_every_video_once_with_a_caption_drawn_anew(tmp_path: Path) -> None:
    source = data(write_captions(tmp_path, {"": 6}), val_share=0)
    source.setup("fit")
    loader = source.train_dataloader()
    epochs = [list(loader) for _ in range(4)]
    for epoch in epochs:
        assert Counter(key for batch in epoch for key in batch.keys) == {f"video{k}": 1 for k in range(6)}
    drawn = [
        {key: text for batch in epoch for key, text in zip(batch.keys, batch.captions, strict=True)} for epoch in epochs
    ]
    assert len({tuple(sorted(epoch.items())) for epoch in drawn}) == 4
    assert {text for epoch in drawn for text in epoch.values()} == set(CAPTIONS)
    assert source.val_dataloader() == []


def test_batches_cross_the_end_of_an_epoch_so_that_none_is_short_and_nothing_is_lost(tmp_path: Path) -> None:
    source = data(write_captions(tmp_path, {"": 5}), val_share=0)
    source.setup("fit")
    loader = source.train_dataloader()
    assert len(loader) == 3
    seen = [key for _ in range(5) for batch in loader for key in batch.keys]
    assert len(seen) == 5 * 3 * 2
    for epoch in range(6):
        assert len(set(seen[5 * epoch : 5 * epoch + 5])) == 5


def test_evaluation_sees_what_captioning_a_file_sees(tmp_path: Path) -> None:
    source = data(write_captions(tmp_path, {"test": 3}), batch_size=1)
    source.setup("test")
    for batch in source.test_dataloader():
        frames = decode_file(tmp_path / f"{batch.keys[0]}.mp4", SMALL)
        torch.testing.assert_close(batch.frames[0], frames, rtol=0, atol=0)
        assert batch.references == (tuple(CAPTIONS),)
        assert batch.step is None


@pytest.mark.parametrize(("workers", "start_method"), [(1, "fork"), (2, "fork")])
def test_workers_change_no_batch_and_end_with_the_run(tmp_path: Path, workers: int, start_method: str) -> None:
    source = write_captions(tmp_path, {"": 9, "val": 3})
    found = []
    for count, method in ((0, None), (workers, start_method)):
        log = tmp_path / f"log{count}"
        trainer(tmp_path, max_epochs=2).fit(Recorder(log), data(source, workers=count, start_method=method))
        found.append((recorded(log, "train"), recorded(log, "val")))
    assert found[0] == found[1]
    assert not multiprocessing.active_children()


def test_loading_takes_nothing_from_the_random_numbers_of_training(tmp_path: Path) -> None:
    source = data(write_captions(tmp_path, {"": 4}))
    source.setup("fit")
    before = torch.get_rng_state()
    list(source.train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_a_run_stopped_anywhere_and_resumed_sees_what_the_uninterrupted_one_sees(tmp_path: Path, stop: int) -> None:
    source = write_captions(tmp_path, {"": 6})
    saved = every_step(tmp_path / "saved")
    trainer(tmp_path, max_steps=8, callbacks=[saved]).fit(Recorder(tmp_path / "straight"), data(source))
    straight = recorded(tmp_path / "straight", "train")
    resume = tmp_path / "saved" / f"step={stop}.ckpt"
    trainer(tmp_path, max_steps=8).fit(Recorder(tmp_path / "again"), data(source), ckpt_path=resume)
    assert recorded(tmp_path / "again", "train") == straight[stop:]


def test_a_step_that_failed_is_taken_again(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"": 6})
    trainer(tmp_path, max_steps=6).fit(Recorder(tmp_path / "straight"), data(source))
    keep = OnExceptionCheckpoint(tmp_path)
    with pytest.raises(RuntimeError, match="as the test wants it"):
        trainer(tmp_path, max_steps=6, callbacks=[keep]).fit(Recorder(tmp_path / "log", fail_at=4), data(source))
    trainer(tmp_path, max_steps=6).fit(Recorder(tmp_path / "log"), data(source), ckpt_path=keep.ckpt_path)
    assert recorded(tmp_path / "log", "train") == recorded(tmp_path / "straight", "train")


def test_an_epoch_that_the_trainer_cuts_short_is_gone_on_with(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"": 8})
    run = trainer(tmp_path, max_epochs=3, limit_train_batches=3)
    run.fit(Recorder(tmp_path / "log"), data(source, val_share=0))
    train = recorded(tmp_path / "log", "train")
    assert [batch["step"] for batch in train] == list(range(9))
    assert [batch["epoch"] for batch in train] == [0] * 3 + [1] * 3 + [2] * 3
    assert len(set(keys(train[:4]))) == 8


def test_reloaded_loaders_go_on_and_a_second_run_begins_anew(tmp_path: Path) -> None:
    source = data(write_captions(tmp_path, {"": 6}))
    for name in ("first", "second"):
        run = trainer(tmp_path, max_epochs=3, reload_dataloaders_every_n_epochs=1)
        run.fit(Recorder(tmp_path / name), source)
        assert [batch["step"] for batch in recorded(tmp_path / name, "train")] == list(range(9))


@pytest.mark.parametrize(("name", "value"), [("batch_size", 3), ("seed", 1)])
def test_another_setting_than_that_of_the_checkpoint_is_refused(tmp_path: Path, name: str, value: int) -> None:
    source = write_captions(tmp_path, {"": 6})
    trainer(tmp_path, max_steps=1, callbacks=[every_step(tmp_path)]).fit(Recorder(tmp_path / "log"), data(source))
    with pytest.raises(ConfigError, match=rf"the run to resume had {name} \d and this one has {value}, so other"):
        trainer(tmp_path, max_steps=2).fit(
            Recorder(tmp_path / "log"), data(source, **{name: value}), ckpt_path=tmp_path / "step=1.ckpt"
        )


def test_other_captions_than_those_of_the_checkpoint_are_refused(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"": 6})
    trainer(tmp_path, max_steps=1, callbacks=[every_step(tmp_path)]).fit(Recorder(tmp_path / "log"), data(source))
    write_captions(tmp_path, {"": 7})
    with pytest.raises(ConfigError, match="the run to resume had samples"):
        trainer(tmp_path, max_steps=2).fit(Recorder(tmp_path / "log"), data(source), ckpt_path=tmp_path / "step=1.ckpt")


def test_the_checkpoint_of_a_run_may_be_evaluated_with_other_settings(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"train": 4, "test": 3})
    trainer(tmp_path, max_steps=1, callbacks=[every_step(tmp_path)]).fit(Recorder(tmp_path / "log"), data(source))
    other = data(source, batch_size=1, seed=5)
    trainer(tmp_path).test(Recorder(tmp_path / "log"), other, ckpt_path=tmp_path / "step=1.ckpt")
    assert keys(recorded(tmp_path / "log", "test")) == ["test0", "test1", "test2"]
    assert trainer(tmp_path).predict(Recorder(tmp_path / "log"), other) == [("test0",), ("test1",), ("test2",)]


def test_what_is_missing_or_undecodable_is_named_and_travels_into_the_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = data(
        write_captions(tmp_path, {"train": 4, "test": 5}, broken=["test3"], absent=["test1"]), max_failure_rate=0.3
    )
    with caplog.at_level(logging.WARNING):
        trainer(tmp_path).test(Recorder(tmp_path / "log"), source)
        trainer(tmp_path).test(Recorder(tmp_path / "log"), source)
    assert keys(recorded(tmp_path / "log", "test")[:2]) == ["test0", "test2", "test4"]
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("pseudocap")]
    assert sum("no video file for test1" in line for line in messages) == 2  # once a run
    assert sum("cannot be decoded: test3" in line for line in messages) == 1
    coverage = source.coverage["test"]
    assert (coverage.videos, coverage.present, coverage.missing) == (5, 3, ("test1",))
    assert list(coverage.undecodable) == ["test3"]
    assert source.provenance()["coverage"]["test"]["present"] == 3
    json.dumps(source.provenance())


def test_too_much_that_is_missing_or_undecodable_ends_the_run(tmp_path: Path) -> None:
    missing = write_captions(tmp_path / "missing", {"test": 5}, absent=["test1"])
    with pytest.raises(DataError, match=r"1 of 5 videos are not below .*test1.* more than max_failure_rate 0.1"):
        trainer(tmp_path).test(Recorder(tmp_path / "log"), data(missing))
    broken = write_captions(tmp_path / "broken", {"test": 5}, broken=["test1"])
    with pytest.raises(DataError, match=r"1 of 5 samples cannot be decoded, .* test1 first"):
        trainer(tmp_path).test(Recorder(tmp_path / "log"), data(broken))


def test_training_videos_that_break_are_replaced_until_they_are_too_many(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"": 4}, broken=["video2"])
    patient = data(source, val_share=0, max_failure_rate=0.5)
    trainer(tmp_path, max_epochs=60).fit(Recorder(tmp_path / "log"), patient)
    train = recorded(tmp_path / "log", "train")
    assert {len(batch["keys"]) for batch in train} == {2}
    assert set(keys(train)) == {"video0", "video1", "video3"}
    with pytest.raises(DataError, match=r"\d+ of 1\d\d samples cannot be decoded"):
        trainer(tmp_path, max_epochs=60).fit(Recorder(tmp_path / "log"), data(source, val_share=0))


def test_a_video_is_held_out_whole_and_the_same_ones_with_the_same_seed(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    lines = [
        {"video": f"film{k % 10}{'.mp4' if k < 10 else ''}", "caption": "x", "start": k, "end": k + 1}
        for k in range(30)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    for k in range(10):
        (tmp_path / f"film{k}.mp4").touch()

    def held(seed: int) -> set[str]:
        corpus = data(path, seed=seed, val_share=0.2).corpus
        names = {name: {row.video[:5] for row in corpus.split(name).rows} for name in ("train", "val")}
        assert not names["train"] & names["val"]
        return names["val"]

    assert len(held(0)) == 2
    assert held(0) == held(0)
    assert len({frozenset(held(seed)) for seed in range(5)}) > 1


def test_what_is_held_out_is_drawn_from_the_videos_that_are_there(tmp_path: Path) -> None:
    absent = [f"video{k}" for k in range(5)]
    path = write_captions(tmp_path, {"": 10}, absent=absent)
    for seed in range(5):
        source = data(path, seed=seed, val_share=0.4, max_failure_rate=0.5)
        for stage in ("validate", "fit"):
            source.setup(stage)
        held, learned = source.coverage["val"], source.coverage["train"]
        assert (held.videos, held.missing) == (2, ())  # two fifths of the five that are there
        assert (learned.videos, set(learned.missing)) == (8, set(absent))
        assert source.learnable == 3


@pytest.mark.parametrize("stage", ["validate", "fit"])
def test_absent_videos_are_counted_over_all_before_some_are_held_out(tmp_path: Path, stage: str) -> None:
    path = write_captions(tmp_path, {"": 10}, absent=["video3"])
    data(path, max_failure_rate=0.1).setup(stage)  # 1 of 10, though of the 9 that are left to learn from it is more
    with pytest.raises(DataError, match=r"1 of 10 videos are not below .*video3"):
        data(path, max_failure_rate=0.09).setup(stage)


def test_a_batch_size_may_be_chosen_once_the_corpus_is_known(tmp_path: Path) -> None:
    source = data(write_captions(tmp_path, {"": 6}), val_share=0, batch_size=1)
    source.set_batch_size(source.learnable)
    source.setup("fit")
    assert [len(batch.keys) for batch in source.train_dataloader()] == [6]
    assert source.batch_size == 6


def test_training_on_the_test_videos_is_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    rows = [{"video": name, "caption": "x", "split": split} for split in ("train", "test") for name in "ab"]
    path.write_text("\n".join(map(json.dumps, rows)))
    for name in "ab":
        write_clip(tmp_path / f"{name}.mp4")
    with pytest.raises(DataError, match="holds 2 of the 2 videos of test"):
        data(path).setup("fit")
    forced = data(path, allow_leak=True)
    forced.setup("test")
    assert {"what": "videos of test that are trained on", "expected": 0, "found": 2} in forced.provenance()[
        "mismatches"
    ]


def test_what_the_corpus_does_not_have_is_named(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"test": 2})
    with pytest.raises(DataError, match="own has no split 'train'; it has test"):
        trainer(tmp_path).fit(Recorder(tmp_path / "log"), data(source))
    with pytest.raises(ConfigError, match="videos= must name the folder of the videos of own"):
        CaptionData(read_own(source))
    with pytest.raises(ConfigError, match="workers must be a whole number from 0"):
        data(source, workers=-1)
    with pytest.raises(ConfigError, match="start_method must be fork"):
        data(source, start_method="threads")
    with pytest.raises(ConfigError, match="max_failure_rate must be a share from 0 to 1"):
        data(source, max_failure_rate=2)
    with pytest.raises(ConfigError, match="overfit_batches would get other batches"):
        trainer(tmp_path, overfit_batches=1).fit(Recorder(tmp_path / "log"), data(source))


class OneOfThree(CaptionData):
    """The second of three ranks, without the other two."""

    @property
    def rank_and_ranks(self) -> tuple[int, int]:
        return 1, 3


def test_a_split_with_fewer_videos_than_ranks_is_refused(tmp_path: Path) -> None:
    source = write_captions(tmp_path, {"val": 2, "test": 4})
    with pytest.raises(DataError, match="val has 2 videos for 3 ranks, and each needs one; use fewer devices"):
        OneOfThree(source, preprocess=SMALL).setup("validate")
    rank = OneOfThree(source, preprocess=SMALL, workers=0)
    rank.setup("test")
    assert [batch.keys for batch in rank.test_dataloader()] == [("test1",)]


def test_real_clips_of_every_format_are_trained_on_and_evaluated(shared_data: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (shared_data / "clips").iterdir())
    rows = [
        {"video": name, "caption": f"this is {name}", "split": split} for name in names for split in ("train", "val")
    ]
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    source = data(path, videos=shared_data / "clips", allow_leak=True, batch_size=len(names), workers=1)
    trainer(tmp_path, max_epochs=1).fit(Recorder(tmp_path / "log"), source)
    for stage in ("train", "val"):
        (batch,) = recorded(tmp_path / "log", stage)
        assert sorted(batch["keys"]) == names
        assert batch["shape"] == [len(names), 2, 3, 16, 16]


@pytest.mark.parametrize(
    "text", ['{"video": "a.mp4", "caption": "a dog"}\n', '[{"video": "a.mp4", "caption": "a dog"}]\n']
)
def test_a_file_of_captions_that_a_config_could_be_is_named_and_not_read_as_settings(text: str, tmp_path: Path) -> None:
    """LightningCLI takes settings from files, and a file of one row is a mapping."""
    (tmp_path / "captions.json").write_text(text)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(CaptionData, "data", sub_configs=True)
    settings = parser.parse_args([f"--data.source={tmp_path / 'captions.json'}"])
    assert settings.data.source == str(tmp_path / "captions.json")
