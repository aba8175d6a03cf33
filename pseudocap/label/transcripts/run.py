"""Transcribe a plan of files: sound is decoded in worker processes, chunks of many files are recognised in one batch,
and each shard of files becomes one file; at the end they are merged into caption.json.

`caption.json.shards/` beside it holds plan.json and 000000.json, ..: what is finished stays, whatever ends a run, and
files that have come since are added. A shard begins with a new batch, so what its file holds is a function of its
sources and the settings alone.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from pseudocap.audio.waveform import RATE, read_spans
from pseudocap.errors import ConfigError, DataError, DecodeError, NoSoundError, first_line
from pseudocap.files.atomic import try_to_write, unfinished
from pseudocap.files.media import open_media
from pseudocap.files.remote import write_atomic
from pseudocap.label.run_folder import PLAN, Plan, alone_in, settle
from pseudocap.label.sources import Media, Sources, extend, fetch_media, media_of
from pseudocap.label.transcripts.chunks import WINDOW, even_chunks, speech_chunks
from pseudocap.label.transcripts.recogniser import Chunk, SpeechRecogniser, TimedWord
from pseudocap.label.transcripts.records import Record, failed_record, record_of, video_ids
from pseudocap.tolerance import FEW, Tolerance
from pseudocap.types import MEDIA_EXTENSIONS
from pseudocap.workers import ordered

SUFFIX = ".shards"  # of the folder beside the file
CRASHED = "the decoder crashed on it, twice; convert the file, or leave it out"


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscribeSpec:
    """Set what transcripts depend on besides sources and recogniser. `batch_size` counts chunks, `shard_size` files."""

    vad: bool = True
    batch_size: int = 8
    shard_size: int = 32

    def __post_init__(self) -> None:
        for name in ("batch_size", "shard_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)} and must be at least 1")


@dataclass(kw_only=True, slots=True)
class Contents:
    """Count what the file of all transcripts holds; `failed` are the videos that could not be read, and why."""

    videos: int = 0
    spoken: int = 0
    segments: int = 0
    words: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, video: str, record: Record) -> None:
        self.videos += 1
        self.spoken += bool(record["text"])
        self.segments += len(record["text"])
        self.words += sum(map(len, record["words"]))
        if record["language"]:
            self.languages[record["language"]] += 1
        if "error" in record:
            self.failed[video] = record["error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcribed:
    """Report what a run did (`files`, `heard` seconds of sound in `seconds`), what the file holds now, and how many of
    its files are not in the source any more (`gone`): they keep their transcripts."""

    files: int
    heard: float
    seconds: float
    contents: Contents
    gone: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sound:
    """Hold the sound of a file as float32 samples in a file of the run, or why there is none."""

    name: str
    path: Path | None = None
    problem: str = ""


def transcribe(
    sources: Sources,
    recogniser: SpeechRecogniser,
    out: Path,
    spec: TranscribeSpec,
    *,
    model: Mapping[str, str],
    workers: int = 2,
    retry_failed: bool = False,
    max_failure_rate: float = 0.1,
    progress: Callable[[int, int, float], None] | None = None,
) -> Transcribed:
    """Transcribe what is not yet transcribed, shard by shard, and merge all shards into `out`. `model` names the
    weights; `progress` gets the files that are done, how many there are, and the seconds of sound."""
    started = time.monotonic()
    tolerance = Tolerance(max_failure_rate, least=FEW, option="--max-failure-rate")
    folder = shard_folder(out)
    if out.exists() and not (folder / PLAN).exists():
        raise DataError(
            f"--out {out} is there already, and not of transcribe ({folder.name} is not beside it); name another"
        )
    try_to_write(out)
    settings = {**model, **recogniser.settings, "vad": spec.vad, "batch_size": spec.batch_size}
    now = Plan(sources=sources, settings={**settings, "shard_size": spec.shard_size})
    files, wrong, heard = 0, 0, 0.0
    with alone_in(folder, "transcribing") as scratch:
        plan = settle(folder, now, partial(extend, shard_size=spec.shard_size), what="transcripts")
        todo = [(n, names) for n, names in enumerate(plan.sources.shards) if _unfinished(folder, n, retry_failed)]
        total = sum(len(names) for _, names in todo)
        for number, names in todo:
            before = _read_shard(folder, number) if _shard_path(folder, number).exists() else {}
            shard = _Shard(names=names, root=plan.sources.root, kept=_good(before), scratch=scratch)
            for done in shard.records(recogniser, spec, workers):
                if progress is not None:
                    progress(files + done, max(total, files + done), heard + shard.heard)
            _write_shard(folder, number, shard.finished)
            files, heard = files + len(shard.finished) - len(shard.kept), heard + shard.heard
            wrong += 0 if before else sum("error" in record for record in shard.finished.values())
            if objection := tolerance.objection(wrong, files, "files failed"):
                last = [f"{name}: {each['error']}" for name, each in shard.finished.items() if "error" in each]
                raise DataError(
                    f"{objection}; the last: {last[-1]}; finished shards are kept in {folder}: fix the cause, and run "
                    "again with --retry-failed"
                )
        contents = _merge(folder, len(plan.sources.shards), out)
    gone, seconds = len(plan.sources.names - sources.names), time.monotonic() - started
    return Transcribed(files=files, heard=heard, seconds=seconds, contents=contents, gone=gone)


def shard_folder(out: Path) -> Path:
    """Return the folder beside the file, where its shards lie."""
    return out.with_name(out.name + SUFFIX)


@dataclass(kw_only=True)
class _Shard:
    """Transcribe the files of one shard; those in `kept` stand."""

    names: Sequence[str]
    root: str
    kept: Mapping[str, Record]
    scratch: Path
    finished: dict[str, Record] = field(default_factory=dict)
    heard: float = 0.0
    _order: list[str] = field(default_factory=list)
    _words: dict[str, list[TimedWord]] = field(default_factory=dict)
    _languages: dict[str, str] = field(default_factory=dict)
    _problems: dict[str, str] = field(default_factory=dict)

    def records(self, recogniser: SpeechRecogniser, spec: TranscribeSpec, workers: int) -> Iterator[int]:
        """Fill `finished`, and yield now and then how many files have been read."""
        batch: list[Chunk] = []
        for read, sound in enumerate(self._sounds(workers), start=1):
            self._words[sound.name] = []
            if sound.problem:
                self._problems[sound.name] = sound.problem
            for chunk in self._chunks(sound, spec):
                batch.append(chunk)
                if len(batch) == spec.batch_size:
                    self._hear(batch, recogniser)
                    batch = []
            yield read
        if batch:
            self._hear(batch, recogniser)
        found = {name: self.kept[name] if name in self.kept else self._record(name) for name in self._order}
        self.finished = found | {name: each for name, each in self.kept.items() if name not in found}

    def _sounds(self, workers: int) -> Iterator[_Sound]:
        def todo() -> Iterator[Media]:
            for each in media_of(self.names, self.root, scratch=self.scratch, extensions=MEDIA_EXTENSIONS):
                self._order.append(each.name)
                if each.name not in self.kept:
                    yield each

        store = partial(store_sound, scratch=self.scratch)
        crashed = partial(_Sound, problem=CRASHED)
        yield from ordered(store, todo(), workers=workers, crashed=lambda each: crashed(name=each.name))

    def _chunks(self, sound: _Sound, spec: TranscribeSpec) -> Iterator[Chunk]:
        if sound.path is None:
            return
        if sound.path.stat().st_size:
            samples = np.memmap(sound.path, np.float32, mode="r")
            self.heard += len(samples) / RATE
            for start, end in (speech_chunks if spec.vad else even_chunks)(samples):
                yield Chunk(sound=np.array(samples[start:end]), start=start / RATE, file=sound.name)
        sound.path.unlink()

    def _hear(self, batch: Sequence[Chunk], recogniser: SpeechRecogniser) -> None:
        """Recognise a batch; what is heard in a file's first chunk is the language of the file."""
        known = [replace(chunk, language=self._languages.get(chunk.file or "")) for chunk in batch]
        try:
            found = recogniser.hear(known)
        except RuntimeError as error:  # such as a GPU whose memory is full
            raise DataError(
                f"{len(batch)} chunks cannot be recognised: {first_line(error)}; take a smaller --batch-size"
            ) from error
        for chunk, heard in zip(known, found, strict=True):
            assert chunk.file is not None, "_chunks names it"
            self._languages.setdefault(chunk.file, heard.language)
            self._words[chunk.file] += heard.words

    def _record(self, name: str) -> Record:
        if problem := self._problems.get(name):
            return failed_record(problem)
        return record_of(self._words[name], self._languages.get(name))


