"""Films and sound files whose sound is a known function of time, so that a lag of one sample is seen."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PARTS = 1024  # samples of a frame, where the codec takes any


def signal(times: np.ndarray) -> np.ndarray:
    """Three tones below 2.2 kHz that swell and fade."""
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.37 * times)
    tones = 0.25 * np.sin(2 * np.pi * 523 * times) + 0.2 * np.sin(2 * np.pi * 1307 * times + 1)
    return swell * (tones + 0.2 * np.sin(2 * np.pi * 2131 * times + 2))


def heard(seconds: float, *, start: float = 0.0, rate: int = 16000) -> np.ndarray:
    """The signal as it should be read: `seconds` of it from `start` on."""
    return signal(start + np.arange(round(seconds * rate)) / rate).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Track:
    """A sound track of a film: the signal from `start` to `end` (of the film's clock) on `channels`, by their gains."""

    codec: str = "aac"
    rate: int = 44100
    start: float = 0.0
    end: float = 3.0
    gains: tuple[float, ...] = (1.0,)
    layout: str = "mono"
    pauses: tuple[tuple[float, float], ...] = ()  # of which no packet is written
    options: tuple[tuple[str, str], ...] = ()


def write_sounding(
    path: Path, *tracks: Track, seconds: float = 3.0, picture_start: float = 0.0, codec: str | None = "mpeg4"
) -> Path:
    """A film of grey frames, 10 a second, with these tracks; without `codec` there are no pictures."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(codec, rate=10) if codec else None
        if isinstance(pictures, av.VideoStream):
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "rgb8" if codec == "gif" else "yuv420p"
        sounds = [_add_track(container, track) for track in tracks]
        written = [_written(track, stream) for track, stream in zip(tracks, sounds, strict=True)]
        if isinstance(pictures, av.VideoStream):
            written.append(_pictures(pictures, round(seconds * 10), round(picture_start * 10)))
        for _, packets in heapq.merge(*written, key=lambda timed: timed[0]):
            container.mux(packets)
    return path


def _pictures(stream: av.VideoStream, count: int, first: int) -> Iterator[tuple[float, list[av.Packet]]]:
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 + number % 100, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number + first, Fraction(1, 10)
        yield (number + first) / 10, stream.encode(frame)
    yield math.inf, stream.encode(None)


def _add_track(container: av.container.OutputContainer, track: Track) -> av.AudioStream:
    stream = container.add_stream(track.codec, rate=track.rate, layout=track.layout, options=dict(track.options))
    assert isinstance(stream, av.AudioStream)
    return stream


def _written(track: Track, stream: av.AudioStream) -> Iterator[tuple[float, list[av.Packet]]]:
    context = stream.codec_context
    if not context.is_open:
        context.open()
    size = context.frame_size or PARTS
    total = round((track.end - track.start) * track.rate)
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=track.rate)
    for first in range(0, total, size):
        times = track.start + np.arange(first, min(first + size, total)) / track.rate
        if any(begin <= times[0] < end for begin, end in track.pauses):
            continue
        samples = np.stack([gain * signal(times) for gain in track.gains]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=track.layout)
        frame.sample_rate, frame.time_base = track.rate, Fraction(1, track.rate)
        frame.pts = first + round(track.start * track.rate)
        for ready in resampler.resample(frame):
            ready.pts, ready.time_base = frame.pts, Fraction(1, track.rate)
            yield times[0], stream.encode(ready)
    yield math.inf, stream.encode(None)
