"""A user's mistake that can be found without torch is reported before torch, which takes seconds to be imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.torch_free import TorchFree

from pseudocap import PseudoCap
from pseudocap.cli.main import main

Error = Callable[[str], str]
INVALID = "Invalid data found when processing input"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: a film that is none, a file of captions, an empty folder."""
    folder = tmp_path_factory.mktemp("workdir")
    for name in ("film.mp4", "other.mp4"):
        (folder / name).write_bytes(b"no film")
    (folder / "captions.csv").write_text("video,caption\nfilm.mp4,a film\nother.mp4,another film\n")
    (folder / "absent.csv").write_text("video,caption\nfilm.mp4,a film\ngone.mp4,another film\n")
    (folder / "stretches.csv").write_text(
        "video,caption,split,start,end\nfilm.mp4,a film,train,0,1\nother.mp4,a film,val,0,1\nother.mp4,a film,val,1,2\n"
    )
    (folder / "tests.csv").write_text("video,caption,split\nfilm.mp4,a film,test\n")
    (folder / "broken.csv").write_text("video,captoin\nfilm.mp4,a film\n")
    (folder / "empty").mkdir()
    (folder / "small.gguf").write_bytes(b"GGUF")
    (folder / "mine.yaml").write_text("data: {images: gone/}\n")
    (folder / "begun" / "checkpoints").mkdir(parents=True)
    (folder / "begun" / "checkpoints" / "last.ckpt").touch()
    return folder


@pytest.fixture
def error_without_torch(torch_free: TorchFree, workdir: Path) -> Error:
    """Return the one line that a command ends with, once it is sure that the command loaded no torch."""

    def error(words: str) -> str:
        done = torch_free.run(words.split(), workdir)
        assert (done.code, done.out, done.heavy) == (2, "", []), done
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        return done.err

    return error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere.mp4", "nowhere.mp4: there is no such file"),
        ("film.mp4 --checkpoint toy-mixd-ext", "did you mean 'toy-mixed-ext'?"),
        ("film.mp4 --checkpoint empty", "empty is no PseudoCap checkpoint: it has no config.json"),
        ("film.mp4 --checkpoint small.gguf", "small.gguf is a language model, which sees no video; name a captioner"),
        ("film.mp4 --checkpoint runs/mine/best", "runs/mine/best is no directory here"),
        ("film.mp4 --num-frames 0", "num_frames must be 1 to 96, not 0"),
        ("film.mp4 --beams 0", "beams must be a whole number, at least 1, not 0"),
        ("film.mp4 --max-new-tokens 0", "max_new_tokens must be a whole number, at least 1, not 0"),
        ("film.mp4 --top-p 2", "top_p must be above 0 and at most 1"),
        ("film.mp4 --clip-seconds -1", "--clip-seconds must be above 0, not -1"),
        ("film.mp4 --dense --min-seconds 9", "--min-seconds must be from 0 to the 8 s of a clip, not 9"),
        ("film.mp4 --out captions.csv", "is a file; name a folder"),
        ("film.mp4 other.mp4 --format srt --out said.srt", "said.srt is one file, and 2 are captioned; name a folder"),
        ("film.mp4 --format srt --out said.vtt", "said.vtt is named as vtt is, and --format is srt"),
        ("film.mp4 --format text --out captions.jsonl", "captions.jsonl is named as jsonl is, and --format is text"),
        ("film.mp4 --overwrite", "--overwrite is about the files of --out, which is missing"),
        ("film.mp4 other.mp4 --format json --out x.json", "name a folder, or a file that ends in .jsonl"),
        ("film.mp4 --format srt --out film.mp4/said.srt", "--out film.mp4/said.srt cannot be written"),
        ("film.mp4 --checkpoint toy-mixed --modalities av", "--modalities av: toy-mixed does not hear; leave it out"),
        ("film.mp4 --modalities va", "argument --modalities: invalid choice: 'va'"),
    ],
)
def test_caption(words: str, message: str, error_without_torch: Error) -> None:
    assert message in error_without_torch(f"caption {words}")


