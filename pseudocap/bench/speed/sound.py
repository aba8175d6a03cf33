"""Race the sound of all 8 s clips of a film beside librosa, and measure the memory that a long film takes: python -m
pseudocap.bench.speed.sound

Writes ten minutes of a filmed-looking minute at 320x180 with AAC at 44.1 kHz (a hum of eleven harmonics in noise),
and its clips as files of their own, without encoding again. Ours reads the film in one pass; librosa decodes the clips
file by file, by FFmpeg's program, as it does with every MP4, or the same clips as FLAC, which is no film's format:
somebody has decoded it before. `--hours` reads a longer film alone, the same packets many times over, and reports by
how much the process grew.
"""

from __future__ import annotations

import importlib.util
import resource
import shutil
import statistics
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from pseudocap.audio.waveform import SoundFile, read_spans
from pseudocap.bench.speed.decoding import HEIGHT, MINUTE, RATE, Scene
from pseudocap.bench.speed.measure import parser_of, peak_memory, take_turns
from pseudocap.bench.tables import head
from pseudocap.errors import ConfigError
from pseudocap.types import CLIP_SECONDS
from pseudocap.video.writer import AudioTrack, write_video

SOUND_RATE = 44100
MINUTES = 10
TIMES = 5.0  # as fast as librosa file by file


def write_minute(path: Path) -> None:
    """Encode a minute of pictures and sound."""
    scene = Scene(180)
    times = np.arange(60 * SOUND_RATE) / SOUND_RATE
    hum = sum(np.sin(2 * np.pi * 220 * k * times + k) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * times))
    samples = (0.1 * hum + np.random.default_rng(0).normal(0, 0.01, len(times))).astype(np.float32)
    frames = (scene.at(number).reformat(320, HEIGHT // 2) for number in range(MINUTE))
    write_video(path, frames, rate=RATE, sound=AudioTrack(samples=samples, rate=SOUND_RATE, bit_rate=96_000))


def repeat(minute: Path, path: Path, minutes: int) -> None:
    """Write the packets of a minute so many times over."""
    with av.open(str(path), "w", format="mp4") as container:
        streams: dict[int, av.stream.Stream] = {}
        for turn in range(minutes):
            with av.open(str(minute)) as film:
                for stream in film.streams:
                    if stream.index not in streams:
                        streams[stream.index] = container.add_stream_from_template(stream)
                for packet in film.demux():
                    if packet.pts is None or packet.dts is None or packet.dts < 0 or not packet.size:
                        continue  # the encoder's lead-in belongs before the first minute alone
                    shift = round(turn * 60 / Fraction(packet.time_base))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    container.mux(packet)


def cut_clips(film: Path, folder: Path, count: int) -> list[Path]:
    """Write the sound of each clip as an MP4 of its own, packet by packet."""
    paths = [folder / f"{number:03d}.mp4" for number in range(count)]
    with av.open(str(film)) as source:
        sound = source.streams.audio[0]
        packets = [packet for packet in source.demux(sound) if packet.pts is not None and packet.size]
        for number, path in enumerate(paths):
            first = round(number * CLIP_SECONDS / sound.time_base)
            last = round((number + 1) * CLIP_SECONDS / sound.time_base)
            with av.open(str(path), "w") as container:
                stream = container.add_stream_from_template(sound)
                for packet in packets:
                    assert packet.pts is not None
                    if first <= packet.pts < last:
                        packet.pts = packet.dts = packet.pts - first
                        packet.stream = stream
                        container.mux(packet)
    return paths


def spans_of(seconds: float) -> list[tuple[float, float | None]]:
    return [(number * CLIP_SECONDS, (number + 1) * CLIP_SECONDS) for number in range(int(seconds / CLIP_SECONDS))]


def race(folder: Path, rounds: int) -> None:
    """Run everyone in turns, and print the medians."""
    for needed in ("librosa", "soundfile"):
        if importlib.util.find_spec(needed) is None:
            raise ConfigError("the race needs librosa: pip install librosa")
    if shutil.which("ffmpeg") is None:
        raise ConfigError("the race needs the program ffmpeg on the PATH, by which librosa reads an MP4")
    import librosa  # type: ignore[import-not-found]
    import soundfile  # type: ignore[import-not-found]

    minute, film = folder / "minute.mp4", folder / "film.mp4"
    write_minute(minute)
    repeat(minute, film, MINUTES)
    spans = spans_of(60 * MINUTES)
    clips = cut_clips(film, folder, len(spans))
    plain = [path.with_suffix(".flac") for path in clips]
    for path, (start, end) in zip(plain, spans, strict=True):
        with SoundFile(film, rate=SOUND_RATE) as sound:
            soundfile.write(path, next(sound.spans([(start, end)])), SOUND_RATE)
    runners: dict[str, Callable[[], list[int]]] = {
        "ours, the film": lambda: [len(sound) for sound in read_spans(film, spans)],
        "librosa, MP4 by MP4": lambda: [len(librosa.load(path, sr=16000)[0]) for path in clips],
        "librosa, FLAC by FLAC": lambda: [len(librosa.load(path, sr=16000)[0]) for path in plain],
    }
    processor: dict[str, list[float]] = {name: [] for name in runners}

    def counted(name: str) -> list[int]:
        before = processor_seconds()
        lengths = runners[name]()
        processor[name].append(processor_seconds() - before)
        return lengths

    timings = take_turns({name: partial(counted, name) for name in runners}, rounds=rounds)
    seconds, computed = timings["ours, the film"].median, statistics.median(processor["ours, the film"])
    for name, timing in timings.items():
        least, most = min(timing.each), max(timing.each)
        work = statistics.median(processor[name])
        ratios = timing.median / seconds, work / computed
        goal = f"at least {TIMES:.0f}: {'yes' if min(ratios) >= TIMES else 'NO'}" if "MP4" in name else ""
        print(
            f"| {name} | {timing.median:.2f} ({least:.2f} to {most:.2f}) | {ratios[0]:.1f} | {work:.2f} | "
            f"{ratios[1]:.1f} | {goal} |"
        )


def processor_seconds() -> float:
    """Return what this process and the programs that it ran have computed: librosa leaves the decoding to one."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def memory(folder: Path, hours: float) -> None:
    """Print by how much this process grows over films of ten minutes and of `hours`."""
    minute, film = folder / "minute.mp4", folder / "film.mp4"
    write_minute(minute)
    for minutes in (MINUTES, round(60 * hours)):
        repeat(minute, film, minutes)
        clips = 0

        def read(minutes: int = minutes) -> None:
            nonlocal clips
            clips = sum(1 for _ in read_spans(film, spans_of(60 * minutes)))

        grown = peak_memory(read)
        print(f"| {minutes} minutes | {clips} clips | {grown:.1f} MiB |")


def main() -> None:
    parser = parser_of("sound", __doc__, rounds=5)
    parser.add_argument("--hours", type=float, help="measure the memory that a film so long takes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pseudocap-") as folder:
        if args.hours is not None:
            print(head("film", "", "more memory"))
            memory(Path(folder), args.hours)
        else:
            print(head("", "seconds", "times as long", "of the processor", "times as much", "goal"))
            race(Path(folder), args.rounds)


if __name__ == "__main__":
    main()
