from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.corpora import write_clip
from helpers.crashing import die_of_some

from pseudocap.data import verify as verifying
from pseudocap.data.corpora.base import Corpus
from pseudocap.data.verify import verify
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DataError
from pseudocap.types import CaptionedVideo


def row(name: str, *, split: str = "test", video: str | None = None) -> CaptionedVideo:
    return CaptionedVideo(id=name, video=video or name, captions=("a dog",), split=split)


def corpus_of(*rows: CaptionedVideo) -> Corpus:
    return Corpus(name="own", rows=rows, files=())


def test_a_video_is_found_by_path_or_name_with_any_extension(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm", "b.AVI", "in/c.d.mkv", "in/deep/e.mp4", "Cap.mp4", "f.txt", "g.mp4.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = VideoFolder(tmp_path)
    wanted = {
        **{"a": "a.mp4", "a.webm": "a.webm", "a.mov": "a.mp4", "b": "b.AVI", "b.avi": "b.AVI", "c.d": "in/c.d.mkv"},
        **{"in/c.d": "in/c.d.mkv", "e": "in/deep/e.mp4", "in/deep/e.webm": "in/deep/e.mp4", "Cap": "Cap.mp4"},
        **{"../films/a.mp4": "a.mp4", "/gone/in/deep/e.webm": "in/deep/e.mp4", "films/f.txt": "f.txt"},
        **dict.fromkeys(("cap", "f", "g", "c", "other/e", "other/deep/e", "..")),
    }
    found = {name: folder.find(row(name)) for name in wanted}
    assert {name: path and path.relative_to(tmp_path).as_posix() for name, path in found.items()} == wanted
    assert folder.find(row("a", video=str(tmp_path / "b.AVI"))) == tmp_path / "b.AVI"
    with pytest.raises(DataError, match=r"nowhere: there is no such folder; name the folder of the videos"):
        VideoFolder(tmp_path / "nowhere")


def test_present_missing_and_undecodable_are_told_apart_by_split(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.avi")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    corpus = corpus_of(
        row("good", split="train"),
        row("good#0-1", video="good.mp4"),
        row("text"),
        row("empty"),
        row("gone"),
    )
    reported: list[tuple[int, int]] = []
    train, test = verify(corpus, VideoFolder(tmp_path), workers=2, progress=lambda *counts: reported.append(counts))
    assert (train.split, train.videos, train.present) == ("train", 1, 1)
    assert (test.videos, test.present, test.missing) == (4, 1, ("gone",))
    assert set(test.undecodable) == {"text", "empty"}
    assert all(reason and str(tmp_path) not in reason for reason in test.undecodable.values())
    assert reported == [(1, 3), (2, 3), (3, 3)]


def test_no_video_at_all_starts_no_process(tmp_path: Path) -> None:
    (coverage,) = verify(corpus_of(row("gone")), VideoFolder(tmp_path))
    assert (coverage.present, coverage.missing) == (0, ("gone",))
    with pytest.raises(ConfigError, match="workers is 0 and must be at least 1"):
        verify(corpus_of(row("gone")), VideoFolder(tmp_path), workers=0)


def test_a_file_that_kills_its_worker_is_named_and_the_others_are_still_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "crash1", "b", "crash2", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    monkeypatch.setattr(verifying, "fault_of", die_of_some)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]))
    corpus = corpus_of(*(row(name) for name in ("a", "crash1", "b", "crash2", "c")))
    (coverage,) = verify(corpus, VideoFolder(tmp_path), workers=2)
    assert coverage.undecodable == {"crash1": verifying.CRASHED, "crash2": verifying.CRASHED}
    assert coverage.present == 3


SLOW = """
import sys, time
from pathlib import Path
import pseudocap.data.verify as verifying
def slow(path):
    time.sleep(0.2)
verifying.fault_of = slow
if __name__ == "__main__":
    from pseudocap.data.corpora.own import read_own
    from pseudocap.data.videos import VideoFolder
    corpus = read_own(sys.argv[1])
    print("started", flush=True)
    try:
        verifying.verify(corpus, VideoFolder(sys.argv[1]), workers=2, progress=lambda *_: print("one", flush=True))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


@pytest.mark.slow
def test_ctrl_c_ends_it_at_once_without_a_traceback_or_a_process_left(tmp_path: Path) -> None:
    for name in range(200):
        (tmp_path / f"{name}.mp4").write_bytes(b"")
        (tmp_path / f"{name}.txt").write_text("a dog")
    script = tmp_path / "script.py"
    script.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it runs in the background with Ctrl-C ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    while process.stdout.readline() != "one\n":
        pass
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    started = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert (process.returncode, err) == (130, "")
    assert out.endswith("interrupted\n")
    while time.monotonic() - started < 5:  # the standard library's tracker of semaphores goes last
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process is left")
