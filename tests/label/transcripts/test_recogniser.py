from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.whispers import tones

from pseudocap.errors import ConfigError
from pseudocap.label.transcripts.recogniser import Chunk, SpeechRecogniser
from pseudocap.label.transcripts.weights import find_whisper

PITCHES = (100, 300, 900, 2500)


@pytest.fixture(scope="module")
def recogniser(whisper: Path) -> SpeechRecogniser:
    return SpeechRecogniser(find_whisper(str(whisper)), dtype="float32", device="cpu")


def chunks(**options: object) -> list[Chunk]:
    return [
        Chunk(sound=tones(pitch, seconds=2 + row), start=10.0 * row, **options) for row, pitch in enumerate(PITCHES)
    ]


def test_a_batch_of_several_languages_gives_what_each_chunk_gives_alone(recogniser: SpeechRecogniser) -> None:
    together = recogniser.hear(chunks())
    assert len({each.language for each in together}) > 1
    assert len({tuple(word.text for word in each.words) for each in together}) > 2
    assert together == [recogniser.hear([chunk])[0] for chunk in chunks()]


def test_words_have_ascending_times_within_their_chunk(recogniser: SpeechRecogniser) -> None:
    for chunk, heard in zip(chunks(), recogniser.hear(chunks()), strict=True):
        times = [time for word in heard.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert chunk.start <= times[0] <= times[-1] <= chunk.start + len(chunk.sound) / 16000


def test_chunks_of_one_file_have_one_language(recogniser: SpeechRecogniser) -> None:
    alone = [each.language for each in recogniser.hear(chunks())]
    assert [each.language for each in recogniser.hear(chunks(file="a"))] == [alone[0]] * len(alone)
    assert [each.language for each in recogniser.hear(chunks(file="a", language="de"))] == ["de"] * len(alone)


def test_a_language_that_is_known_is_not_detected(recogniser: SpeechRecogniser, whisper: Path) -> None:
    assert {each.language for each in recogniser.hear(chunks(language="de"))} == {"de"}
    english = SpeechRecogniser(find_whisper(str(whisper)), dtype="float32", device="cpu", language="en")
    assert {each.language for each in english.hear(chunks())} == {"en"}
    translated = SpeechRecogniser(
        find_whisper(str(whisper)), dtype="float32", device="cpu", language="en", translate=True
    )
    assert translated.hear(chunks()) != english.hear(chunks())  # another prompt
    assert (english.settings["task"], translated.settings["task"]) == ("transcribe", "translate")


def test_a_text_that_repeats_itself_is_decoded_again(
    recogniser: SpeechRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudocap.label.transcripts.recogniser.REPEATS", 0.0)  # every text counts as one
    asked = []
    decode = SpeechRecogniser._decode

    def noted(self: SpeechRecogniser, *arguments: object, **options: object) -> list[list[int]]:
        asked.append(options)
        return decode(self, *arguments, **options)

    monkeypatch.setattr(SpeechRecogniser, "_decode", noted)
    recogniser.hear(chunks(language="en"))
    assert asked == [{}, {"no_repeat_ngram_size": 3}]


def test_what_is_likely_silence_has_no_words(recogniser: SpeechRecogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pseudocap.label.transcripts.recogniser.NO_SPEECH", -1.0)
    monkeypatch.setattr("pseudocap.label.transcripts.recogniser.UNSURE", 0.0)
    assert [each.words for each in recogniser.hear(chunks())] == [()] * len(PITCHES)
    monkeypatch.setattr("pseudocap.label.transcripts.recogniser.UNSURE", -np.inf)
    assert all(each.words for each in recogniser.hear(chunks()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "xx"}, r"--language is 'xx' and must be a code such as en"),
        ({"language": "english"}, r"--language is 'english' and must be"),
        ({"dtype": "int4"}, r"--dtype is 'int4' \(did you mean 'int8'\?\)"),
        ({"beams": 0}, "beams is 0 and must be at least 1"),
        ({"device": "tpu"}, "--device is 'tpu' and must be auto, cpu or cuda"),
    ],
)
def test_wrong_options_are_refused(whisper: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpeechRecogniser(find_whisper(str(whisper)), **options)  # type: ignore[arg-type]
