from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudocap.cli.main import main


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Transcripts, and what was spoken, as Asterisk writes it."""
    found = {"hello": ["Hello", "world!"], "digits/1": ["1"], "beep": [], "other": ["so"]}
    caption = {
        name: {"start": list(range(len(text))), "end": list(range(1, len(text) + 1)), "text": text}
        for name, text in found.items()
    }
    (tmp_path / "caption.json").write_text(json.dumps(caption))
    texts = "; Core sounds\n\nhello: Hello there.\ndigits/1.wav: one\nbeep: [this is a beep]\n"
    (tmp_path / "texts.txt").write_text(texts)
    return tmp_path / "caption.json", tmp_path / "texts.txt"


def run(caption: Path, texts: Path, *more: str) -> int:
    return main(["bench", "transcripts", str(caption), "--references", str(texts), *more])


def test_the_rate_and_the_worst_texts_are_printed(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*files) == 0
    printed = capsys.readouterr().out
    assert "word error rate 33.3 %" in printed
    assert "of 3 words: 1 replaced, 0 left out, 0 put in; 2 of 3 texts without an error" in printed
    assert "hello there" in printed
    assert run(*files, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [text["name"] for text in result["texts"]] == ["hello", "digits/1", "beep"]
    assert result["rate"] == pytest.approx(100 / 3)


def test_transcripts_are_compared_with_transcripts(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    caption, _ = files
    assert run(caption, caption) == 0
    assert "word error rate 0.0 %" in capsys.readouterr().out


def test_a_mistake_is_one_line(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    caption, texts = files
    texts.write_text("hello: Hello\ngone: nobody\n")
    assert run(caption, texts) == 2
    assert "1 of 2 texts have no transcript, 'gone' first" in capsys.readouterr().err
    assert run(caption, texts, "--allow-missing") == 0
    texts.write_text("no colon\n")
    assert run(caption, texts) == 2
    assert "texts.txt, line 1: write `name: text`" in capsys.readouterr().err
    texts.write_text("hello: a\nhello: b\n")
    assert run(caption, texts) == 2
    assert "line 2: 'hello' had another text before" in capsys.readouterr().err