def store_sound(media: Media, *, scratch: Path) -> _Sound:
    """Decode the sound of a file into a file of float32 samples, ten minutes at a time. A file without a sound track
    has no sound, which is no failure."""
    if media.problem:
        return _Sound(name=media.name, problem=media.problem)
    copy: str | None = None
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".f32", delete=False) as file:
        stored = Path(file.name)
        try:
            path = media.address if media.is_local else (copy := fetch_media(media, scratch))
            for samples in read_spans(path, _windows(path), rate=RATE):
                file.write(samples.tobytes())
            return _Sound(name=media.name, path=stored)
        except NoSoundError:
            problem = ""
        except DecodeError as error:
            problem = error.problem
        finally:
            if copy is not None:
                Path(copy).unlink(missing_ok=True)
    stored.unlink()
    return _Sound(name=media.name, problem=problem)


def _windows(path: str) -> Iterator[tuple[float, float | None]]:
    """Cover a file by stretches of ten minutes, of which the last reaches to its end, wherever that is."""
    with open_media(path) as container:
        seconds = (container.duration or 0) / 1_000_000
    starts = range(0, max(1, int(seconds)), WINDOW)
    for start in starts:
        yield float(start), None if start == starts[-1] else float(start + WINDOW)


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"


def _write_shard(folder: Path, number: int, videos: Mapping[str, Record]) -> None:
    write_atomic(_shard_path(folder, number), json.dumps({"videos": videos}, ensure_ascii=False).encode())


def _read_shard(folder: Path, number: int) -> dict[str, Record]:
    path = _shard_path(folder, number)
    try:
        videos = json.loads(path.read_bytes())["videos"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged ({first_line(error)}); remove it, and run again to go on") from error
    return dict(videos)


def _unfinished(folder: Path, number: int, retry_failed: bool) -> bool:
    if not _shard_path(folder, number).exists():
        return True
    return retry_failed and any("error" in record for record in _read_shard(folder, number).values())


def _good(records: Mapping[str, Record]) -> dict[str, Record]:
    return {name: record for name, record in records.items() if "error" not in record}


def _merge(folder: Path, shards: int, out: Path) -> Contents:
    """Write the one file of all shards, holding one of them at a time."""
    ids = video_ids(name for number in range(shards) for name in _read_shard(folder, number))
    contents = Contents()
    with unfinished(out, durable=True) as scratch, scratch.open("w", encoding="utf-8") as file:
        before = "{\n"
        for name, record in (item for number in range(shards) for item in _read_shard(folder, number).items()):
            contents.add(name, record)
            file.write(f"{before}{json.dumps(ids[name], ensure_ascii=False)}: {json.dumps(record, ensure_ascii=False)}")
            before = ",\n"
        file.write("\n}\n" if contents.videos else "{}\n")
    return contents
