"""Measure how much faster the centre frames of all 8 s clips come than by a full decode: python -m
pseudocap.bench.speed.decoding

Writes films of ten minutes, 640x360, 30000/1001 frames a second, H.264 by x264's defaults, with a key frame
at least every 12 and every 250 frames: one filmed-looking minute (a panning camera, moving things, sensor
noise, a cut every six seconds, where x264 sets a key frame of its own), written ten times over. A third film,
the hard case, has no cut in its minute. At that rate the centres fall anywhere between two key frames; at 30
a second each would lie on a key frame of the first film. All run in turn in each round, opening the file
anew, and the medians are compared.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pseudocap.bench.speed.measure import parser_of, take_turns
from pseudocap.bench.tables import head
from pseudocap.files.atomic import unfinished
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import open_video, probe
from pseudocap.video.reader import Frame
from pseudocap.video.torchcodec_reader import why_unusable
from pseudocap.video.writer import encode_video

WIDTH, HEIGHT, RATE = 640, 360, Fraction(30000, 1001)
MINUTES = 10
MINUTE = round(60 * RATE)
FILMS = {"12": (12, 180), "250": (250, 180), "250, no cuts": (250, MINUTE)}  # key frames and cuts, in frames
GOALS = {("12", "exact"): 35.0, ("250", "exact"): 4.0, ("250", "nearest key frame"): 20.0}


def texture(rng: np.random.Generator, height: int, width: int, spread: float) -> np.ndarray:
    """Draw a random surface whose detail falls off with its fineness, as in photographs."""
    fineness = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    fineness[0, 0] = 1
    waves = np.exp(2j * np.pi * rng.random(fineness.shape)) / fineness**1.6
    surface = np.fft.irfft2(waves, s=(height, width))
    return np.clip(surface / surface.std() * spread + 125, 20, 230).astype(np.float32)


class Scene:
    """Draw a scene: `at(number)` draws one frame as planar YUV 4:2:0."""

    def __init__(self, shot: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._shot = shot  # frames from cut to cut
        self._ground = texture(rng, 2 * HEIGHT, 4 * WIDTH, 45)
        self._colour = texture(rng, 2 * HEIGHT, 4 * WIDTH, 25).astype(np.uint8)
        self._things = [texture(rng, side, side, 45) for side in (96, 128, 160)]
        self._lights = [(rng.uniform(0.5, 1.0), rng.uniform(-40, 60)) for _ in range(64)]
        self._noise = [rng.normal(0, 2, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(24)]

    def at(self, number: int) -> av.VideoFrame:
        shot, step = divmod(number, self._shot)
        x = shot * 811 % WIDTH + WIDTH * (1 - np.cos(step / 350))
        row, column = int(shot * 97 % (HEIGHT // 2) + 30 + 30 * np.sin(number / 40)), int(x)
        view = self._ground[row : row + HEIGHT]
        light = (1 - (x - column)) * view[:, column : column + WIDTH]
        light += (x - column) * view[:, column + 1 : column + 1 + WIDTH]
        for k, thing in enumerate(self._things):
            side = len(thing)
            left = int((WIDTH - side) * (0.5 + 0.5 * np.sin(number / (23 + 9 * k) + k)))
            top = int((HEIGHT - side) * (0.5 + 0.5 * np.cos(number / (17 + 7 * k))))
            light[top : top + side, left : left + side] = thing
        gain, offset = self._lights[shot % len(self._lights)]
        light = gain * (light if shot % 2 else 250 - light) + offset
        light += np.roll(self._noise[number % 24], number * 37 % WIDTH, 1)
        half = (slice(row // 2, row // 2 + HEIGHT // 2), slice(column // 2, column // 2 + WIDTH // 2))
        planes = [np.clip(light, 16, 235).astype(np.uint8), self._colour[half], self._colour[::-1, ::-1][half]]
        joined = np.concatenate([plane.ravel() for plane in planes]).reshape(HEIGHT * 3 // 2, WIDTH)
        frame = av.VideoFrame.from_ndarray(joined, format="yuv420p")
        frame.pts, frame.time_base = number, 1 / RATE
        return frame


def write_film(path: Path, key_interval: int, shot: int, *, minutes: int = MINUTES, lines: int = HEIGHT) -> None:
    """Encode a minute, scaled to so many lines, and write its packets so many times over."""
    scene = Scene(shot)
    width = lines * WIDTH // HEIGHT
    frames = (scene.at(number).reformat(width, lines) for number in range(MINUTE))
    minute = encode_video(frames, rate=RATE, options={"x264-params": f"keyint={key_interval}"})
    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for turn in range(minutes):
            with av.open(io.BytesIO(minute)) as film:
                stream = stream or container.add_stream_from_template(film.streams.video[0])
                for packet in film.demux(video=0):
                    if packet.size:
                        shift = round(turn * MINUTE / RATE / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        container.mux(packet)


def benchmark_film(path: Path, film: str, *, minutes: int = MINUTES, lines: int = HEIGHT) -> Path:
    """Return one of FILMS, written where it is not there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(path) as scratch:
            write_film(scratch, *FILMS[film], minutes=minutes, lines=lines)
    return path