def test_a_file_that_is_no_film_is_told_at_once(torch_free: TorchFree, workdir: Path) -> None:
    (workdir / "notes.txt").write_text("what I have seen")
    for file in ("notes.txt", "film.mp4"):
        done = torch_free.run(["caption", file, "--checkpoint", "toy-mixed"], workdir)
        assert (done.code, done.out, done.heavy) == (1, "", [])
        assert done.err == f"failed: {file}: FFmpeg cannot open it as a video or a picture: {INVALID}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data nowhere.csv", "nowhere.csv: there is no such file"),
        ("--data broken.csv", "'captoin' (did you mean 'caption'?)"),
        ("--data msvd:gone", "--data msvd:gone: there is no such file"),
        ("--data msrvtt:empty", "empty holds no annotations of MSR-VTT"),
        ("--data tests.csv", "no row is for training"),
        ("--data absent.csv", "1 of 2 videos are not below . (gone.mp4, ..)"),
        ("--data captions.csv --from toy-mixed --out new/run", "validation needs at least two videos"),
        ("--data stretches.csv --from toy-mixed --out film.mp4/run", "--out film.mp4/run cannot be written"),
        ("--data captions.csv --videos gone", "gone: there is no such folder"),
        ("--data captions.csv --memories gone", "--memories gone: there is no such folder"),
        ("--data captions.csv --from toy-mixd", "did you mean 'toy-mixed'?"),
        ("--data captions.csv --val-share 1", "--val-share must be a share from 0 to below 1"),
        ("--data captions.csv --max-failure-rate 5", "--max-failure-rate must be a share from 0 to 1, not 5"),
        ("--data captions.csv --lr 0", "--lr must be above 0"),
        ("--data captions.csv --modality-groups v=0.5,a=0.1", "modality_groups sum to 0.6 and must sum to 1"),
        ("--data captions.csv --modality-groups half", "half is not of the form av=0.6,v=0.3,a=0.1"),
        ("--data captions.csv --validation-groups v,b", "modalities are of av, v, a, not 'b'"),
        ("--data captions.csv --modality-groups v=0.5,a=0.5", "--modality-groups: toy-mixed-pretrained does not hear"),
        (
            "--data stretches.csv --audio-encoder pseudocap://toy-asst",
            "--audio-encoder pseudocap://toy-asst: pseudocap://toy-asst: the package ships no 'toy-asst' (did you mean "
            "'toy-ast'?)",
        ),
        ("--data captions.csv --retrieval --audio-encoder e", "toy-mixed-pretrained/config.json is no retriever"),
        ("--data captions.csv --retrieval --validation-groups v", "--validation-groups ('v',): a retriever has none"),
    ],
)
def test_finetune(words: str, message: str, workdir: Path, error_without_torch: Error) -> None:
    assert message in error_without_torch(f"finetune --from toy-mixed-pretrained --out run {words}")
    assert not (workdir / "run").exists()


