"""`pseudocap data verify` as a newcomer meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.whispers import tones, write_wav

from pseudocap.cli.main import main
from pseudocap.video.writer import write_video


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Three videos with captions: one is there, one is text, one is missing."""
    folder = tmp_path / "own"
    folder.mkdir()
    write_video(folder / "good.mp4", [np.zeros((32, 32, 3), np.uint8)], rate=5, codec="mpeg4")
    (folder / "bad.mp4").write_text("no video")
    (folder / "captions.csv").write_text("video,caption\ngood,a dog\nbad.mp4,a cat\ngone.mp4,a fish\n")
    return folder


def verify(*arguments: object) -> int:
    return main(["data", "verify", *map(str, arguments)])


def test_json_says_what_is_there_and_the_exit_code_what_is_not(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("own", "--annotations", own / "captions.csv", "--workers", 1, "--json") == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    result = json.loads(printed.out)
    (coverage,) = result["coverage"]
    assert (coverage["split"], coverage["videos"], coverage["present"], coverage["missing"]) == (
        "train",
        3,
        1,
        ["gone.mp4"],
    )
    assert list(coverage["undecodable"]) == ["bad.mp4"]
    assert result["files"] == ["captions.csv"]
    assert len(result["content_sha256"]) == len(result["splits"]["train"]["ids_sha256"]) == 64


def test_a_whole_corpus_exits_with_0_and_a_table(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (own / "captions.csv").write_text("video,caption\ngood,a dog\n")
    assert verify("own", "--annotations", own / "captions.csv") == 0
    printed = capsys.readouterr().out
    assert "undecodable" in printed
    assert "own, content" in printed


def test_the_table_names_what_is_wrong(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "".join(f"gone{k},x\n" for k in range(9))
    (own / "captions.csv").write_text(f"video,caption\nbad,\nbad,[red] x\n{names}")
    assert verify("own", "--annotations", own / "captions.csv", "--allow-partial") == 1
    printed = capsys.readouterr().out
    assert "train: missing: gone0\n" in printed
    assert "train: missing: and 4 more (--json lists all)\n" in printed
    assert "train: undecodable: bad: " in printed
    assert "allowed: 1 unusable rows, expected 0\n" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own", "--annotations", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["own", "--annotations", "captions.csv", "--videos", "nowhere"], "nowhere: there is no such folder"),
        (["own", "--annotations", "captions.csv", "bad.mp4"], "--annotations of own is one path, not 2"),
        (["own", "--annotations", "captions.csv", "--workers", "0"], "workers is 0 and must be at least 1"),
        (["own", "--annotations", "captions.csv", "--split", "train"], "--split train: write NAME=FILE"),
        (["own", "--annotations", "captions.csv", "--split", "dev=x"], "split 'dev' is none of train, val, test"),
        (["own", "--annotations", "captions.csv", "--split", "train=x"], "x: there is no such file"),
        (["msrvtt", "--annotations", "."], "--videos is missing: the folder that holds the videos of msrvtt"),
        (["msrvtt", "--annotations", ".", "--videos", "."], "holds no annotations of MSR-VTT"),
        (["msvd", "--annotations", ".", "--videos", "."], "holds no annotations of MSVD"),
        (["vatex", "--annotations", ".", "--videos", "."], "holds no annotations of VATEX"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    own: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(own)
    assert verify(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_unknown_corpus_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        verify("msrvt", "--annotations", "x")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: argument corpus: invalid choice: 'msrvt'")


def test_reading_captions_loads_neither_torch_nor_a_decoder() -> None:
    corpora = ("own", "msrvtt", "msvd", "vatex", "howto100m", "splits")
    modules = (*(f"corpora.{name}" for name in corpora), "tars.samples", "verify")
    imports = "; ".join(f"import pseudocap.data.{module}" for module in modules)
    code = f"import sys; {imports}; print({{'torch', 'av', 'numpy', 'pyarrow'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_density_counts_the_sounds_in_captions(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "good,a dog barks at a train,train\nbad,rain falls,val\n"
    (own / "captions.csv").write_text(f"video,caption,split\n{rows}")
    command = ["data", "density", "own", "--annotations", str(own / "captions.csv")]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {name: each["concepts"] for name, each in result["density"].items()} == {"train": 2, "val": 1, "all": 3}
    assert result["density"]["all"]["density"] == pytest.approx(100 * 3 / 8)
    assert result["corpus"] == "own"
    assert main(command) == 0
    assert "37.50" in capsys.readouterr().out
    assert main([*command, "--videos", "videos"]) == 2
    assert "--videos is of `data verify`" in capsys.readouterr().err


def test_sounds_of_a_corpus_are_found_and_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "file_name," + ",".join(f"caption_{number}" for number in range(1, 6))
    names = ("rain.wav", "dog bark.wav", "gone.wav", "bad.wav")
    captions = ",".join(["it sounds"] * 5)
    (tmp_path / "clotho_captions_evaluation.csv").write_text("\n".join([head, *(f"{n},{captions}" for n in names)]))
    for name in names[:2]:
        write_wav(tmp_path / "sounds" / name, tones(440, seconds=0.1))
    (tmp_path / "sounds" / "bad.wav").write_text("no sound")
    assert (
        verify("clotho", "--annotations", tmp_path, "--videos", tmp_path / "sounds", "--allow-partial", "--json") == 1
    )
    (coverage,) = json.loads(capsys.readouterr().out)["coverage"]
    assert (coverage["present"], coverage["missing"], list(coverage["undecodable"])) == (2, ["gone.wav"], ["bad.wav"])