def decode_everything(path: Path, times: list[float]) -> list[np.ndarray]:
    """Decode the plain way: PyAV, its default threads, every frame decoded, those wanted converted."""
    wanted, pixels = iter(times), []
    with av.open(str(path)) as container:
        time, previous = next(wanted, None), None
        for frame in container.decode(video=0):
            while time is not None and previous is not None and frame.time > time:
                pixels.append(previous.to_ndarray(format="rgb24"))
                time = next(wanted, None)
            previous = frame
    return pixels


def decode_clips(path: Path, times: list[float], nearest: bool) -> list[np.ndarray]:
    with open_video(path) as video:
        frames = list(video.decode(times, nearest_keyframe=nearest))
    return [frame.pixels for frame in frames if isinstance(frame, Frame)]


def by_torchcodec(path: Path, times: list[float], mode: str) -> list[np.ndarray]:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", seek_mode=mode, num_ffmpeg_threads=0)
    return list(decoder.get_frames_played_at(times).data.numpy())


def race(path: Path, film: str, rounds: int) -> None:
    """Check that the exact frames are those of the full decode, run everyone in turn, print the medians."""
    clips = plan_clips(str(path), probe(path).duration, min_seconds=8.0)
    times = [clip.centre for clip in clips]
    runners: dict[str, Callable[[], list[np.ndarray]]] = {
        "full decode": lambda: decode_everything(path, times),
        "exact": lambda: decode_clips(path, times, nearest=False),
        "nearest key frame": lambda: decode_clips(path, times, nearest=True),
    }
    if why_unusable() is None:
        runners["torchcodec, exact"] = lambda: by_torchcodec(path, times, "exact")
        runners["torchcodec, approximate"] = lambda: by_torchcodec(path, times, "approximate")
    pixels = {name: run() for name, run in runners.items()}
    for name, found in pixels.items():
        assert len(found) == len(times), f"{name} gave {len(found)} of {len(times)} frames"
    for wanted, got in zip(pixels["full decode"], pixels["exact"], strict=True):
        np.testing.assert_array_equal(got, wanted)
    timings = take_turns(runners, rounds=rounds, warmups=0)
    full = timings["full decode"]
    for name, timing in timings.items():
        ratio, less = full.median / timing.median, full.processor / timing.processor
        goal = GOALS.get((film, name))
        verdict = "" if goal is None else f"at least {goal:.0f}: {'yes' if ratio >= goal else 'NO'}"
        print(f"| {film} | {name} | {timing.median:.3f} | {ratio:.1f} | {less:.1f} | {verdict} |", flush=True)


def main() -> None:
    parser = parser_of("decoding", __doc__, rounds=5)
    parser.add_argument("--films", type=Path, help="a folder to keep the films in (default: a temporary one)")
    args = parser.parse_args()
    print(f"torchcodec: {why_unusable() or 'works'}")
    print(head("key frame every", "", "seconds", "times faster", "times less processor time", "goal"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.films or Path(temporary)
        for film, (key_interval, shot) in FILMS.items():
            race(benchmark_film(folder / f"film_{key_interval}_{shot}.mp4", film), film, args.rounds)


if __name__ == "__main__":
    main()
