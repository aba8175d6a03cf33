"""`pseudocap caption`: files, folders, patterns and addresses in, captions out, the broken ones reported at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.image_text_models import write_encoder_decoder, write_git, write_qwen2_vl, write_smolvlm
from helpers.shaded_films import write_film

from pseudocap import PseudoCap, load
from pseudocap.caption_files import FileCaptions, caption_densely, caption_files
from pseudocap.captioner import FileCaptioner
from pseudocap.cli.delivery import CaptionDelivery, plan_delivery
from pseudocap.cli.main import main
from pseudocap.data.corpora.own import read_own
from pseudocap.data.videos import VideoFolder
from pseudocap.decoding import FileDecoding
from pseudocap.errors import DataError
from pseudocap.label.row_labels import read_any_labels
from pseudocap.metrics.formats import read_predictions
from pseudocap.rows import read_rows, row_line
from pseudocap.types import TimedCaption
from pseudocap.video.decode import open_video, probe
from pseudocap.zoo.tiny import write_blip, write_opt


@pytest.fixture
def checkpoint(model: PseudoCap, tmp_path: Path) -> str:
    model.save_pretrained(tmp_path / "captioner")
    return str(tmp_path / "captioner")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.mp4", "b.mp4", "more/c.mp4")):
        write_film(folder / name, seconds=3 + number, seed=number)
    return folder


def said(model: FileCaptioner[Any], *files: Path, **options: Any) -> list[str]:
    """What Python says of files, without what a caption that the limit of tokens cut had only begun."""
    return [found.captions[0].text for found in caption_files(model, files, FileDecoding(finish=True, **options))]


def caption(*words: object) -> int:
    return main(["caption", *map(str, words), "--device", "cpu"])


def test_a_folder_is_captioned_as_python_does_it(
    films: Path, checkpoint: str, model: PseudoCap, capsys: pytest.CaptureFixture[str]
) -> None:
    assert caption(films, "--checkpoint", checkpoint, "--format", "json", "--batch-size", 2) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [films / "a.mp4", films / "b.mp4", films / "more" / "c.mp4"]
    assert [row["file"] for row in rows] == [str(name) for name in names]
    assert [row["captions"][0]["text"] for row in rows] == said(model, *names)
    assert [row["captions"][0]["end"] for row in rows] == pytest.approx([3, 4, 5], abs=0.2)


def test_one_file_is_its_caption_alone_and_a_pattern_finds_several(
    films: Path, checkpoint: str, model: PseudoCap, capsys: pytest.CaptureFixture[str]
) -> None:
    assert caption(films / "a.mp4", "--checkpoint", checkpoint) == 0
    assert capsys.readouterr().out == f"{said(model, films / 'a.mp4')[0]}\n"
    assert caption(f"{films}/*.mp4", films / "a.mp4", "--checkpoint", checkpoint, "--format", "json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2  # a file that is named twice is captioned once


def test_a_broken_file_is_told_at_the_end_and_costs_no_other(
    films: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "broken.mp4").write_text("no film")
    assert caption(films, "--checkpoint", checkpoint, "--format", "json") == 1
    told = capsys.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [bool(row["captions"]) for row in rows] == [True, True, False, True]
    assert "failed: " in told.err
    assert "broken.mp4" in told.err
    assert "Traceback" not in told.err


def test_ctrl_c_names_the_way_on_where_captions_are_kept(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pseudocap.cli.caption.find_any_captioner", interrupt)
    out = tmp_path / "c.jsonl"
    assert caption(films, "--out", out) == 130
    assert capsys.readouterr().err == f"\nstopped; the same command goes on, with what {out} does not hold yet\n"
    assert caption(films) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_subtitles_of_several_files_lie_in_a_folder(
    films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert caption(films, "--checkpoint", checkpoint, "--format", "srt", "--clip-seconds", 1, "--out", out) == 0
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.srt", "b.srt", "c.srt"]
    assert "00:00:00,000 --> " in (out / "a.srt").read_text()
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == (f"loading {checkpoint}", f"written: captions of 3 files in {out}")
    one = tmp_path / "one" / "said.srt"
    words = ("--checkpoint", checkpoint, "--format", "srt", "--clip-seconds", 1, "--out", one)
    assert caption(films / "a.mp4", *words) == 0
    assert one.read_text() == (out / "a.srt").read_text()


def test_json_lines_of_all_files_are_one_file_the_broken_ones_among_them(
    films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "broken.mp4").write_text("no film")
    lines = tmp_path / "said" / "captions.jsonl"
    named = [films / "a.mp4", films / "broken.mp4", films / "b.mp4"]
    assert caption(*named, "--checkpoint", checkpoint, "--format", "json", "--out", lines) == 1
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in named]
    assert ["error" in row for row in rows] == [False, True, False]
    assert capsys.readouterr().err.splitlines()[-1] == f"written: captions of 2 files in {lines}"


def test_what_is_captioned_by_an_early_end_is_kept(tmp_path: Path) -> None:
    for form, name in (("json", "x.jsonl"), ("parquet", "x.parquet")):
        out = tmp_path / name
        delivery = plan_delivery([("a.mp4", Path("a.mp4"))] * 2, form=form, dense=False, out=out)
        assert not list(tmp_path.glob(f".{name}*"))  # it was tried, and nothing is left of that
        with pytest.raises(KeyboardInterrupt):
            interrupted(delivery)
        assert out.stat().st_size > 0


def interrupted(delivery: CaptionDelivery) -> None:
    with delivery.kept():
        said = TimedCaption(start=0.0, end=1.0, text="a dog runs")
        delivery.take(0, "a.mp4", FileCaptions(file="a.mp4", captions=(said,)))
        raise KeyboardInterrupt


def test_what_was_written_where_is_told_and_of_what_failed_nothing(
    films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "broken.mp4").write_text("no film")
    where = ("--out", tmp_path / "out", "--preview", tmp_path / "seen")
    assert caption(films / "a.mp4", films / "broken.mp4", "--checkpoint", checkpoint, *where) == 1
    told = capsys.readouterr()
    assert told.out == ""
    last = f"written: captions of 1 file in {tmp_path / 'out'}; previews of 1 file in {tmp_path / 'seen'}"
    assert told.err.splitlines()[-1] == last
    assert caption(films / "a.mp4", "--checkpoint", checkpoint) == 0
    assert "written:" not in capsys.readouterr().err
    table = tmp_path / "all.parquet"
    assert caption(films / "a.mp4", "--checkpoint", checkpoint, "--format", "parquet", "--out", table) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"written: 1 caption in {table}"


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_go_where_out_is_named_so_and_name_films_from_there(
    films: Path, checkpoint: str, model: PseudoCap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (films / "broken.mp4").write_text("no film")
    out = tmp_path / "said" / "captions.jsonl"
    assert caption("films", "--checkpoint", checkpoint, "--out", out) == 1
    rows = rows_of(out)
    assert [row["video"] for row in rows] == [f"../films/{name}.mp4" for name in ("a", "b", "broken", "more/c")]
    assert [row["caption"] for row in rows if "error" not in row] == said(model, *sorted(films.rglob("[abc].mp4")))
    assert {row["version"] for row in rows} == {1}
    assert rows[2]["error"].startswith("films/broken.mp4: FFmpeg cannot open it")
    corpus = read_own(out, split="train")
    folder = VideoFolder(out.parent)
    assert [folder.find(row).resolve() for row in corpus.rows] == sorted(films.rglob("[abc].mp4"))
    assert caption("films/a.mp4", "--checkpoint", checkpoint, "--dense", "--clip-seconds", 2, "--out", "x.jsonl") == 0
    dense = rows_of(tmp_path / "x.jsonl")
    assert all({"video", "start", "end", "caption"} <= row.keys() for row in dense)


@pytest.mark.parametrize("name", ["captions.jsonl", "captions.parquet", "out"])
def test_the_same_command_captions_what_is_new_or_failed(
    name: str, films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "broken.mp4").write_text("no film")
    words = (films, "--checkpoint", checkpoint, "--out", tmp_path / name)
    assert caption(*words) == 1
    capsys.readouterr()
    write_film(films / "broken.mp4", seconds=2)
    write_film(films / "new.mp4", seconds=2, seed=5)
    assert caption(*words) == 0
    skipped, _, written = capsys.readouterr().err.splitlines()[-3:]  # between them the loading
    assert skipped.startswith("skipped: 3 files whose captions are in ")
    noun = "2 captions" if name.endswith(".parquet") else "captions of 2 files"
    assert written == f"written: {noun} in {tmp_path / name}"
    once = tmp_path / f"once-{name}"
    assert caption(*words[:-1], once) == 0
    if once.is_dir():
        assert [path.read_text() for path in sorted(once.iterdir())] == [
            path.read_text() for path in sorted((tmp_path / name).iterdir())
        ]
    else:  # in the order in which they came
        both = [[(row.id, row.captions) for row in read_rows(path)] for path in (once, tmp_path / name)]
        assert sorted(both[0]) == sorted(both[1])
    capsys.readouterr()
    files = [path for path in (tmp_path / name, *(tmp_path / name).glob("*")) if path.is_file()]
    before = [path.stat().st_mtime_ns for path in files]
    assert caption(*words) == 0
    assert capsys.readouterr().err.startswith("skipped: 5 files")
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize("name", ["captions.jsonl", "captions.parquet", "out"])
def test_captions_of_other_options_are_not_overwritten_unless_one_says_so(
    name: str, films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (films / "a.mp4", films / "b.mp4", "--checkpoint", checkpoint, "--out", tmp_path / name)
    assert caption(*words) == 0
    assert caption(*words, "--batch-size", 1) == 0  # which changes no caption
    capsys.readouterr()
    assert caption(*words, "--max-new-tokens", 3) == 2
    refusal = capsys.readouterr().err
    assert "that this command would not write" in refusal
    assert refusal.count("\n") == 1
    assert caption(*words, "--max-new-tokens", 3, "--overwrite") == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("written: ")
    assert caption(*words, "--max-new-tokens", 3) == 0
    assert caption(*words) == 2
    assert not list(tmp_path.glob("*/*.journal"))


@pytest.mark.parametrize(
    "name", ["captions.jsonl", *(pytest.param(each, marks=pytest.mark.slow) for each in ("captions.parquet", "out"))]
)
def test_kill_9_in_the_middle_loses_and_doubles_nothing(
    name: str, films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--checkpoint", checkpoint, "--dense", "--clip-seconds", 1, "--out")
    script = Path(__file__).parents[1] / "helpers" / "killed_captioning.py"
    killed = [sys.executable, script, films, *words, tmp_path / name, "--device", "cpu"]
    assert subprocess.run(list(map(str, killed)), check=False, capture_output=True).returncode == -signal.SIGKILL
    assert caption(films, *words, tmp_path / name) == 0
    assert "skipped: 1 file whose" in capsys.readouterr().err
    assert caption(films, *words, tmp_path / f"once-{name}") == 0
    whole, once = (
        [each for each in (path, *path.rglob("*")) if each.is_file()]
        for path in (tmp_path / name, tmp_path / f"once-{name}")
    )
    assert [path.read_bytes() for path in sorted(whole)] == [path.read_bytes() for path in sorted(once)]
    assert not list(tmp_path.rglob("*.journal"))


def test_what_was_captioned_goes_on_to_the_other_verbs(
    films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references = tmp_path / "references.jsonl"
    references.write_text("".join(row_line(video=name, caption="a dog runs") for name in ("a", "b", "c")))
    for form, out in (("json", "documents.jsonl"), ("jsonl", "captions.jsonl"), ("parquet", "captions.parquet")):
        rows = tmp_path / out
        assert caption(films, "--checkpoint", checkpoint, "--format", form, "--out", rows) == 0
        capsys.readouterr()
        if form != "parquet":  # whose captions have the times of the film
            assert main(["score", str(rows), str(references), "--metrics", "BLEU-1"]) == 0
            assert "3 videos, all of the references" in capsys.readouterr().out
        assert len(read_own(rows, split="train")) == 3
        assert main(["pack", str(rows), "--out", str(tmp_path / f"tars-{form}"), "--workers", "0"]) == 0
        assert "3 new samples" in capsys.readouterr().out


def test_dense_text_has_a_line_for_every_clip_that_says_something_new(
    films: Path, checkpoint: str, model: PseudoCap, capsys: pytest.CaptureFixture[str]
) -> None:
    assert caption(films / "a.mp4", "--checkpoint", checkpoint, "--dense", "--clip-seconds", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    (found,) = caption_densely(model, [films / "a.mp4"], FileDecoding(finish=True), clip_seconds=1)
    assert len(lines) == len(found.captions)
    assert all(first.text != second.text for first, second in pairwise(found.captions))
    assert lines[0].startswith("0:00.0 - ")


def test_an_address_is_fetched_and_named_as_it_was_given(
    films: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/films/a.mp4", (films / "a.mp4").read_bytes())
    assert caption("memory://films/*.mp4", "--checkpoint", checkpoint, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["file"].endswith("films/a.mp4")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.mp4"], "none.mp4: there is no such file, folder or pattern"),
        (["{films}", "--format", "srt"], "--format srt of several files needs --out DIR"),
        (["{films}/a.mp4", "{films}/twin/a.mp4", "--out", "{films}/out"], "would both be written to"),
        (["{films}/a.mp4", "--out", "{films}/b.mp4"], "is a file; name a folder"),
        (["{films}/a.mp4", "--num-frames", "0"], "num_frames must be 1 to 96, not 0"),
        (["{films}/a.mp4", "--beams", "2", "--top-p", "0.9"], "exclude one another"),
        (["{films}/twin/none"], "there is no such file"),
        (["{films}/a.mp4", "--format", "parquet"], "name it with --out captions.parquet"),
        (["memory://nowhere/a.mp4"], "memory://nowhere/a.mp4 cannot be fetched"),
        (["{films}/a.mp4", "--clips", "shots"], "--clips shots is of clips: add --dense"),
        (["{films}/a.mp4", "--dense", "--cuts", "content"], "--cuts is of shots: add --clips shots"),
    ],
)
def test_a_mistake_is_one_line(
    films: Path, checkpoint: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "twin").mkdir()
    write_film(films / "twin" / "a.mp4", seconds=2)
    assert caption(*(word.format(films=films) for word in words), "--checkpoint", checkpoint) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_a_table_of_all_captions_is_what_datasets_reads(films: Path, checkpoint: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = tmp_path / "out" / "captions.parquet"
    words = ("--checkpoint", checkpoint, "--dense", "--clip-seconds", 2)
    assert caption(films, *words, "--format", "parquet", "--out", table) == 0
    rows = datasets.load_dataset("parquet", data_files=str(table), split="train", cache_dir=str(tmp_path / "cache"))
    assert set(rows.column_names) == {"video", "start", "end", "caption"}
    assert {row["video"] for row in rows} == {str(path) for path in films.rglob("*.mp4")}
    assert all(row["caption"] and row["end"] > row["start"] for row in rows)


def test_a_preview_is_the_film_with_words_below(films: Path, checkpoint: str, tmp_path: Path) -> None:
    assert caption(films / "a.mp4", "--checkpoint", checkpoint, "--preview", tmp_path / "shown") == 0
    (preview,) = (tmp_path / "shown").iterdir()
    before, after = (probe(path) for path in (films / "a.mp4", preview))
    assert after.duration == pytest.approx(before.duration, abs=0.1)
    with open_video(preview) as video:
        pixels = video.frames_evenly(2).pixels[0]
    assert pixels.shape[0] > before.height
    words = pixels[before.height + 2 :]
    assert words.max() > 150 > 60 > np.median(words)  # light letters on black


def test_a_store_that_asks_for_credentials_is_one_line_too(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    assert caption("s3://bucket/film.mp4", "--checkpoint", checkpoint) == 2
    assert "s3://bucket/film.mp4 cannot be fetched: Unable to locate credentials" in capsys.readouterr().err


@pytest.mark.parametrize("dense", [[], ["--dense"]])
def test_a_truncated_film_is_captioned_and_told(
    dense: list[str], checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(tmp_path / "cut.mkv", seconds=20, cut_at=0.6)
    assert caption(tmp_path / "cut.mkv", "--checkpoint", checkpoint, *dense) == 1
    said = capsys.readouterr()
    assert said.out.strip()
    assert "truncated" in said.err


def test_the_length_of_clips_is_refused_where_there_are_none(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption(films, "--clip-seconds", 4) == 2
    assert "add --dense" in capsys.readouterr().err
    assert caption(films, "--dense", "--clip-seconds", 0) == 2
    assert "--clip-seconds must be above 0" in capsys.readouterr().err


def test_a_toy_captioner_says_that_it_is_one(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption(films / "a.mp4", "--checkpoint", "toy-mixed") == 0
    assert capsys.readouterr().err.count("toy-mixed is a toy: it was trained on drawn films only") == 1


def test_a_copy_of_a_toy_captioner_under_another_name_says_so_too(
    films: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PseudoCap.from_pretrained("toy-mixed", device="cpu").save_pretrained(tmp_path / "mine")
    assert caption(films / "a.mp4", "--checkpoint", tmp_path / "mine") == 0
    assert f"{tmp_path / 'mine'} is a toy" in capsys.readouterr().err
    assert caption(films / "a.mp4", "--checkpoint", checkpoint) == 0
    assert "is a toy" not in capsys.readouterr().err


def test_a_model_of_transformers_goes_through_the_same_files_failures_and_formats(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_git(tmp_path / "git", frames=4)
    named = ("--checkpoint", tmp_path / "git", "--max-new-tokens", 6)
    (films / "broken.mp4").write_text("no film")
    assert caption(films, *named, "--format", "json", "--batch-size", 2) == 1
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    whole = [films / "a.mp4", films / "b.mp4", films / "more" / "c.mp4"]
    assert [row["captions"][0]["text"] for row in rows if "error" not in row] == said(
        load(tmp_path / "git", device="cpu"), *whole, max_new_tokens=6
    )
    assert "failed: " in printed.err
    out = tmp_path / "out"
    assert caption(films / "a.mp4", films / "b.mp4", *named, "--format", "srt", "--clip-seconds", 1, "--out", out) == 0
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.srt", "b.srt"]
    assert "00:00:00,000 --> " in (out / "a.srt").read_text()
    words = (*named, "--frames", "centre", "--preview", tmp_path / "seen")
    assert caption(films / "a.mp4", *words, "--prompt", "a dog") == 0
    asked = load(tmp_path / "git", device="cpu", frames="centre")
    assert capsys.readouterr().out == f"{said(asked, films / 'a.mp4', max_new_tokens=6, prompt='a dog')[0]}\n"
    assert len(list((tmp_path / "seen").iterdir())) == 1


@pytest.mark.parametrize("write", [write_qwen2_vl, write_smolvlm])
def test_a_row_may_name_a_model_of_transformers(
    write: Callable[[Path], None], films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "asked")
    row = {"name": "mine", "regime": "external", "weights": {"source": "asked"}, "scores": [], "license": "MIT"}
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump({"checkpoints": [row]}))
    registry = ("--checkpoints", tmp_path / "rows.yaml")
    assert caption(films / "a.mp4", "--checkpoint", "mine", *registry, "--prompt", "what runs", "--num-frames", 4) == 0
    model = load(tmp_path / "asked", device="cpu")
    assert capsys.readouterr().out == f"{said(model, films / 'a.mp4', prompt='what runs', num_frames=4)[0]}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{root}/opt"], "opt is a opt, which writes no text about pictures"),
        (["{root}/empty"], "empty is no PseudoCap checkpoint: it has no config.json"),
        (["nothing-of-this-name"], "nothing-of-this-name is no directory here; `pseudocap zoo list` lists the"),
        (["smolvlm-500m"], "is no directory here (did you mean 'smolvlm2-500m'?); `pseudocap zoo list` lists the"),
        (["{root}/ours", "--frames", "centre"], "frames is centre, which is for image-text models of transformers"),
        (["{root}/old", "--prompt", "a dog"], "which takes no prompt: leave prompt out"),
        (["{root}/blip", "--frames", "video"], "takes pictures alone: name centre or consensus"),
        (["{root}/blip", "--precision", "int4"], "precision is int4, which is for captioners of ours"),
    ],
)
def test_a_model_or_an_option_that_does_not_fit_is_one_line(
    words: list[str], message: str, films: Path, model: PseudoCap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save_pretrained(tmp_path / "ours")
    write_opt(tmp_path / "opt")
    write_encoder_decoder(tmp_path / "old", processor=False)
    write_blip(tmp_path / "blip")
    (tmp_path / "empty").mkdir()
    assert caption(films / "a.mp4", "--checkpoint", *(word.format(root=tmp_path) for word in words)) == 2
    (line,) = (each for each in capsys.readouterr().err.splitlines() if not each.startswith(("Writing", "loading ")))
    assert line.startswith("error: ")
    assert message in line
    assert line.count("name a directory") <= 1


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_folder_of_captions_is_read_by_the_verbs_that_take_captions(
    form: str, films: Path, checkpoint: str, tmp_path: Path
) -> None:
    out, named = tmp_path / "out", ("--checkpoint", checkpoint, "--max-new-tokens", 4)
    assert caption(films, *named, "--format", form, "--out", out) == 0
    captions = read_predictions(out)
    assert len(captions) == 3
    assert [label.caption for label in read_any_labels(out, root=films)] == list(captions.values())
    assert {row.captions[0] for row in read_own(out).rows} == {text for text in captions.values() if text.strip()}
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no captions in \.json or \.jsonl files"):
        read_predictions(tmp_path / "empty")
