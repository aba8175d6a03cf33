"""`pseudocap mine` as a user runs it, with a tiny image model of timm; other verbs take what it writes unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.image_models import VIT, write_classifier, write_timm
from helpers.mining import rows, write_films, write_photos
from helpers.torch_free import TorchFree

from pseudocap.cli.main import main
from pseudocap.data.corpora.own import read_own
from pseudocap.data.corpora.videocc import read_videocc
from pseudocap.label.rewrite import Earlier
from pseudocap.mine import classifier

MINE = "mine films --seeds photos --encoder vit --threshold 0.9 --span 2 --longest 4 --workers 0 --shard-size 2"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_timm(folder / "vit", **VIT)
    write_films(folder / "films", a="red blue", b="green", c="white")
    write_photos(folder / "photos", red="a red car drives|a car that is red", blue="the blue sea", white="")
    (folder / "views.csv").write_text("video,views,category\na,5000,cars\nb,3,parks\n")
    assert run_in(folder, f"{MINE} --metadata views.csv --out labels") == 0
    return folder


def run_in(folder: Path, words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(words.split())


def test_the_summary_counts_what_was_written(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_in(world, f"{MINE} --metadata views.csv --out labels --json") == 0
    summary = json.loads(capsys.readouterr().out)
    labels = rows(world / "labels")
    assert summary["clips"] == len({label.clip for label in labels}) > 0
    assert (summary["seeds"], summary["seeds_without_caption"], summary["films"]) == (2, 1, 2)
    assert summary["left_out"] == {"too few views": 1}
    assert "b.mp4" not in {label.clip.source for label in labels}
    assert run_in(world, f"{MINE} --metadata views.csv --out labels") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"labels: {summary['clips']} clips of 0.00 hours with {summary['captions']} captions")
    assert printed[1:] == ["left out: 1 pictures without a caption", "left out: 1 videos, too few views"]


def test_the_nearest_photograph_gives_the_first_caption(world: Path) -> None:
    best = {label.clip.source: label.parent for label in reversed(rows(world / "labels")) if label.clip.start == 0}
    assert best["a.mp4"] == "red.png"


def test_browse_pack_and_readers_take_the_labels_unchanged(world: Path, tmp_path: Path) -> None:
    labels = world / "labels"
    assert len(Earlier.of(labels).plan.sources.shards) == 2
    assert run_in(world, f"pack labels --out {tmp_path}/tars --workers 0 --format frames") == 0
    assert list((tmp_path / "tars").glob("*.tar"))
    corpus = read_own(labels)
    assert {row.video for row in corpus.rows} <= {str(world / "films/a.mp4"), str(world / "films/c.mp4")}
    assert {caption for row in corpus.rows for caption in row.captions} >= {"a car that is red", "the blue sea"}
    assert run_in(world, f"browse labels --export {tmp_path}/rows.jsonl --out {tmp_path}/edits") == 0
    exported = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(exported) == len(rows(labels))


def test_a_report_and_videoccs_form_are_written_beside_the_labels(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reference.txt").write_text("a man is driving\na dog is swimming\n")
    capsys.readouterr()
    extra = f"--report {tmp_path}/mined --reference {tmp_path}/reference.txt --videocc {tmp_path}/mined.csv"
    extra += " --classifier classifier"
    write_classifier(world / "classifier", "sports car, car", "blue sea")
    assert run_in(world, f"{MINE} --metadata views.csv --out labels {extra}") == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "mined.json").read_text())
    assert document["verbs"] == {"of": 2, "found": 1, "by": "reference.txt", "share": 0.5}
    assert (document["confirmed"]["found"], document["confirmed"]["by"]) == (document["pairs"], "classifier")
    assert document["domains"]["cars"] > 0
    assert "Domains" in (tmp_path / "mined.html").read_text()
    corpus = read_videocc(tmp_path / "mined.csv")
    pairs = sum(len(row.captions) for row in rows(world / "labels"))
    assert corpus.counts["train"]["captions"] == document["pairs"] == pairs
    assert f"{tmp_path}/mined.csv: {document['pairs']} pairs in VideoCC's form" in printed


def test_the_classifier_is_where_the_encoder_is(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    class Recording(classifier.ImageClassifier):
        def __init__(self, source: str, *, device: str = "cpu") -> None:
            super().__init__(source, device=device)
            devices.append(device)

    monkeypatch.setattr(classifier, "ImageClassifier", Recording)
    write_classifier(world / "classifier", "sports car, car", "blue sea")
    extra = f"--metadata views.csv --out labels --report {tmp_path}/mined --classifier classifier --device cpu:0"
    assert run_in(world, f"{MINE} {extra}") == 0
    assert devices == ["cpu:0"]


def test_another_run_on_a_frame_index_counts_ages_on_the_day_of_the_index(world: Path, tmp_path: Path) -> None:
    words = f"{MINE} --metadata views.csv --frame-index {tmp_path}/index"
    assert run_in(world, f"{words} --out {tmp_path}/first --on-day 2026-11-01") == 0
    assert run_in(world, f"{words} --out {tmp_path}/second") == 0  # on another day, which today is
    assert json.loads(rows(tmp_path / "second")[0].settings)["films.day"] == "2026-11-01"


def test_corrected_facts_are_reported(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts, words = tmp_path / "views.csv", f"{MINE} --metadata {tmp_path}/views.csv --out {tmp_path}/out"
    for text, found in (
        ("video,views\na,5000\nb,3\n", ["left out: 1 videos, too few views"]),
        ("video,views\na,5000\nb,4000\n", ["mined again: 1 shards (--metadata has changed)"]),
        ("video,views\na,5000\nb,4000\nnew,1\n", []),
    ):
        facts.write_text(text)
        capsys.readouterr()
        assert run_in(world, words) == 0
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in printed[1:] if "without a caption" not in line] == found


@pytest.mark.slow
def test_mined_clips_are_filtered_packed_and_trained_on(world: Path, backbones: Path, tmp_path: Path) -> None:
    assert run_in(world, f"filter labels --encoder vit --threshold 1 --out {tmp_path}/filtered") == 0
    assert len(rows(tmp_path / "filtered")) == len(rows(world / "labels"))
    assert run_in(world, f"pack {tmp_path}/filtered --out {tmp_path}/tars --workers 0") == 0
    where = f"--model.model.init_args.decoder {backbones}/opt --model.model.init_args.encoder {backbones}/timesformer"
    few = "--data.batch_size 2 --data.workers 0 --trainer.accelerator cpu --trainer.max_steps 2"
    train = f"train video-only --config toy --data.videos {tmp_path}/tars --out {tmp_path}/run {where} {few}"
    assert run_in(world, train) == 0
    assert (tmp_path / "run/last").is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mine gone --seeds photos --encoder vit --out new", "gone: there is no such file or folder"),
        ("mine films --seeds gone --encoder vit --out new", "--seeds gone: there is no such file or folder; name a"),
        ("mine films --seeds bare --encoder vit --out new", "--seeds bare: none of the 1 pictures has a caption;"),
        ("mine films --seeds photos --encoder gone --out new", "gone is neither a directory nor a repo's name"),
        ("mine films --seeds photos --encoder vit --out views.csv", "--out views.csv is a file; name a folder"),
        (f"{MINE} --out new --threshold 1.5", "threshold is 1.5 and must be a similarity from 0 to 1"),
        (f"{MINE} --out new --threshold -0.1", "threshold is -0.1 and must be a similarity from 0 to 1"),
        (f"{MINE} --out new --span 0", "span is 0 seconds and must be above 0"),
        (f"{MINE} --out new --fps 0", "fps is 0 and must be above 0"),
        (f"{MINE} --out new --apart -1", "apart is -1 seconds and must be 0 (off) or more"),
        (
            f"{MINE} --out new --reference r.txt",
            "--classifier and --reference are for the report; name it",
        ),
        (f"{MINE} --out new --report bare", "--report bare is a folder; name a file, such as mined.html"),
        (f"{MINE} --out new --report r --reference r.txt", "--reference r.txt: there is no such file; name captions"),
        (f"{MINE} --out new --report r --classifier vit", "vit is no image classifier of transformers"),
        (f"{MINE} --out new --video-address x", "--video-address is 'x' and must hold {} for the name of a video"),
        (f"{MINE} --out new --top 0", "--top must be at least 1, not 0"),
        (f"{MINE} --out new --metadata views.csv --on-day May", "--on-day is 'May' and must be a day such as"),
        (f"{MINE} --out new --on-day 2026-11-30", "--on-day counts the ages in --metadata; name it, too"),
        (f"{MINE} --out new --videocc bare", "--videocc bare is a folder; name a file, such as mined.csv"),
        (f"{MINE} --out new --videocc views.csv/mined.csv", "--videocc views.csv/mined.csv cannot be written"),
        (f"{MINE} --out new --report views.csv/mined", "views.csv"),
        (f"{MINE} --out new --report r --reference broken.txt", "broken.txt, line 1: byte 1, 0xff, is not UTF-8"),
    ],
)
def test_a_mistake_is_one_line_before_torch(torch_free: TorchFree, world: Path, words: str, message: str) -> None:
    if not (world / "bare").exists():
        write_photos(world / "bare", red="")
    (world / "broken.txt").write_bytes(b"\xff")
    done = torch_free.run(words.split(), world)
    assert (done.code, done.out, done.heavy) == (2, "", []), done
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert not (world / "new").exists()


def test_mined_labels_are_not_relabelled_as_a_teachers(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in(world, "label --teacher null --relabel labels --below 0.5 --out again") == 2
    assert "--relabel labels was not captioned by a teacher clip by clip" in capsys.readouterr().err


def test_no_match_at_all_is_an_error_with_the_best_similarity(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"{MINE} --threshold 1 --out {tmp_path}/none"
    assert run_in(world, words) == 2
    assert "no frame of 3 videos is like any of 2 seeds: the best similarity is 0.99" in capsys.readouterr().err
