"""What filters of frames find in real clips: the figures of docs/experiments.md come from here (`-s` prints them)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.paragraphs import with_paragraph

from pseudocap.label.looks import motion, text_share
from pseudocap.video.decode import open_video
from pseudocap.video.reader import Frame, segment_centres
from pseudocap.video.writer import write_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> list[np.ndarray]:
    return [frames_of(path) for path in sorted((shared_data / "real_clips").glob("*.mp4"))]


def frames_of(path: Path) -> np.ndarray:
    """Decode what `--frames consensus --k 5` gives a teacher of 384 pixels."""
    with open_video(path, threads=1, short_side=384) as video:
        frames = list(video.decode(segment_centres(0.0, video.info.duration, 5)))
    return np.stack([frame.pixels for frame in frames if isinstance(frame, Frame)])


@pytest.mark.parametrize(("size", "least"), [(12, 0.99), (18, 0.99), (28, 0.9)])
def test_frames_with_paragraphs_are_told_from_the_same_frames_without(
    clips: list[np.ndarray], size: int, least: float
) -> None:
    middles = [frames[2:3] for frames in clips]
    bare = np.array([text_share(frames) for frames in middles])
    print(f"\nwithout: median {np.median(bare):.3f}, largest {bare.max():.3f}")
    for share in (0.15, 0.4):
        for box in ("", "black", "white"):
            rng = np.random.default_rng(0)
            drawn = [with_paragraph(frames[0], rng, share=share, size=size, box=box)[None] for frames in middles]
            found = np.array([text_share(frames) for frames in drawn])
            auc = (found[:, None] > bare).mean()
            name = f"{size} px on {share:.0%} of the frame, {box or 'no'} box"
            print(f"{name}: AUC {auc:.3f}, above 0.1: {(found > 0.1).mean():.0%}, median {np.median(found):.3f}")
            assert share < 0.4 or auc > least, name


def test_still_pictures_held_as_video_move_less_than_real_clips(clips: list[np.ndarray], tmp_path: Path) -> None:
    moving = np.array([motion(frames) for frames in clips])
    still = []
    for number, frames in enumerate(clips[::3]):
        path = tmp_path / f"{number}.mp4"
        even = frames[2][: frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
        write_video(path, [even] * 50, rate=25, options={"preset": "veryfast", "crf": "32"})
        still.append(motion(frames_of(path)))
    print(
        f"\nclips: {np.quantile(moving, [0, 0.05, 0.1, 0.5]).round(4)}, stills: {np.quantile(still, [0.5, 1]).round(4)}"
    )
    print({bound: (int((moving < bound).sum()), int((np.array(still) < bound).sum())) for bound in (0.005, 0.01, 0.02)})
    assert max(still) < 0.01
    assert (moving >= 0.01).mean() > 0.9