@pytest.mark.parametrize("words", ["encode captions.csv --encoder none --out stored", "bench sound --data empty"])
def test_an_audio_encoder_that_is_none(words: str, error_without_torch: Error) -> None:
    error = error_without_torch(f"{words} --audio-encoder ast")
    assert error.startswith("error: --audio-encoder ast: ast is neither a directory nor a repo's name")
    assert "name an AST, a Whisper, or a model of the waveform" in error
    assert error.endswith("shipped are pseudocap://toy-ast and pseudocap://spectrogram\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere: there is no such file or folder"),
        ("film.mp4 --clip-seconds -1", "clip_seconds is -1 and must be above 0\n"),
        ("film.mp4 --min-seconds 9", "min_seconds is 9 and must be from 0 to clip_seconds (8)"),
        ("film.mp4 --frames 0", "invalid choice: '0'"),
        ("film.mp4 --frames sharpest --k 1", "count is 1 and must be at least 2"),
        ("film.mp4 --beams 0", "beams must be a whole number, at least 1, not 0"),
        ("film.mp4 --batch-size 0", "--batch-size must be at least 1, not 0"),
        ("film.mp4 --teacher gone", "gone is neither a directory nor a repo"),
        ("film.mp4 --teacher asr --transcripts gone.json", "--transcripts gone.json: there is no such file"),
        ("film.mp4 --teacher null --min-motion 0.01", "this teacher gets at most one: name --frames consensus"),
        ("film.mp4 --teacher toy-blip --min-motion 0.01 --frames sharpest", "this teacher gets at most one"),
        ("film.mp4 --teacher null --max-text 1", "max_text is 1 and must be 0 (off) or more, and below 1"),
        ("film.mp4 --teacher toy-mixed --frames sharpest", "a PseudoCap samples the complete clip"),
    ],
)
def test_label(words: str, message: str, workdir: Path, error_without_torch: Error) -> None:
    assert message in error_without_torch(f"label --out labels {words}")
    assert not (workdir / "labels").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--config nowhere.yaml", "--config nowhere.yaml: there is no such file"),
        ("--config toy", "laion/: there is no such tar or folder"),
        ("--config mine.yaml", "gone/: there is no such tar or folder"),
        ("--config mine.yaml --data.images=empty --data.videos nowhere", "nowhere: there is no such tar or folder"),
        ("--config mine.yaml --data.images empty --out begun", "begun holds a run already"),
        ("--config mine.yaml --data.images empty --resume", "this run has saved no checkpoint yet"),
        (
            "--config toy --data.images empty --data.videos empty --model.model.init_args.decoder gone",
            "gone is neither a directory nor a repo",
        ),
        (
            "--config toy --data.images empty --data.videos empty --model.model.init_args.decoder gone.gguf",
            "there is no file gone.gguf",
        ),
    ],
)
def test_train(words: str, message: str, error_without_torch: Error) -> None:
    assert message in error_without_torch(f"train mixed {words}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("mixed --config toy", "the config names it: give --data.images DIR, tars, or memories"),
        (
            "self-critical --config toy",
            "give --data.images DIR (or --data.videos DIR), memories that `pseudocap encode",
        ),
        ("asr --config toy", "give --data.videos DIR, the videos of the transcripts"),
        ("asr --config toy --data.videos empty", "give --data.transcripts FILE, or null"),
        ("self-critical --config toy --data.images gone", "gone: there is no such tar or folder\n"),
    ],
)
def test_train_says_what_to_give_in_place_of_what_a_config_names(
    words: str, told: str, error_without_torch: Error
) -> None:
    assert told in error_without_torch(f"train {words}")


def test_zoo_build_reports_all_that_is_missing_at_once(workdir: Path, error_without_torch: Error) -> None:
    error = error_without_torch("zoo build --world real --smoke --install")
    assert all(told in error for told in ("--smoke makes weights", "--out DIR is missing", "--data DIR is the data of"))
    error = error_without_torch("zoo build --world real --smoke --data empty --out captions.csv")
    told = [
        "--out captions.csv is a file",
        "no tar of photographs",
        "flickr8k/captions.jsonl",
        "real_clips/captions.jsonl",
    ]
    assert all(each in error for each in told)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("toy-mixed --data nowhere.csv", "nowhere.csv: there is no such file"),
        ("toy-mixed --data captions.csv --videos gone", "gone: there is no such folder"),
        ("toy-mixd --data captions.csv", "did you mean 'toy-mixed'?"),
        ("toy-mixed --data captions.csv --peers gitt", "there is no kind 'gitt' (did you mean 'git'?)"),
        ("toy-mixed --build nowhere", "--build nowhere holds no toy films"),
    ],
)
def test_bench_model(words: str, message: str, error_without_torch: Error) -> None:
    assert message in error_without_torch(f"bench model {words}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere: there is no such file"),
        ("captions.csv --frames 0", "--frames must be at least 1, not 0"),
        ("captions.csv --max-failure-rate 3", "--max-failure-rate must be a share from 0 to 1, not 3.0"),
        ("msvd:empty", "empty holds no annotations of MSVD"),
        ("captions.csv --encoder gone", "gone is neither a directory nor a repo"),
        ("captions.csv --videos gone", "gone: there is no such folder"),
    ],
)
def test_encode(words: str, message: str, error_without_torch: Error) -> None:
    assert message in error_without_torch(f"encode --encoder toy-mixed --out memories {words}")


MANIFEST = {
    **{"format": 1, "pseudocap": "0.2", "retriever": "gone/clip", "identity": "ab12", "dim": 8, "frames": 2},
    **{"reads_text": True, "clip_seconds": 8.0, "min_seconds": 1.0, "cuts": {}},
}


