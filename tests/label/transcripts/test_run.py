from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.whispers import tones, write_sounding_film, write_wav

from pseudocap.audio.waveform import read_sound
from pseudocap.data.corpora.howto100m import read_transcripts
from pseudocap.errors import DataError
from pseudocap.label.audit.pairs import speech_in_transcripts
from pseudocap.label.sources import find_sources
from pseudocap.label.teachers.base import View
from pseudocap.label.teachers.transcript import AsrTeacher
from pseudocap.label.transcripts.recogniser import Chunk, SpeechRecogniser
from pseudocap.label.transcripts.run import Transcribed, TranscribeSpec, shard_folder, transcribe
from pseudocap.label.transcripts.weights import find_whisper
from pseudocap.regimes.asr import TranscriptData
from pseudocap.types import MEDIA_EXTENSIONS, Clip, Preprocess

SPEC = TranscribeSpec(vad=False, batch_size=3, shard_size=2)


@pytest.fixture(scope="module")
def recogniser(whisper: Path) -> SpeechRecogniser:
    return SpeechRecogniser(find_whisper(str(whisper)), dtype="float32", device="cpu", beams=1)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film and two sounds that are heard, of which two have one name, a mute film, and a file that is none."""
    folder = tmp_path_factory.mktemp("sounds")
    write_sounding_film(folder / "a.mp4", tones(300, 900))
    write_wav(folder / "more" / "c.wav", tones(2500, 100, 300, seconds=12))
    write_wav(folder / "other" / "c.wav", tones(900))
    write_sounding_film(folder / "mute.mp4", None)
    (folder / "z.mp4").write_text("no film")
    return folder


def run(
    source: Path, out: Path, recogniser: SpeechRecogniser, spec: TranscribeSpec = SPEC, **options: object
) -> Transcribed:
    sources = find_sources(str(source), shard_size=spec.shard_size, extensions=MEDIA_EXTENSIONS, what="video or sound")
    settings = {"model": {"model": "tiny"}, "workers": 0, "max_failure_rate": 1.0, **options}
    return transcribe(sources, recogniser, out, spec, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(sounds: Path, recogniser: SpeechRecogniser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "caption.json"
    run(sounds, out, recogniser)
    return out


def test_every_file_is_in_the_one_file_and_what_failed_says_why(
    sounds: Path, recogniser: SpeechRecogniser, finished: Path
) -> None:
    videos = json.loads(finished.read_text())
    assert list(videos) == ["a", "more/c", "mute", "other/c", "z"]
    assert [name for name, video in videos.items() if video["text"]] == ["a", "more/c", "other/c"]
    assert "FFmpeg cannot open it" in videos["z"]["error"]
    assert "error" not in videos["mute"]
    for video in videos.values():
        spoken = [" ".join(word for _, _, word in words) for words in video["words"]]
        assert spoken == video["text"]
        assert [words[0][0] for words in video["words"]] == video["start"]
    again = run(sounds, finished, recogniser)
    assert (again.files, again.contents.videos, again.contents.spoken) == (0, 5, 3)
    assert list(again.contents.failed) == ["z.mp4"]


def test_the_readers_of_howto100m_take_it(finished: Path, sounds: Path) -> None:
    transcripts = {each.video: each for each in read_transcripts(finished)}
    assert len(transcripts) == 5
    clips = [Clip(source=name, start=0, end=40) for name in ("more/c.wav", "other/c.wav", "a.mp4", "z.mp4")]
    spoken = [" ".join(json.loads(finished.read_text())[name]["text"]) for name in ("more/c", "other/c", "a", "z")]
    assert spoken[0] != spoken[1]
    answers = AsrTeacher(transcripts=transcripts).caption([View(clip=clip, frames=None, key=0) for clip in clips])
    assert [answer.captions[0] for answer in answers] == spoken
    located = [Clip(source=str(sounds / clip.source), start=0, end=40) for clip in clips]
    heard = speech_in_transcripts(located, read_transcripts(finished))
    assert [heard.get(clip, "") for clip in located] == spoken


def test_the_asr_regime_learns_from_it(finished: Path, sounds: Path) -> None:
    data = TranscriptData(
        str(finished), sounds, preprocess=Preprocess(size=16, frames=2), batch_size=1, workers=0, max_failure_rate=1.0
    )
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    text = json.loads(finished.read_text())["a"]["text"]
    assert batch.captions[0] == " ".join(text)
    assert batch.frames is not None


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    sounds: Path, recogniser: SpeechRecogniser, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "caption.json"

    def stop(files: int, total: int, seconds: float) -> None:
        if files == 3:  # in the middle of the second shard
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sounds, out, recogniser, progress=stop)
    assert not out.exists()
    assert [path.name for path in shard_folder(out).glob("0*")] == ["000000.json"]
    assert run(sounds, out, recogniser).files == 3
    assert out.read_bytes() == finished.read_bytes()
    for path in shard_folder(finished).glob("0*"):
        assert (shard_folder(out) / path.name).read_bytes() == path.read_bytes()


def test_workers_change_nothing(sounds: Path, recogniser: SpeechRecogniser, finished: Path, tmp_path: Path) -> None:
    run(sounds, tmp_path / "caption.json", recogniser, workers=2)
    assert (tmp_path / "caption.json").read_bytes() == finished.read_bytes()


def test_what_failed_can_be_tried_again_and_new_files_are_added(tmp_path: Path, recogniser: SpeechRecogniser) -> None:
    films, out = tmp_path / "films", tmp_path / "caption.json"
    write_wav(films / "a.wav", tones(300))
    (films / "b.wav").write_text("no sound")
    assert list(run(films, out, recogniser).contents.failed) == ["b.wav"]
    first = json.loads(out.read_text())["a"]
    write_wav(films / "b.wav", tones(900))
    write_wav(films / "c.wav", tones(100))
    assert run(films, out, recogniser).contents.failed
    result = run(films, out, recogniser, retry_failed=True)
    assert (result.files, result.contents.failed) == (1, {})
    videos = json.loads(out.read_text())
    assert list(videos) == ["a", "b", "c"]
    assert (videos["a"], bool(videos["b"]["text"])) == (first, True)


def test_other_settings_are_refused(sounds: Path, recogniser: SpeechRecogniser, finished: Path) -> None:
    with pytest.raises(DataError, match=r"holds transcripts with vad False, and this run has True; choose another"):
        run(sounds, finished, recogniser, TranscribeSpec(batch_size=3, shard_size=2))
    with pytest.raises(DataError, match=r"holds transcripts with model 'tiny', and this run has 'other'"):
        run(sounds, finished, recogniser, model={"model": "other"})


def test_a_file_keeps_the_language_of_its_first_chunk(recogniser: SpeechRecogniser, tmp_path: Path) -> None:
    parts = [tones(100, seconds=30), tones(2500, seconds=4)]
    write_wav(tmp_path / "sounds" / "a.wav", np.concatenate(parts))
    first, second = (recogniser.hear([Chunk(sound=part, start=0.0)])[0] for part in parts)
    assert first.language != second.language
    run(tmp_path / "sounds", tmp_path / "caption.json", recogniser, TranscribeSpec(vad=False, batch_size=1))
    (video,) = json.loads((tmp_path / "caption.json").read_text()).values()
    found = [text for words in video["words"] for start, _, text in words if start >= 30]
    (wanted,) = recogniser.hear(
        [Chunk(sound=read_sound(tmp_path / "sounds" / "a.wav", start=30.0), start=30.0, language=first.language)]
    )
    assert found == [word.text.strip() for word in wanted.words]
    assert found != [word.text.strip() for word in second.words]


def test_a_file_of_somebody_else_is_not_overwritten(sounds: Path, recogniser: SpeechRecogniser, tmp_path: Path) -> None:
    (tmp_path / "caption.json").write_text("{}")
    with pytest.raises(DataError, match=r"caption.json is there already, and not of transcribe"):
        run(sounds, tmp_path / "caption.json", recogniser)
    assert (tmp_path / "caption.json").read_text() == "{}"


def test_too_many_broken_files_stop_it_and_finished_shards_stay(tmp_path: Path, recogniser: SpeechRecogniser) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(8):
        (films / f"{number}.mp4").write_text("no film")
    with pytest.raises(
        DataError, match=r"4 of 4 files failed, more than --max-failure-rate 0.1 allows; the last: 3.mp4"
    ) as stopped:
        run(films, tmp_path / "caption.json", recogniser, max_failure_rate=0.1)
    assert str(stopped.value).endswith("fix the cause, and run again with --retry-failed")
    assert len(list(shard_folder(tmp_path / "caption.json").glob("0*"))) == 2


def test_speech_is_found_and_tones_are_not(sounds: Path, recogniser: SpeechRecogniser, tmp_path: Path) -> None:
    out = tmp_path / "caption.json"
    run(sounds, out, recogniser, TranscribeSpec(shard_size=2))
    assert not any(video["text"] for video in json.loads(out.read_text()).values())


def test_videos_in_tars_are_transcribed(recogniser: SpeechRecogniser, tmp_path: Path) -> None:
    import tarfile

    write_wav(tmp_path / "x.wav", tones(300))
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "00000.tar", "w") as archive:
        archive.add(tmp_path / "x.wav", "000000012.wav")
        archive.add(tmp_path / "x.wav", "000000013.wav")
    result = run(tmp_path / "tars", tmp_path / "caption.json", recogniser)
    videos = json.loads((tmp_path / "caption.json").read_text())
    assert list(videos) == ["000000012", "000000013"]
    assert videos["000000012"]["text"] == videos["000000013"]["text"] != []
    assert result.heard == pytest.approx(4.0)
    assert not list(shard_folder(tmp_path / "caption.json").glob(".fetched/*"))
