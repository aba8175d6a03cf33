"""Check METEOR and SPICE: Java that is absent, slow, broken or German; and METEOR's own values."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pseudocap.metrics import java, score
from pseudocap.metrics.measures import obstacles

PREDICTIONS = {1: "a man eats a banana", 2: "a dog runs", 3: "the cat\nsits ||| there"}
REFERENCES = {1: ["a man is eating a banana"], 2: ["the dog ran quickly", "a cat"], 3: ["a cat sits there"]}


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a `java` on the path that answers `-version` and otherwise runs the script given."""

    def make(script: str) -> None:
        program = tmp_path / "java"
        program.write_text(f'#!/bin/sh\n[ "$1" = -version ] && exit 0\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        java._no_java.cache_clear()

    return make


def not_computed(timeout: float = 30) -> str:
    scores = score(predictions=PREDICTIONS, references=REFERENCES, metrics=["METEOR", "ROUGE-L"], java_timeout=timeout)
    assert list(scores) == ["ROUGE-L"]
    assert "METEOR   not computed" in str(scores)
    return scores.not_computed["METEOR"]


def test_without_java_meteor_is_not_computed_and_that_is_known_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no java on this machine" in obstacles(["CIDEr-D", "METEOR"])["METEOR"]
    assert "no java on this machine" in not_computed()


def test_a_java_that_fails_is_quoted(fake_java: Callable[[str], None]) -> None:
    fake_java("echo 'Could not reserve enough space' >&2; exit 1")
    assert not_computed() == "java ended with 1; its output: Could not reserve enough space"


def test_a_java_that_hangs_is_given_up(fake_java: Callable[[str], None]) -> None:
    fake_java("echo loading >&2; exec sleep 60")
    assert not_computed(timeout=0.5) == "java did not finish within 0.5 s; its output: loading"


def test_a_java_that_answers_too_little_is_not_believed(fake_java: Callable[[str], None]) -> None:
    fake_java("echo 1.0 2.0")
    assert "answered 1 of 3 captions" in not_computed()


def test_spice_without_its_models_is_not_computed_and_nothing_is_downloaded(tmp_path: Path) -> None:
    reason = obstacles(["SPICE"]).get("SPICE")
    if reason is None:
        pytest.skip("this machine has SPICE's models")
    assert "get_stanford_models" in reason or "no java" in reason


def test_spice_s_answer_is_read_by_video(fake_java: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ", ".join(
        f'{{"image_id": {n}, "scores": {{"All": {{"f": {f}}}}}}}' for n, f in ((2, 0.5), (0, 0.25), (1, "NaN"))
    )
    fake_java(f"""while [ "$1" != -out ]; do shift; done; echo '[{rows}]' > "$2" """)
    monkeypatch.setattr(java, "obstacle", lambda name: "")
    scores = score(predictions=PREDICTIONS, references=REFERENCES, metrics=["SPICE"])
    assert scores.per_video("SPICE") == {1: 25, 2: 0, 3: 50}


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de"])
def test_meteor_speaks_english_whatever_the_machine_does(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("java") is None:
        pytest.skip("there is no java")
    monkeypatch.setenv("LC_ALL", f"{language}_{language.upper()}.UTF-8")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.language={language} -Duser.country={language.upper()}")
    scores = score(predictions=PREDICTIONS, references=REFERENCES, metrics=["METEOR"])
    values = scores.per_video("METEOR")
    assert [values[1], values[2]] == pytest.approx([41.38892, 27.00959], abs=1e-4)


@pytest.mark.slow
def test_meteor_of_the_msvd_test_videos_and_of_any_part_is_java_s(msvd: Callable[[str], dict[str, list[str]]]) -> None:
    from pycocoevalcap.meteor.meteor import Meteor

    from pseudocap.metrics.tokenize import tokenize

    videos = msvd("test")
    predictions = {video: texts[0] for video, texts in videos.items()}
    references = {video: texts[1:] for video, texts in videos.items()}
    scores = score(predictions=predictions, references=references, metrics=["METEOR"])
    assert scores["METEOR"] == pytest.approx(41.8027, abs=5e-5)
    part = list(videos)[::60]
    total, each = Meteor().compute_score(
        {video: [tokenize(text) for text in references[video]] for video in part},
        {video: [tokenize(predictions[video])] for video in part},
    )
    some = scores.by(dict.fromkeys(part, "part"))["part"]
    assert some["METEOR"] == pytest.approx(total * 100, rel=1e-9)
    np.testing.assert_allclose(list(some.per_video("METEOR").values()), np.array(each) * 100, rtol=1e-9)