@pytest.fixture(scope="module")
def indices(workdir: Path) -> None:
    """Indices that cannot be searched: of a retriever that has gone, of one that does not read, of another version."""
    (workdir / "plain").mkdir()
    (workdir / "plain" / "config.json").write_text("{}")
    changes = {
        "index": {},
        "blind": {"reads_text": False},
        "old": {"format": 7},
        "other": {"cuts": {"detector": "eye"}},
    }
    changes["shots"] = {"cuts": {"detector": "content", "threshold": 2.5, "least": 9.0}}
    for name, changed in changes.items():
        (workdir / name).mkdir()
        (workdir / name / "index.json").write_text(json.dumps({**MANIFEST, **changed}))


@pytest.mark.usefixtures("indices")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("index gone.mp4 --retriever toy --out new", "gone.mp4: there is no such file"),
        ("index film.mp4 --retriever nowhere --out new", "nowhere"),
        ("index film.mp4 --retriever toy --out film.mp4", "--out film.mp4 is a file; name a folder"),
        ("index film.mp4 --retriever toy --out old", "old/index.json has format 7 (pseudocap 0.2), and this"),
        ("index film.mp4 --retriever toy --out new --clip-seconds 0", "--clip-seconds must be above 0, not 0"),
        ("index film.mp4 --retriever toy --out new --min-seconds 9", "--min-seconds must be from 0 to the 8 s"),
        ("index film.mp4 --retriever toy --out new --cut-threshold 3", "--cut-threshold is of shots"),
        (
            "index film.mp4 --out index --clip-seconds 3",
            "index was indexed with clip_seconds 8.0, and this run has 3.0",
        ),
        ("index film.mp4 --out index --num-frames 5", "index was indexed with frames 2, and this run has 5"),
        ("index film.mp4 --out index --clips shots", "index was indexed with cuts {}, and this run has {'detector"),
        (
            "index film.mp4 --out shots --cut-threshold 4",
            "'threshold': 2.5, 'least': 9.0}, and this run has {'detector",
        ),
        (
            "index film.mp4 --out shots --cuts transnetv2 --cut-threshold 2",
            "transnetv2 is 2 and must be between 0 and 1",
        ),
        ("index film.mp4 --out other", "cuts by {'detector': 'eye'} are none that this version of pseudocap finds"),
        ("index film.mp4 --retriever toy-mixed --out new", "toy-mixed is a captioner; search its captions: toy-mixed+"),
        ("index film.mp4 --retriever plain --out new", "plain has a config.json without a model_type, so it is no"),
        ("index film.mp4 --retriever toy --out new --batch-size 0", "--batch-size must be at least 1, not 0"),
        ("search --index index", "the query is empty"),
        ("search dog --index index --like film.mp4", "not for both"),
        ("search dog --index index --top 0", "top must be 1 to 10,000 hits, not 0"),
        ("search dog --index index --after 9 --before 3", "there is no moment"),
        ("search dog --index empty", "empty holds no index (index.json)"),
        ("search dog --index old", "old/index.json has format 7"),
        ("search dog --index blind", "gone/clip, which made blind, has no text tower; search by a file (--like)"),
        ("search dog --index index", "gone/clip"),
        ("search dog --index index --out hits.txt", "--out hits.txt must end in .html or .json"),
        ("search --index index --like film.mp4@2", "index cannot be opened as an index"),
    ],
)
def test_index_and_search(words: str, message: str, workdir: Path, error_without_torch: Error) -> None:
    assert message in error_without_torch(words)
    assert not (workdir / "new").exists()


def test_without_lancedb_the_extra_is_named(
    workdir: Path, indices: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.chdir(workdir)
    for words in (["search", "dog", "--index", "index"], ["index", "film.mp4", "--retriever", "toy", "--out", "new"]):
        assert main(words) == 2
        assert capsys.readouterr().err == "error: an index needs LanceDB: pip install 'pseudocap[search]'\n"


def test_demo(error_without_torch: Error) -> None:
    assert "did you mean 'toy-mixed'?" in error_without_torch("demo film.mp4 --checkpoint toy-mixd")
    assert "is a folder; name the page" in error_without_torch("demo film.mp4 --out empty")


def test_a_backbone_that_has_gone(model: PseudoCap, workdir: Path, error_without_torch: Error) -> None:
    model.save_pretrained(workdir / "mine")
    config = workdir / "mine" / "config.json"
    config.write_text(config.read_text().replace(model.config.decoder.source, "/nowhere/opt"))
    assert "the decoder was at /nowhere/opt" in error_without_torch("caption film.mp4 --checkpoint mine")
